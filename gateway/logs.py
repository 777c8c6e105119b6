"""Logging of the server process: uvicorn's and ours, as text or as JSON lines."""

import logging
from typing import Any

import orjson
import uvicorn.config

from gateway.settings import Observability


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (ISO 8601, UTC offset), level, logger, message, error."""

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


def log_config(settings: Observability) -> dict[str, Any]:
    """A `logging.config` dictionary for uvicorn, with our loggers beside its own."""
    base = uvicorn.config.LOGGING_CONFIG
    config = {
        **base,
        "loggers": {**base["loggers"], "gateway": {"handlers": ["default"], "level": "INFO"}},
    }
    if settings.log_format == "json":
        formatter = {"()": "gateway.logs.JsonFormatter"}
        config["formatters"] = {"default": formatter, "access": formatter}
    return config
