"""A real Prometheus scrapes gateways under a steady load for the better part of a minute.

One gateway listens on a port, the other one on a Unix socket with nginx in front of it. Both serve
one site with four workers.
"""

import itertools
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conftest import require_program
from tests.support.pacing import PacedClient
from tests.support.processes import children
from tests.support.prometheus import (
    Prometheus,
    alert_rules,
    panel_queries,
    prometheus_scraping,
)
from tests.support.proxies import proxy_before
from tests.support.server import Server, serving, serving_on_socket
from tests.support.site import ADA, BEN, Site, bearer
from tests.support.urls import API, MANIFEST, Question, own, public
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

WORKERS = ("--workers", "4")
SCRAPED_ON_SOCKET = {"GATEWAY__OBSERVABILITY__METRICS_ALLOW": "unix"}
PER_SECOND = 20.0
LOAD_S, WINDOW_S = 40.0, 30
TOLERANCE = 0.03
"""Prometheus reads the counters some milliseconds after the moment of its sample."""

QUESTIONS = [
    *2 * [
        Question(own("Review"), bearer(ADA)),
        Question(own("Review", "dist/1.js"), bearer(ADA)),
        Question(own("Eyes"), bearer(ADA)),
        Question(own("Review"), bearer(BEN)),
        Question(MANIFEST, bearer(ADA)),
        Question(f"{MANIFEST}/designer", bearer(BEN)),
        Question(public(f"{ADA}_Review"), {}),
        Question(public(f"{BEN}_Review", "dist/1.js"), {}),
        Question(f"{API}/plugins/Review/status", bearer(BEN)),
    ],
    Question(f"{API}/plugins/{ADA}_Review/info", bearer(ADA)),
    Question(own("Review", "dist/missing.js"), bearer(ADA)),
]  # fmt: skip
NOTHING_OF_HEALTHY_GATEWAYS = {"Stale answers and failed loads"}
SHOWING = [
    one for one in panel_queries(f"{WINDOW_S}s") if one[0] not in NOTHING_OF_HEALTHY_GATEWAYS
]


@dataclass(frozen=True, slots=True)
class Observed:
    """What Prometheus saw of the load that has ended."""

    prometheus: Prometheus
    gateways: dict[str, Server]
    """By the label `instance`."""
    clients: dict[str, PacedClient]
    ended_at: float
    """Seconds since the epoch."""


@pytest.fixture(scope="module")
def observed(site: Site) -> Iterator[Observed]:
    with ExitStack() as stack:
        gateways, fronts = _start(site, stack)
        folder = site.folder / "prometheus"
        prometheus = stack.enter_context(prometheus_scraping(folder, *fronts))
        eventually(lambda: prometheus.query("gateway_build_info"), lambda found: len(found) == 2)
        clients = {
            instance: PacedClient(front, QUESTIONS, PER_SECOND)
            for instance, front in fronts.items()
        }
        with ExitStack() as load:
            for client in clients.values():
                load.enter_context(client.running())
            _change_now_and_then(site)
        ended_at = min(client.answered[-1] for client in clients.values())
        scraped = f"min(timestamp(gateway_build_info)) > {ended_at + 1}"
        eventually(lambda: prometheus.query(scraped), bool)
        yield Observed(prometheus, gateways, clients, ended_at)


def _start(site: Site, stack: ExitStack) -> tuple[dict[str, Server], dict[str, Server]]:
    """The gateways, and what is asked in their place; both by what Prometheus is to scrape."""
    on_port = stack.enter_context(serving(site.environment, *WORKERS))
    environment = {**site.environment, **SCRAPED_ON_SOCKET}
    socket = site.folder / "gateway.sock"
    on_socket = stack.enter_context(serving_on_socket(environment, socket, *WORKERS))
    nginx = stack.enter_context(
        proxy_before(
            on_socket,
            environment,
            require_program("nginx"),
            "nginx",
            "proxy",
            site.folder / "nginx",
            *("--upstream", str(socket), "--metrics-allow", "127.0.0.1"),
        )
    )
    direct, proxied = (f"127.0.0.1:{front.port}" for front in (on_port, nginx))
    return {direct: on_port, proxied: on_socket}, {direct: on_port, proxied: nginx}


def _change_now_and_then(site: Site) -> None:
    """Commits a row and replaces a user's file, each second until the load is to end."""
    end = time.monotonic() + LOAD_S
    for number in itertools.takewhile(lambda _: time.monotonic() < end, itertools.count()):
        site.execute("UPDATE plugin SET updated_at = ? WHERE user_id = ?", f"{number}", ADA)
        file = site.installations_file(BEN)
        copy = file.with_suffix(".new")
        copy.write_bytes(file.read_bytes())
        copy.replace(file)
        time.sleep(1.0)


each_instance = pytest.mark.parametrize("place", [0, 1], ids=["on a port", "on a socket"])


def alerts_named(prometheus: Prometheus, name: str) -> list[dict[str, Any]]:
    """Those that are pending or fire."""
    return [alert for alert in prometheus.alerts() if alert["labels"]["alertname"] == name]


@each_instance
def test_the_rate_is_the_load(observed: Observed, place: int) -> None:
    instance, client = list(observed.clients.items())[place]
    chosen = f'instance="{instance}"'
    requests = f'gateway_requests_total{{{chosen}, route!="operations"}}[{WINDOW_S}s]'
    rate = observed.prometheus.value(f"sum(rate({requests}))", observed.ended_at)
    (build,) = observed.prometheus.query(
        f"gateway_build_info{{{chosen}}}[{WINDOW_S}s]", observed.ended_at
    )
    first, last = build.samples[0][0], build.samples[-1][0]
    assert last - first > WINDOW_S / 2
    sent = client.answered_between(first, last) / (last - first)
    assert rate == pytest.approx(sent, rel=TOLERANCE)


@each_instance
def test_every_request_is_counted_once(observed: Observed, place: int) -> None:
    instance, client = list(observed.clients.items())[place]
    counted = observed.prometheus.value(
        f'sum(gateway_requests_total{{instance="{instance}", route!="operations"}})'
    )
    assert counted == len(client.answered)
    assert client.statuses == {200, 404}


@pytest.mark.parametrize("expression", [one[1] for one in SHOWING], ids=[one[0] for one in SHOWING])
def test_a_panel_shows_something(observed: Observed, expression: str) -> None:
    assert observed.prometheus.query(expression, observed.ended_at)


def test_no_alert_is_about_to_fire_for_gateways_that_are_well(observed: Observed) -> None:
    assert eventually(observed.prometheus.alerts, lambda alerts: not alerts) == []
    groups = observed.prometheus.get("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == {rule["alert"] for rule in alert_rules()}
    assert [rule.get("lastError") for rule in rules if rule["health"] != "ok"] == []


def test_a_worker_that_is_killed_is_told_of_and_no_counter_falls(observed: Observed) -> None:
    prometheus = observed.prometheus
    instance, gateway = next(iter(observed.gateways.items()))
    os.kill(children(gateway.process.pid)[0], signal.SIGKILL)
    (alert,) = eventually(lambda: alerts_named(prometheus, "GatewayWorkersDie"), bool)
    assert (alert["labels"]["instance"], alert["labels"]["cause"]) == (instance, "died")
    assert instance in alert["annotations"]["summary"]
    workers = f'gateway_workers{{instance="{instance}"}}'
    eventually(lambda: prometheus.value(workers), lambda count: count == 4)
    names = prometheus.get("label/__name__/values")
    counters = [name for name in names if re.fullmatch(r"gateway_.+_(total|bucket|count)", name)]
    assert "gateway_requests_total" in counters
    assert [name for name in counters if prometheus.query(f"resets({name}[5m]) > 0")] == []


def test_a_gateway_that_ends_is_told_of(observed: Observed) -> None:
    instance, gateway = list(observed.gateways.items())[1]
    assert gateway.stop() == 0
    (alert,) = eventually(lambda: alerts_named(observed.prometheus, "GatewayDown"), bool)
    assert alert["labels"]["instance"] == instance
