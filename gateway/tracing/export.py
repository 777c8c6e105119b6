"""Sends the spans of this process to a collector by OTLP over HTTP, with OpenTelemetry's SDK.

The standard variables OTEL_* say where to, how many and under which name: the SDK reads them.
A collector that cannot be reached costs spans, and nothing else: a thread sends them, the queue in
front of it is bounded, and the log has one line when spans are lost, and one when they arrive
again.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from gateway.errors import ConfigurationError
from gateway.errors.sentences import sentence_of

logger = logging.getLogger(__name__)

# What was recorded last gets this time to leave when a worker ends. It has answered all requests.
_LAST_EXPORT_S = 1.0
_MOST_CHARACTERS = 300
_PROTOCOL = "http/protobuf"
_PROTOCOL_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def check_variables() -> None:
    """Raises: ConfigurationError, if the variables ask for what is not here."""
    for name in _PROTOCOL_VARIABLES:
        if (protocol := os.environ.get(name, _PROTOCOL)) != _PROTOCOL:
            raise ConfigurationError(
                f"environment: {name}: traces are sent by {_PROTOCOL} only,"
                f" got {protocol!r} (collectors take it at port 4318)"
            )


class Export:
    """The provider of this process, and its end. It has a thread, so it is made after a fork."""

    def __init__(self, version: str) -> None:
        """`version`: of the gateway. Raises: ConfigurationError."""
        messages = _Messages()
        try:
            exporter = OTLPSpanExporter()
            self._exporter = _ReportingExporter(exporter, messages, _collector(os.environ))
            processor = BatchSpanProcessor(self._exporter)
        except ValueError as error:  # it says what is wrong, but not always of which variable
            raise ConfigurationError(f"environment: OTEL_*: {error}") from None
        own = {"service.name": "plugin-gateway", "service.version": version}
        # `create` would put these above those of the variables, so the variables are read again.
        resource = Resource.create({**own, "process.pid": os.getpid()})
        self._provider = TracerProvider(
            resource=resource.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
        )
        self._provider.add_span_processor(processor)
        trace.set_tracer_provider(self._provider)

    def close(self) -> None:
        """Sends what is left. Returns after a second at the latest, whatever the collector does."""
        if self._exporter.is_failing:
            self._exporter.shutdown()  # ends the attempt that runs
            return
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(_LAST_EXPORT_S)


class _ReportingExporter(SpanExporter):
    """Says once that spans are lost, and once that they arrive again."""

    def __init__(self, inner: SpanExporter, messages: "_Messages", collector: str) -> None:
        """`collector`: host and port, for the log."""
        self._inner = inner
        self._messages = messages
        self._collector = collector
        self._failing_since: float | None = None

    @property
    def is_failing(self) -> bool:
        return self._failing_since is not None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        began_at = time.monotonic()
        with self._messages.kept():
            try:
                result = self._inner.export(spans)
            except Exception as error:  # of whatever library it sends with
                self._messages.problem = sentence_of(_bottom(error))
                result = SpanExportResult.FAILURE
        if result is not SpanExportResult.SUCCESS:
            self._note_failure(began_at)
        elif self._failing_since is not None:
            lasted_s = time.monotonic() - self._failing_since
            logger.info("traces arrive at %s again, after %.1f s", self._collector, lasted_s)
            self._failing_since = None
        return result

    def _note_failure(self, began_at: float) -> None:
        if self._failing_since is None:
            self._failing_since = began_at
            problem = self._messages.problem or "no reason given"
            problem = problem[:_MOST_CHARACTERS]  # a collector may answer with a page
            logger.warning("traces are lost: %s does not take them: %s", self._collector, problem)

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


class _Messages(logging.Handler):
    """Takes what OpenTelemetry logs, which says the same thing at each attempt to send."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.problem: str | None = None
        """The first thing that the exporter said in the last block of `kept`."""
        self._is_kept = False
        self._said: set[str] = set()
        own = logging.getLogger("opentelemetry")
        own.addHandler(self)
        own.propagate = False

    @contextmanager
    def kept(self) -> Iterator[None]:
        """What the exporter says in the block is kept, and not logged."""
        self.problem, self._is_kept = None, True
        try:
            yield
        finally:
            self._is_kept = False

    def emit(self, record: logging.LogRecord) -> None:
        if self._is_kept and record.name.startswith("opentelemetry.exporter"):
            self.problem = self.problem or _problem(record)
        elif record.msg not in self._said:  # the texts of a program: there are few
            self._said.add(record.msg)
            logger.warning("OpenTelemetry: %s", record.getMessage())


def _problem(record: logging.LogRecord) -> str:
    """The error that the record names, or else its text."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    error = next((value for value in arguments if isinstance(value, Exception)), None)
    return record.getMessage() if error is None else sentence_of(_bottom(error))


def _bottom(error: BaseException) -> BaseException:
    """The error that caused the others: `Connection refused`, say."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def _collector(environ: Mapping[str, str]) -> str:
    """Host and port of the endpoint. Its URL may hold a password."""
    names = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    url = next((environ[name] for name in names if environ.get(name)), "http://localhost:4318")
    return urlsplit(url).netloc.rpartition("@")[2] or url
