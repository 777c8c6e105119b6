"""The log of the server's processes: lines for people, or JSON for machines.

    2026-11-30T06:13:20.123 WARNING 41233      the database fails: disk I/O error [3f0c2f6a58f44c39]
    time, local             level   process    message                             id of the request

The process is `supervisor`, or the number of a worker. uvicorn's own lines have the same form.

Whatever a client sent may stand in a line. So the formatters mask credentials, and escape what is
not printable: nothing that a client sends begins a line, or means something to a terminal.
"""

import dataclasses
import logging
from datetime import UTC, datetime
from typing import Any

import orjson

from gateway.errors.sentences import sentence_of
from gateway.hot_path.access_log import AnswerLine
from gateway.metrics.texts import mask_credentials
from gateway.names import printable
from gateway.settings import ObservabilitySettings
from gateway.tracing import current
from gateway.tracing.current_request import current_id

WORKER_NAME = "gateway worker"
"""Of each worker's process."""
_OTHER_NAMES = {"MainProcess": "supervisor"}
_Fields = dict[str, Any]


class TextFormatter(logging.Formatter):
    """Aligned lines. Those of a traceback are indented: none can be taken for a line of the log."""

    def format(self, record: logging.LogRecord) -> str:
        when = _local_time(record).replace(tzinfo=None).isoformat(timespec="milliseconds")
        request_id = _request_id(record)
        end = f" [{request_id}]" if request_id else ""
        line = f"{when} {record.levelname:<7} {_process(record):<10} {_message(record)}{end}"
        return "\n    ".join([line, *_traceback(record)])


class JsonFormatter(logging.Formatter):
    """One object per line. Each has time, level, logger, worker and message; what there is of
    request_id, trace_id, span_id and error; and for an answer the fields of `AnswerLine`.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: _Fields = {
            "time": _local_time(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "worker": record.process if record.processName == WORKER_NAME else None,
        }
        if isinstance(record.msg, AnswerLine):
            line["message"] = _unaligned(_clean(record.msg.message))
            fields = dataclasses.asdict(record.msg)
            line |= {name: _clean_value(value) for name, value in fields.items()}
        else:
            line["message"] = _unaligned(_message(record))
            if (request_id := _request_id(record)) is not None:
                line["request_id"] = request_id
        if (span := current()) is not None:
            line["trace_id"], line["span_id"] = span.ids
        if error := _traceback(record):
            line["error"] = "\n".join(error)
        return orjson.dumps(line).decode()


def _local_time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC).astimezone()


def _process(record: logging.LogRecord) -> str:
    name = record.processName or ""
    return str(record.process) if name == WORKER_NAME else _OTHER_NAMES.get(name, name)


def _request_id(record: logging.LogRecord) -> str | None:
    if isinstance(record.msg, AnswerLine):
        return record.msg.request_id
    return current_id()


def _message(record: logging.LogRecord) -> str:
    if isinstance(record.args, tuple):
        record.args = tuple(
            sentence_of(value) if isinstance(value, BaseException) else value
            for value in record.args
        )
    return _clean(record.getMessage())


def _unaligned(text: str) -> str:
    return " ".join(text.split())


def _traceback(record: logging.LogRecord) -> list[str]:
    if not record.exc_info:
        return []
    text = logging.Formatter().formatException(record.exc_info)
    return [_clean(line) for line in text.split("\n")]


def _clean_value(value: Any) -> Any:
    return _clean(value) if isinstance(value, str) else value


def _clean(text: str) -> str:
    """Without credentials, and on one line."""
    text = mask_credentials(text)
    return text if text.isprintable() else printable(text)


def log_config(settings: ObservabilitySettings) -> dict[str, Any]:
    """A `logging.config` dictionary: uvicorn's loggers, and ours.

    The access log goes to stdout, all else to stderr.
    """
    formatter = JsonFormatter if settings.log_format == "json" else TextFormatter
    handler = {"class": "logging.StreamHandler", "formatter": "line"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter}},
        "handlers": {
            "errors": {**handler, "stream": "ext://sys.stderr"},
            "answers": {**handler, "stream": "ext://sys.stdout"},
        },
        "loggers": {
            "gateway": {"handlers": ["errors"], "level": "INFO"},
            "gateway.access": {"handlers": ["answers"], "level": "INFO", "propagate": False},
            # Its lines about a start and an end say less than ours.
            "uvicorn": {"handlers": ["errors"], "level": "WARNING", "propagate": False},
            "asyncio": {"handlers": ["errors"], "level": "WARNING"},
            # Its pool warns of each connection that it cannot make, with a traceback. The gateway
            # logs once that the database fails.
            "asyncpg": {"level": "ERROR"},
        },
    }
