"""Logging of the server process: uvicorn's and ours, as text or as JSON lines.

A signed URL is a credential: no line shows the token of one.
"""

import logging
import re
from typing import Any

import orjson
import uvicorn.config

from gateway.settings import ObservabilitySettings

# Matched by its place, and by its form: a URL can spell the place differently (`/%73igned/`).
_SIGNED_TOKEN = re.compile(r"(?<=/signed/)[^/?\s]+|[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{43}(?![\w-])")
_MASK = "***"


class MaskSignedTokens(logging.Filter):
    """Keeps every record, and masks the tokens of signed URLs in its arguments."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                _SIGNED_TOKEN.sub(_MASK, value) if isinstance(value, str) else value
                for value in record.args
            )
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time (ISO 8601, UTC offset), level, logger, message, error."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def log_config(settings: ObservabilitySettings) -> dict[str, Any]:
    """A `logging.config` dictionary: uvicorn's loggers, and ours."""
    base = uvicorn.config.LOGGING_CONFIG
    config = {
        **base,
        "filters": {"mask": {"()": "gateway.processes.logs.MaskSignedTokens"}},
        "handlers": {
            name: {**handler, "filters": ["mask"]} for name, handler in base["handlers"].items()
        },
        "loggers": {
            **base["loggers"],
            "gateway": {"handlers": ["default"], "level": "INFO"},
            # Its pool warns of each connection that it cannot make, with a traceback. The gateway
            # logs once that the database fails.
            "asyncpg": {"level": "ERROR"},
        },
    }
    if settings.log_format == "json":
        formatter = {"()": "gateway.processes.logs.JsonFormatter"}
        config["formatters"] = {"default": formatter, "access": formatter}
    return config
