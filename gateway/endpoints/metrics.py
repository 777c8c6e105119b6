"""`/-/metrics`: counters in the Prometheus text format, of the worker that answers.

The gateway counts in plain integers, and makes metrics of them when somebody asks.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.core import Core
from gateway.hot_path.front import Front
from gateway.http.cache_policy import NO_STORE
from gateway.identity.callers import Callers
from gateway.identity.peers import TrustedPeers


class Metrics(Collector):
    """The route of the metrics, for administrators and `observability.metrics_allow`."""

    def __init__(self, front: Front, core: Core, allowed: TrustedPeers, callers: Callers) -> None:
        self._front = front
        self._core = core
        self._allowed = allowed
        self._callers = callers
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self.route = Route("/-/metrics", self._show)

    def collect(self) -> Iterator[Metric]:
        """The counters, for prometheus_client."""
        requests = CounterMetricFamily(
            "gateway_requests", "Requests answered, by status and path.", labels=["status", "path"]
        )
        for status, count in self._front.answered_hot.items():
            requests.add_metric([str(status), "hot"], count)
        for status, count in self._front.answered_cold.items():
            requests.add_metric([str(status), "cold"], count)
        yield requests
        events = CounterMetricFamily(
            "gateway_cache_events", "What happened in each cache.", labels=["cache", "event"]
        )
        entries = GaugeMetricFamily(
            "gateway_cache_entries", "Entries held by each cache.", labels=["cache"]
        )
        for name, cache in self._core.caches.items():
            for event, count in cache.counters.as_dict().items():
                events.add_metric([name, event], count)
            entries.add_metric([name], len(cache))
        yield events
        yield entries
        yield CounterMetricFamily(
            "gateway_database_queries", "Queries made.", self._core.database.queries
        )
        yield GaugeMetricFamily(
            "gateway_asset_bytes",
            "Bytes of memory that files take.",
            self._core.assets.memory_bytes,
        )

    async def _show(self, request: Request) -> Response:
        if request.scope not in self._allowed:
            await self._callers.require_administrator(request.scope)
        return Response(
            generate_latest(self._registry),
            media_type=CONTENT_TYPE_LATEST,
            headers={"Cache-Control": NO_STORE},
        )
