"""Spans by OpenTelemetry's API, named and described as its semantic conventions say (1.27, HTTP and
databases). Our own attributes begin with `gateway.`.

Spans hold no credential, no header field, no query string, and no value of a database query.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import Self

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.errors import RequestError
from gateway.tracing import CURRENT, Awaited, Span, Value

_METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)
_WORDS_OF_SUMMARY = re.compile(r"\bSELECT\b|(?<=\bFROM )\w+")
# The queue of spans is bounded in number, so each of them must be bounded in size.
_MOST_CHARACTERS = 1024
_PROPAGATOR = TraceContextTextMapPropagator()


class OpenTelemetryTracer:
    """See `RequestTracer`."""

    def __init__(self, provider: trace.TracerProvider | None = None) -> None:
        """`provider`: by default the global one, also if it is set later."""
        self._tracer = trace.get_tracer("gateway", tracer_provider=provider)

    @contextmanager
    def request(
        self, method: str, path: str, scheme: str, trusted: Mapping[str, str]
    ) -> Iterator["OpenTelemetrySpan | None"]:
        around = _span_around()
        span = self._tracer.start_span(
            _method_name(method),
            _PROPAGATOR.extract(trusted, Context()) if around is None else around,
            # A trace has one server span in each process that a request passes through.
            SpanKind.SERVER if around is None else SpanKind.INTERNAL,
            {
                "http.request.method": method if method in _METHODS else "_OTHER",
                "url.path": path[:_MOST_CHARACTERS],
                "url.scheme": scheme,
            },
        )
        if not span.is_recording():  # the sampler has decided so for all of the request
            yield None
            return
        with OpenTelemetrySpan(self._tracer, span).entered() as opened:
            yield opened


class OpenTelemetrySpan:
    """See `Span` and `RequestSpan`."""

    __slots__ = ("_context", "_span", "_tracer")

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span
        self._context = trace.set_span_in_context(span, Context())

    @property
    def is_open(self) -> bool:
        return self._span.is_recording()

    @property
    def ids(self) -> tuple[str, str]:
        known = self._span.get_span_context()
        return trace.format_trace_id(known.trace_id), trace.format_span_id(known.span_id)

    @contextmanager
    def entered(self) -> Iterator[Self]:
        """The span is the current one, and ends with the block."""
        token, outer = CURRENT.set(self), contexts.attach(self._context)
        try:
            yield self
        except Exception as error:
            self._fail(error)
            raise
        finally:
            contexts.detach(outer)
            CURRENT.reset(token)
            self._span.end()

    def begin(self, name: str, attributes: Mapping[str, Value]) -> AbstractContextManager[Self]:
        own = {f"gateway.{key}": value for key, value in attributes.items()}
        return self._child(name, SpanKind.INTERNAL, own)

    def begin_query(self, dialect: str, statement: str) -> AbstractContextManager[Self]:
        summary = _summary(statement)
        known = {"db.system.name": dialect, "db.query.summary": summary}
        return self._child(summary, SpanKind.CLIENT, known)

    @contextmanager
    def _child(self, name: str, kind: SpanKind, attributes: Mapping[str, Value]) -> Iterator[Self]:
        span = self._tracer.start_span(name, self._context, kind, attributes)
        with type(self)(self._tracer, span).entered() as child:
            yield child

    @contextmanager
    def wait(self, name: str, awaited: Awaited) -> Iterator[None]:
        started_ns = time.time_ns()
        try:
            yield
        finally:
            self._note_wait(name, awaited.load, started_ns)

    def _note_wait(self, name: str, load: Span | None, started_ns: int) -> None:
        links = []
        if isinstance(load, OpenTelemetrySpan):
            known = load._span.get_span_context()
            if known.trace_id == self._span.get_span_context().trace_id:
                return  # the load is part of this trace
            links.append(Link(known))
        self._tracer.start_span(name, self._context, links=links, start_time=started_ns).end()

    def note(self, **attributes: Value | None) -> None:
        for name, value in attributes.items():
            if value is not None:
                self._span.set_attribute(f"gateway.{name}", value)

    def answer(self, method: str, route: str | None, status: int, code: str | None) -> None:
        span = self._span
        if route is not None:
            span.update_name(f"{_method_name(method)} {route}")
            span.set_attribute("http.route", route)
        if status:
            span.set_attribute("http.response.status_code", status)
        if code is not None:
            span.set_attribute("error.type", code)
        if status >= 500:  # a status below is the client's error
            span.set_status(StatusCode.ERROR)

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, RequestError):
            self._span.set_attribute("error.type", type(error).__qualname__)
        elif error.status < 500:
            return  # an answer, and no failure
        else:
            self._span.set_attribute("error.type", error.code)
        self._span.set_status(StatusCode.ERROR)


def _method_name(method: str) -> str:
    return method if method in _METHODS else "HTTP"


def _span_around() -> Context | None:
    """The span of an application in which the gateway is mounted, if it traces this request, or
    has decided not to record it.
    """
    around = trace.get_current_span()
    is_unrecorded = isinstance(around, NonRecordingSpan) and around.get_span_context().is_valid
    if not around.is_recording() and not is_unrecorded:
        return None
    return trace.set_span_in_context(around, Context())


@lru_cache(64)
def _summary(statement: str) -> str:
    """`SELECT module SELECT plugin`: operations and tables in their order, as the conventions for
    `db.query.summary` say.
    """
    return " ".join(_WORDS_OF_SUMMARY.findall(statement))
