"""Spans: which part of a request took how long. docs/how-to/tracing.md shows what operators see.

While a request of the cold path is traced, `current` is its span, or the span of the part that
runs at the moment. Whatever takes time opens a span below it:

    with span("read users' files", files=len(users)):
        ...

Loads of a cache run in tasks of their own, and one load may serve many requests: `span_below`
names the span that it belongs to, and `wait` connects the other requests with it.

If nothing is traced, each of these costs 0.2 µs, and OpenTelemetry is not even imported.

    spans.py      makes spans, with OpenTelemetry's API
    export.py     sends them, with its SDK
    starting.py   imports these two, if the settings ask for traces

current_request.py is for log lines, and is known whether or not anything is traced.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from typing import Protocol

Value = str | int | float | bool


class Awaited(Protocol):
    """What several requests may wait for."""

    load: "Span | None"
    """The span in which it is made, once that has begun; None if it is not traced."""


class Span(Protocol):
    """A part of a request, open or ended."""

    @property
    def is_open(self) -> bool: ...

    @property
    def ids(self) -> tuple[str, str]:
        """The trace's and the span's, 32 and 16 hex digits."""

    def begin(
        self, name: str, attributes: Mapping[str, Value]
    ) -> AbstractContextManager["Span | None"]:
        """A span below this one. It is the current one until the block ends."""

    def begin_query(self, dialect: str, statement: str) -> AbstractContextManager["Span | None"]:
        """As `begin`, for a database query. The span does not show the values of parameters."""

    def wait(self, name: str, awaited: Awaited) -> AbstractContextManager[None]:
        """The block waits. It gets a span, with a link to the load, if the load is not part of this
        trace.
        """


class RequestSpan(Span, Protocol):
    """The span of a whole request."""

    def note(self, **attributes: Value | None) -> None:
        """Adds attributes, except those that are None."""

    def answer(self, method: str, route: str | None, status: int, code: str | None) -> None:
        """The request is answered. `code`: of our error, for a refusal."""


class RequestTracer(Protocol):
    """Opens the spans of requests."""

    def request(
        self, method: str, path: str, scheme: str, trusted: Mapping[str, str]
    ) -> AbstractContextManager[RequestSpan | None]:
        """The span of a request, current until the block ends; None: it is not recorded.

        `trusted`: header fields of a proxy that may say which trace the request belongs to (W3C
        Trace Context), or none.
        """


class _Nothing:
    """The context of what is not traced. It has no state: one object serves all."""

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


class _Untraced:
    """A context in which nothing is traced, although it was before."""

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        self._token: Token[Span | None] = CURRENT.set(None)

    def __exit__(self, *_: object) -> None:
        CURRENT.reset(self._token)


_NOTHING = _Nothing()
CURRENT: ContextVar[Span | None] = ContextVar("gateway.span", default=None)
"""Tasks inherit it, so the span may have ended. Only spans.py sets it."""


def current() -> Span | None:
    """The span that is open here; None if nothing is traced."""
    span = CURRENT.get()
    return span if span is not None and span.is_open else None


def span(name: str, **attributes: Value) -> AbstractContextManager[Span | None]:
    """A span below the current one. `name` holds no value: it is one of a small set."""
    parent = CURRENT.get()
    if parent is None or not parent.is_open:
        return _NOTHING
    return parent.begin(name, attributes)


def span_below(
    parent: Span | None, name: str, **attributes: Value
) -> AbstractContextManager[Span | None]:
    """As `span`, below a span that may have ended. None: nothing is traced in the block."""
    if parent is not None:
        return parent.begin(name, attributes)
    return _NOTHING if CURRENT.get() is None else _Untraced()


def query_span(dialect: str, statement: str) -> AbstractContextManager[Span | None]:
    """As `span`, for a database query."""
    parent = CURRENT.get()
    if parent is None or not parent.is_open:
        return _NOTHING
    return parent.begin_query(dialect, statement)


def wait(name: str, awaited: Awaited) -> AbstractContextManager[None]:
    """See `Span.wait`."""
    waiting = CURRENT.get()
    if waiting is None or not waiting.is_open:
        return _NOTHING
    return waiting.wait(name, awaited)
