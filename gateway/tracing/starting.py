"""Imports OpenTelemetry, which is an extra, for those whose settings ask for traces.

All functions raise ConfigurationError, if it is not installed, or if its variables ask for what is
not supported.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gateway.errors import ConfigurationError
from gateway.tracing import RequestTracer

if TYPE_CHECKING:
    from gateway.tracing.export import Export


def require_usable() -> None:
    """Checks before a server starts what its workers will need."""
    with _explained():
        from gateway.tracing.export import check_variables  # noqa: PLC0415
    check_variables()


def request_tracer() -> RequestTracer:
    """Its spans go to OpenTelemetry's global provider. Under `gateway serve` that is the one that
    `start_export` made, otherwise that of the application in which the gateway is mounted.
    """
    with _explained():
        from gateway.tracing.spans import OpenTelemetryTracer  # noqa: PLC0415
    return OpenTelemetryTracer()


def start_export(version: str) -> "Export":
    """Sends the spans of this process to a collector. It has a thread: start it after a fork."""
    with _explained():
        from gateway.tracing.export import Export  # noqa: PLC0415
    return Export(version)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise ConfigurationError(
            "observability.traces: traces need OpenTelemetry, the extra 'otel':"
            " pip install '.[otel]' in the checkout of the gateway"
        ) from None
