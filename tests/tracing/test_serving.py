"""What `gateway serve` sends to a collector, and what it does not."""

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks.processes import free_port
from tests.support.collector import Collector, ReceivedSpan, collecting
from tests.support.mounted import URL_PREFIX, serving_mounted
from tests.support.server import Server, run_cli, serving, the_line_of
from tests.support.site import ADA, BEN, CLEO, USERS_CHANGE, Site, bearer, populated
from tests.support.sockets import LAST, converse, request, statuses
from tests.support.urls import (
    ENTRY_URL,
    MANIFEST,
    SIGNED_ENVIRONMENT,
    capability,
    own,
    public,
    signed,
)
from tests.support.waiting import eventually, for_a_while
from tests.support.workers import each_worker

pytestmark = pytest.mark.slow

FILE = "GET /api/v1/plugins/{plugin}/{path}"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
LOST, AGAIN = "traces are lost", "traces arrive"
TRUSTED = {"GATEWAY__IDENTITY__PROXY__TRUSTED": "127.0.0.1"}
ON = {"GATEWAY__OBSERVABILITY__TRACES": "true"}
ADMIN = {"Authorization": "Bearer the-token-of-the-administrators"}
SETTINGS = {
    "GATEWAY__ADMIN__TOKEN": "the-token-of-the-administrators",
    "GATEWAY__IDENTITY__PROXY__TRUSTED": "192.0.2.1",
    **SIGNED_ENVIRONMENT,
}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def running(site: Site, collector: Collector) -> Iterator[Server]:
    with serving({**site.environment, **collector.environment, **SETTINGS}) as server:
        yield server


@pytest.fixture
def server(running: Server, collector: Collector) -> Server:
    """Its caches are empty, and the collector has no spans yet."""
    answer = running.request("POST", "/-/cache/purge", ADMIN, b'{"hard": true}')
    assert answer.status == 200
    last(collector, running)
    collector.spans.clear()
    return running


@pytest.fixture
def own_site(tmp_path: Path) -> Site:
    """For a test that starts a gateway of its own."""
    return populated(tmp_path)


@pytest.fixture
def own_collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def last(collector: Collector, server: Server) -> None:
    """Returns when all spans of the requests so far have arrived: they leave in their order."""
    before = len(collector.named("GET"))
    server.get("/no-route")
    eventually(lambda: len(collector.named("GET")), lambda count: count > before)


def below(collector: Collector, parent: ReceivedSpan) -> dict[str, ReceivedSpan]:
    """The children of a span by name."""
    return {span.name: span for span in collector.spans if span.parent_id == parent.span_id}


def test_a_cold_manifest_is_a_trace_of_what_it_waits_for(
    server: Server, collector: Collector
) -> None:
    answer = server.get(MANIFEST, bearer(ADA))
    request = collector.the_span(f"GET {MANIFEST}")
    last(collector, server)
    assert (request.kind, request.parent_id, request.status) == ("SERVER", "", "UNSET")
    assert request.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": MANIFEST,
        "gateway.request_id": answer.headers["x-request-id"],
        "url.path": MANIFEST,
        "url.scheme": "http",
    }
    load = below(collector, request)["load manifest"]
    assert load.attributes == {"gateway.keys": 1}
    parts = below(collector, load)
    query = parts["SELECT plugin"]
    assert query.kind == "CLIENT"
    assert query.attributes == {"db.system.name": "sqlite", "db.query.summary": "SELECT plugin"}
    files = below(collector, parts["load installations"])["read users' files"]
    assert files.attributes == {"gateway.files": 1}
    look = below(collector, below(collector, request)["load builds"])["look at a version"]
    assert set(look.attributes) == {"gateway.slug", "gateway.version"}
    for span in (load, query, files):
        assert request.start_ns <= span.start_ns <= span.end_ns <= request.end_ns


def test_a_cold_file_is_read_and_then_encoded(
    site: Site, server: Server, collector: Collector
) -> None:
    big = site.plugins / "shared/Review/v1.0.0/dist/big.js"
    big.write_text("let a = 1;\n" * 200)
    assert server.get(own("Review", "dist/big.js"), bearer(ADA)).status == 200
    request, encoding = collector.the_span(FILE), collector.the_span("encode")
    last(collector, server)
    load = below(collector, request)["load assets"]
    read = below(collector, load)["read a published file"]
    assert read.attributes == {"gateway.slug": "Review", "gateway.version": "1.0.0"}
    assert encoding.parent_id == load.span_id
    assert encoding.attributes == {"gateway.size_bytes": 2200}
    assert encoding.end_ns > request.end_ns  # nobody waited for it


def test_every_worker_sends_its_own_spans(own_site: Site, own_collector: Collector) -> None:
    environment = {
        **own_site.environment,
        **own_collector.environment,
        "OTEL_SERVICE_NAME": "plugins-eu",
    }
    with serving(environment, "--workers", "2") as server, each_worker(server, 2) as workers:
        for worker in workers:
            assert worker.get(ENTRY_URL, bearer(ADA)).status == 200
        pids = {worker.pid for worker in workers}
        eventually(lambda: len(own_collector.named(FILE)), lambda count: count == 2)
    resources = [span.resource for span in own_collector.named(FILE)]
    assert {resource["process.pid"] for resource in resources} == pids
    assert {resource["service.name"] for resource in resources} == {"plugins-eu"}


def test_a_change_has_the_span_of_its_transaction(own_site: Site, own_collector: Collector) -> None:
    settings = {**own_site.environment, **own_collector.environment, **USERS_CHANGE}
    with serving(settings) as server:
        path, content = f"/api/v1/plugins/{ADA}_Review", b'{"enabled": false}'
        headers = {**bearer(ADA), "Content-Type": "application/json"}
        assert server.request("PATCH", path, headers, content).status == 200
        request = own_collector.the_span("PATCH /api/v1/plugins/{plugin}")
        last(own_collector, server)
    assert "transaction" in below(own_collector, request)
    assert request.attributes["url.path"] == "/api/v1/plugins/***_Review"


def test_the_name_of_the_service_is_the_gateways_unless_a_variable_says_another(
    server: Server, collector: Collector
) -> None:
    server.get(MANIFEST)
    assert collector.the_span(f"GET {MANIFEST}").resource["service.name"] == "plugin-gateway"


def test_answers_from_memory_have_no_spans(server: Server, collector: Collector) -> None:
    connection = server.connection()
    for _ in range(20):  # on one connection, after a request that is traced
        connection.request("GET", ENTRY_URL, headers=bearer(ADA))
        assert connection.getresponse().read()
    connection.close()
    last(collector, server)
    assert len(collector.named(FILE)) == 1


def test_a_refresh_that_an_answer_from_memory_begins_has_no_spans(
    own_site: Site, own_collector: Collector
) -> None:
    ttl = {"GATEWAY__CACHE__VERSIONS__TTL": "0.2", "GATEWAY__FRESHNESS__SQLITE_POLL": "0"}
    credential = f"Authorization: {bearer(ADA)['Authorization']}"
    # The file is answered as soon as the request before it, which is traced, has its answer.
    pair = request("/no-route") + request(ENTRY_URL, credential)
    with serving({**own_site.environment, **own_collector.environment, **ttl}) as server:
        for _ in for_a_while(2.0):
            assert statuses(converse(server.port, [pair + LAST])) == [404, 200, 200]
        last(own_collector, server)
    before_it = {span.trace_id for span in own_collector.named("GET")}
    assert own_collector.named("load versions")
    assert all(span.kind == "SERVER" for span in own_collector.spans if span.trace_id in before_it)
    assert all(span.parent_id for span in own_collector.spans if span.kind != "SERVER")


def test_requests_that_wait_for_the_load_of_another_have_links_to_it(
    site: Site, server: Server, collector: Collector
) -> None:
    def misses() -> int:
        return int(server.get("/-/cache", ADMIN).json["caches"]["versions"]["misses"])

    before = misses()
    with ThreadPoolExecutor(4) as clients, site.locked():
        answers = [clients.submit(server.get, ENTRY_URL, bearer(ADA)) for _ in range(4)]
        eventually(misses, lambda count: count == before + 4)
    assert {answer.result().status for answer in answers} == {200}
    eventually(lambda: len(collector.named(FILE)), lambda count: count == 4)
    last(collector, server)
    (load,) = collector.named("load versions")
    assert FILE in collector.trace(load.trace_id)
    waits = collector.named("wait for versions")
    assert len(waits) == 3
    assert {wait.links for wait in waits} == {(load.span_id,)}


# Whose traces


def test_a_peer_that_is_not_trusted_does_not_say_which_trace_it_is(
    server: Server, collector: Collector
) -> None:
    server.get(MANIFEST, {**bearer(ADA), **TRACEPARENT})
    request = collector.the_span(f"GET {MANIFEST}")
    assert request.parent_id == ""
    assert request.trace_id != TRACE


def test_a_trusted_proxy_says_which_trace_it_is_and_the_sampler_decides_about_others(
    own_site: Site, own_collector: Collector
) -> None:
    never = {"OTEL_TRACES_SAMPLER": "parentbased_always_off", **TRUSTED}
    with serving({**own_site.environment, **own_collector.environment, **never}) as server:
        server.get(MANIFEST, bearer(ADA))
        server.get(MANIFEST, {**bearer(BEN), **TRACEPARENT})
        request = own_collector.the_span(f"GET {MANIFEST}")
    assert (request.trace_id, request.parent_id) == (TRACE, PARENT)
    assert {span.trace_id for span in own_collector.spans} == {TRACE}


# What spans say


def test_a_refusal_has_its_code_and_a_failure_is_an_error(
    own_site: Site, own_collector: Collector
) -> None:
    with serving({**own_site.environment, **own_collector.environment}) as server:
        assert server.get(own("Nothing"), bearer(ADA)).status == 404
        refused = own_collector.the_span(FILE)
        own_site.database.write_bytes(b"no database")
        assert server.get(own("Review"), bearer(CLEO)).status == 503
        failed = own_collector.the_span(FILE, lambda span: span is not refused)
        last(own_collector, server)
    assert refused.attributes["error.type"] == "not_installed"
    assert refused.status == "UNSET"
    assert failed.attributes["error.type"] == "source_unavailable"
    assert failed.attributes["http.response.status_code"] == 503
    assert failed.status == "ERROR"
    queries = [span for span in own_collector.named("SELECT plugin") if span.status == "ERROR"]
    assert {span.attributes["error.type"] for span in queries} == {"source_unavailable"}


def test_spans_hold_no_credential_and_no_user(server: Server, collector: Collector) -> None:
    token = capability(ADA, "Review")
    server.get(public(f"{ADA}_Review"))
    server.get(signed(token, "Review", "dist/none.js"))
    server.get(signed(token, "Review").replace("signed", "%73igned"))
    server.get(f"/other/{token}/x")
    server.get(f"{MANIFEST}?token={token}", bearer(ADA))
    server.get(own(f"{ADA}_Review", "info"), bearer(ADA))
    last(collector, server)
    said = json.dumps([[span.name, *span.attributes.values()] for span in collector.spans])
    assert "/api/v1/signed/***/plugins/Review/dist/none.js" in said
    assert "/api/v1/public/plugins/***_Review/dist/remoteEntry.js" in said
    credential = bearer(ADA)["Authorization"].removeprefix("Bearer ")
    for secret in (token, *token.split("."), credential, ADA):
        assert secret not in said


def test_probes_scrapes_and_the_console_are_not_traced(
    server: Server, collector: Collector
) -> None:
    for path in ("/-/live", "/-/ready", "/-/metrics", "/-/console"):
        server.get(path)
    server.get("/-/authorize", {"X-Original-URI": ENTRY_URL, **bearer(ADA)})
    collector.the_span("GET /-/authorize")
    last(collector, server)
    requests = [span.name for span in collector.spans if span.kind == "SERVER"]
    assert requests == ["GET /-/authorize", "GET"]


def test_mounted_in_an_application_the_routes_are_those_of_the_application(
    own_site: Site, own_collector: Collector
) -> None:
    factory, environment = "with_traces", {**own_site.environment, **own_collector.environment}
    with serving_mounted(factory, environment) as server:
        assert server.get(URL_PREFIX + ENTRY_URL, bearer(ADA)).status == 200
        request = own_collector.the_span("GET /assets/of plugins/api/v1/plugins/{plugin}/{path}")
    assert request.attributes["url.path"] == URL_PREFIX + ENTRY_URL


def test_json_log_lines_lead_to_the_trace(own_site: Site, own_collector: Collector) -> None:
    logged = {
        "GATEWAY__OBSERVABILITY__ACCESS_LOG": "true",
        "GATEWAY__OBSERVABILITY__LOG_FORMAT": "json",
    }
    with serving({**own_site.environment, **own_collector.environment, **logged}) as server:
        connection = server.connection()
        for _ in range(2):
            connection.request("GET", ENTRY_URL, headers=bearer(ADA))
            assert connection.getresponse().read()
        connection.close()
        request = own_collector.the_span(FILE)

        def answers() -> list[dict[str, Any]]:
            lines = [json.loads(line) for line in server.output]
            return [line for line in lines if line.get("path") == ENTRY_URL]

        cold, hot = eventually(answers, lambda lines: len(lines) == 2)
    assert (cold["trace_id"], cold["span_id"]) == (request.trace_id, request.span_id)
    assert cold["path_kind"] == "cold"
    assert hot["path_kind"] == "hot"
    assert not {"trace_id", "span_id"} & hot.keys()


# A collector that cannot be reached


def test_an_outage_of_the_collector_is_one_line_and_its_end_another(own_site: Site) -> None:
    port = free_port()
    environment = {
        **own_site.environment,
        **Collector.environment_at(port),
        "OTEL_EXPORTER_OTLP_TIMEOUT": "2",
    }
    with serving(environment) as server:

        def lines(text: str) -> list[str]:
            server.get(own("Nothing"), bearer(ADA))
            return [line for line in server.output if text in line]

        (lost,) = eventually(lambda: lines(LOST), bool)
        assert f"127.0.0.1:{port}" in lost
        assert "Connection refused" in lost
        end = time.monotonic() + 3.0  # several more attempts fail
        while time.monotonic() < end:
            assert len(lines(LOST)) == 1
        with collecting(port) as own_collector:
            (again,) = eventually(lambda: lines(AGAIN), bool)
            assert f"127.0.0.1:{port}" in again
            assert own_collector.spans
            assert server.stop() == 0
    output = "".join(server.output)
    assert output.count(LOST) == output.count(AGAIN) == 1
    assert "Traceback" not in output
    assert "HTTPConnection" not in output


@pytest.mark.parametrize("status", [400, 503])
def test_a_collector_that_refuses_is_an_outage_too(
    own_site: Site, own_collector: Collector, status: int
) -> None:
    own_collector.status = status
    timeout = {"OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    with serving({**own_site.environment, **own_collector.environment, **timeout}) as server:
        server.get(MANIFEST, bearer(ADA))
        eventually(lambda: [line for line in server.output if LOST in line], bool)


def test_a_collector_that_does_not_answer_does_not_delay_the_end(
    own_site: Site, own_collector: Collector
) -> None:
    own_collector.open_gate.clear()
    with serving({**own_site.environment, **own_collector.environment}) as server:
        server.get(MANIFEST, bearer(ADA))
        assert own_collector.asked.wait(20)
        began_at = time.monotonic()
        assert server.stop() == 0
        # A second for the last requests, a second for the last spans; the exporter waits for ten.
        assert time.monotonic() - began_at < 8.0


def test_what_was_recorded_last_is_sent_at_the_end(
    own_site: Site, own_collector: Collector
) -> None:
    seldom = {"OTEL_BSP_SCHEDULE_DELAY": "60000"}
    with serving({**own_site.environment, **own_collector.environment, **seldom}) as server:
        server.get(MANIFEST, bearer(ADA))
        assert server.stop() == 0
    assert own_collector.named(f"GET {MANIFEST}")


# Without OpenTelemetry


@pytest.fixture
def without_opentelemetry(tmp_path: Path) -> dict[str, str]:
    """An environment in which its packages are as good as not installed, and leave a trace in
    `imported` when they are looked for.
    """
    package = tmp_path / "missing" / "opentelemetry"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        f"open({str(tmp_path / 'imported')!r}, 'w').close()\nraise ImportError('not installed')\n"
    )
    paths = [str(package.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths)}


def test_without_traces_nothing_of_opentelemetry_is_imported(
    own_site: Site, tmp_path: Path, without_opentelemetry: Mapping[str, str]
) -> None:
    with serving({**own_site.environment, **without_opentelemetry}) as server:
        assert server.get(MANIFEST, {**bearer(ADA), **TRACEPARENT}).status == 200
        assert server.get(ENTRY_URL, bearer(ADA)).status == 200
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("check",)])
def test_traces_without_the_extra_stop_the_start_with_one_line(
    own_site: Site, without_opentelemetry: Mapping[str, str], command: tuple[str, ...]
) -> None:
    result = run_cli({**own_site.environment, **without_opentelemetry, **ON}, *command)
    said = result.stdout + result.stderr
    assert result.returncode == (2 if command[0] == "serve" else 1), said
    assert "observability.traces" in said
    assert "pip install '.[otel]'" in said.replace("\n", " ")


def test_a_protocol_that_is_not_spoken_stops_the_start(own_site: Site) -> None:
    environment = {**own_site.environment, **ON, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    result = run_cli(environment, "serve", "--port", "0")
    assert "OTEL_EXPORTER_OTLP_PROTOCOL" in the_line_of(result)


def test_what_opentelemetry_says_of_its_variables_is_in_the_log_once(
    own_site: Site, own_collector: Collector
) -> None:
    wrong = {"OTEL_EXPORTER_OTLP_HEADERS": "no-pair", "OTEL_TRACES_SAMPLER": "nobody_knows"}
    with serving({**own_site.environment, **own_collector.environment, **wrong}) as server:
        server.get(MANIFEST, bearer(ADA))
        own_collector.the_span(f"GET {MANIFEST}")
    for text in ("no-pair", "nobody_knows"):
        (line,) = (line for line in server.output if text in line)
        assert re.match(r"\S+ WARNING +\d+ +OpenTelemetry: ", line)


def test_a_queue_that_is_too_small_stops_the_start(own_site: Site) -> None:
    environment = {**own_site.environment, **ON, "OTEL_BSP_MAX_QUEUE_SIZE": "10"}
    result = run_cli(environment, "serve", "--port", "0")
    assert result.returncode not in (0, -9)
    assert "a worker cannot start: environment: OTEL_" in result.stderr
    assert "Traceback" not in result.stderr
