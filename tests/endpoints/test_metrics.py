"""`/-/metrics`: what was counted, in the Prometheus text format."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.server import Server, serving
from tests.support.site import ADA, Site, bearer
from tests.support.urls import own

pytestmark = pytest.mark.slow


def samples(server: Server) -> dict[tuple[str, ...], float]:
    """Values by name and label values, labels in the order of their names."""
    answer = server.get("/-/metrics")
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def test_each_request_is_counted_once(server: Server) -> None:
    before = samples(server)
    for _ in range(3):
        server.get(own("Review"), bearer(ADA))
    server.get(own("Review", "dist/missing.js"), bearer(ADA))
    after = samples(server)

    def counted(status: str) -> float:
        return sum(
            after[key] - before.get(key, 0)
            for key in after
            if key[0] == "gateway_requests_total" and key[2] == status
        )

    assert counted("404") == 1
    assert counted("200") == 3 + 1  # and the first look at the metrics


def test_caches_tell_hits_from_misses(server: Server) -> None:
    for _ in range(2):
        server.get(own("Eyes", "dist/1.js"), bearer(ADA))
    found = samples(server)
    assert found["gateway_cache_events_total", "versions", "misses"] >= 1
    assert found["gateway_cache_events_total", "installations", "loads"] >= 1
    assert found["gateway_cache_entries", "versions"] >= 1
    assert found["gateway_asset_bytes",] > 0
    assert found["gateway_database_queries_total",] >= 1


def test_metrics_can_be_switched_off(site: Site) -> None:
    with serving({**site.environment, "GATEWAY__OBSERVABILITY__METRICS": "false"}) as server:
        assert server.get("/-/metrics").status == 404
