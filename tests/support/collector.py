"""A collector of traces: takes OTLP over HTTP on a free port, and decodes it."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.waiting import eventually


@dataclass(frozen=True)
class ReceivedSpan:
    """One span, as it was received. Ids are hex digits; "" is no parent."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: Mapping[str, Any]
    links: tuple[str, ...]
    """Ids of spans."""
    status: str
    start_ns: int
    end_ns: int
    resource: Mapping[str, Any]


class Collector:
    """Tests may change its answers while it runs."""

    def __init__(self, port: int = 0) -> None:
        self.spans: list[ReceivedSpan] = []
        self.headers: list[Mapping[str, str]] = []
        self.status = 200
        self.open_gate = threading.Event()
        """Answers wait until it is set."""
        self.open_gate.set()
        self.asked = threading.Event()
        """Set by the first request."""
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_port

    @property
    def environment(self) -> dict[str, str]:
        return self.environment_at(self.port)

    @staticmethod
    def environment_at(port: int) -> dict[str, str]:
        """What makes a gateway send its traces there, five times a second."""
        return {
            "GATEWAY__OBSERVABILITY__TRACES": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }

    def named(self, name: str) -> list[ReceivedSpan]:
        return [span for span in self.spans if span.name == name]

    def the_span(
        self, name: str, matches: Callable[[ReceivedSpan], bool] = lambda _span: True
    ) -> ReceivedSpan:
        """The first span of the name that `matches`, once it has arrived."""
        found = eventually(lambda: [span for span in self.named(name) if matches(span)], bool)
        return found[0]

    def trace(self, trace_id: str) -> dict[str, list[ReceivedSpan]]:
        """The spans of one trace by name."""
        by_name: dict[str, list[ReceivedSpan]] = {}
        for span in self.spans:
            if span.trace_id == trace_id:
                by_name.setdefault(span.name, []).append(span)
        return by_name

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """From now on connections are refused."""
        self.open_gate.set()
        self._server.shutdown()
        self._server.server_close()

    def _receive(self, content: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(content)
        for of_resource in request.resource_spans:
            resource = _attributes(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                self.spans += [_received(span, resource) for span in of_scope.spans]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                collector.asked.set()
                collector.open_gate.wait(20)
                collector.headers.append(dict(self.headers.items()))
                if collector.status == 200:
                    collector._receive(content)
                with contextlib.suppress(OSError):  # the client has given up
                    self.send_response(collector.status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def _attributes(attributes: Any) -> dict[str, Any]:
    return {it.key: getattr(it.value, it.value.WhichOneof("value")) for it in attributes}


def _received(span: Any, resource: Mapping[str, Any]) -> ReceivedSpan:
    kinds = span.DESCRIPTOR.fields_by_name["kind"].enum_type.values_by_number
    codes = span.status.DESCRIPTOR.fields_by_name["code"].enum_type.values_by_number
    return ReceivedSpan(
        name=span.name,
        kind=kinds[span.kind].name.removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes=_attributes(span.attributes),
        links=tuple(link.span_id.hex() for link in span.links),
        status=codes[span.status.code].name.removeprefix("STATUS_CODE_"),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        resource=resource,
    )


@contextmanager
def collecting(port: int = 0) -> Iterator[Collector]:
    """A collector, until the block ends."""
    collector = Collector(port)
    collector.start()
    try:
        yield collector
    finally:
        collector.stop()
