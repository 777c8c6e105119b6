"""`/-/metrics`: what was counted, in the Prometheus text format."""

import platform
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

import pytest

from tests.conftest import require_program
from tests.support.mounted import URL_PREFIX, serving_mounted
from tests.support.scrapes import Scrape, promtool_says, scrape
from tests.support.server import Server, serving
from tests.support.settings import QUIET
from tests.support.site import ADA, USERS_CHANGE, Site, bearer, populated
from tests.support.urls import (
    MANIFEST,
    SIGNED_ENVIRONMENT,
    capability,
    own,
    public,
    signed,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

PAGE = "http://localhost:3000"
CORS = {"GATEWAY__HTTP__CORS_ORIGINS": PAGE}
THE_FIRST_SCRAPE = ("operations", "200")
"""It is counted after it was made, so the second one shows it."""
PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "GET"}


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[Server]:
    environment = {**site.environment, **SIGNED_ENVIRONMENT, **USERS_CHANGE, **CORS}
    with serving(environment) as running:
        yield running


class Case(NamedTuple):
    """A request, how it is counted, and the code of the refusal, if it is refused."""

    route: str
    status: int
    path: str
    headers: dict[str, str] | None = None
    method: str = "GET"
    code: str = ""


BEARER = bearer(ADA)
IN_2096 = 4e9
"""Names of tests have the URL in them, and must not depend on the time."""
CASES = [
    Case("own", 200, own("Review"), BEARER),
    Case("own", 200, own("Review"), BEARER, "HEAD"),
    Case("own", 200, own("Review", "%64ist/remoteEntry.js"), BEARER),
    Case("own", 206, own("Review"), {**BEARER, "Range": "bytes=0-4"}),
    Case(
        "own", 416, own("Review"), {**BEARER, "Range": "bytes=9999-"}, code="range_not_satisfiable"
    ),
    Case("own", 412, own("Review"), {**BEARER, "If-Match": '"x"'}, code="precondition_failed"),
    Case("own", 401, own("Review"), code="not_authenticated"),
    Case("own", 404, own("Review", "dist/none.js"), BEARER, code="asset_not_found"),
    Case("own", 204, own("Review"), method="OPTIONS"),
    Case("public", 200, public(f"{ADA}_Review")),
    Case("public", 404, public(f"{ADA}_Eyes", "dist/none.js"), code="asset_not_found"),
    Case("signed", 200, signed(capability(ADA, "Review", now=IN_2096), "Review")),
    Case("signed", 401, signed("x.y", "Review"), code="invalid_token"),
    Case("manifest", 200, MANIFEST, BEARER),
    Case("manifest", 200, f"{MANIFEST}/designer", BEARER, "HEAD"),
    Case("manifest", 401, MANIFEST, code="not_authenticated"),
    Case("plugin", 200, own(f"{ADA}_Review", "status"), BEARER),
    Case("plugin", 404, own(f"{ADA}_None", "info"), BEARER, code="unknown_plugin"),
    Case("changes", 200, own("Review", "install"), BEARER, "POST"),
    Case("changes", 405, own("Review", "install"), BEARER, "PUT", code="method_not_allowed"),
    Case("changes", 401, own("Review", "uninstall"), method="DELETE", code="not_authenticated"),
    Case("authorize", 422, "/-/authorize", code="invalid_request"),
    Case("authorize", 200, "/-/authorize", {**BEARER, "X-Original-URI": own("Review")}),
    Case("operations", 200, "/-/live"),
    Case("operations", 405, "/-/live", method="POST", code="method_not_allowed"),
    Case("operations", 401, "/-/cache", code="not_authenticated"),
    Case("other", 404, "/none", code="not_found"),
    Case("other", 204, "*", method="OPTIONS"),
    Case("other", 200, own("Review"), PREFLIGHT, "OPTIONS"),
    Case("other", 400, own("Review"), {**PREFLIGHT, "Origin": "http://x"}, "OPTIONS"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.method} {case.path} {case.status}")
def test_a_request_is_counted_once_under_its_route_and_status(server: Server, case: Case) -> None:
    before = scrape(server.get)
    answer = server.request(case.method, case.path, case.headers)
    assert answer.status == case.status
    after = scrape(server.get)
    requests = Counter([(case.route, str(case.status)), THE_FIRST_SCRAPE])
    assert rise(before, after, "gateway_requests_total", "route", "status") == requests
    refusals = Counter([(case.code,)] if case.code else [])
    assert rise(before, after, "gateway_refusals_total", "code") == refusals
    durations = rise(before, after, "gateway_request_duration_seconds_count", "route")
    assert durations == Counter([(case.route,), ("operations",)])
    sent = rise(before, after, "gateway_response_bytes_total", "route")
    bodies = Counter({(case.route,): len(answer.body)}) + Counter(
        {("operations",): len(before.text)}
    )
    assert sent == bodies


def rise(before: Scrape, after: Scrape, name: str, *labels: str) -> "Counter[tuple[str, ...]]":
    """By how much counters of this name have risen, by the values of these labels."""
    found: Counter[tuple[str, ...]] = Counter()
    for (sample, given), value in after.samples.items():
        if sample == name:
            change = value - before.samples.get((sample, given), 0.0)
            found[tuple(dict(given)[label] for label in labels)] += int(change)
    return +found


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (b"no field\r\n", 400, "bad_request"),
        (b"Host: x\r\nX: " + b"x" * 2**17 + b"\r\n", 431, "head_too_large"),
        (b"Host: x\r\nTransfer-Encoding: gzip, chunked\r\n", 501, "transfer_coding_unknown"),
    ],
)
def test_what_the_server_refuses_is_counted_without_a_route_and_a_duration(
    server: Server, head: bytes, status: int, code: str
) -> None:
    before = scrape(server.get)
    assert b" %d " % status in server.raw(b"POST / HTTP/1.1\r\n" + head + b"\r\n")
    after = scrape(server.get)
    requests = rise(before, after, "gateway_requests_total", "route", "status")
    assert requests == Counter([("other", str(status)), THE_FIRST_SCRAPE])
    assert rise(before, after, "gateway_refusals_total", "code") == Counter([(code,)])
    durations = rise(before, after, "gateway_request_duration_seconds_count", "route")
    assert durations == Counter([("operations",)])


def test_connections_that_are_too_many_are_counted(site: Site) -> None:
    limit = {"GATEWAY__SERVER__LIMIT_CONCURRENCY": "2"}
    with serving({**site.environment, **limit}) as server:
        with closing(server.connection()) as one, closing(server.connection()) as two:
            one.connect()
            two.connect()
            assert server.get("/-/live").status == 503
        found = eventually(
            lambda: server.get("/-/metrics"), lambda answer: answer.status == 200
        ).body.decode()
    refused = Scrape(found).total("gateway_refusals_total", code="too_many_connections")
    assert refused >= 1
    assert Scrape(found).total("gateway_requests_total", route="other", status="503") == refused


@pytest.mark.parametrize("setting", ["", "DEBUG_HEADERS", "ACCESS_LOG"])
def test_the_path_of_an_answer_is_counted(site: Site, setting: str) -> None:
    """With debug headers nothing is answered hot; with an access log the server asks the
    application, which answers hot."""
    switched = {f"GATEWAY__OBSERVABILITY__{setting}": "true"} if setting else {}
    with serving({**site.environment, **QUIET, **switched}) as server:
        answers = [server.get(own("Review"), BEARER) for _ in range(5)]
        found = scrape(server.get)
    hot, cold = (
        found.total("gateway_requests_total", route="own", status="200", path=path)
        for path in ("hot", "cold")
    )
    assert hot + cold == 5
    assert (hot > 0) == (setting != "DEBUG_HEADERS")
    sent = found.total("gateway_response_bytes_total", route="own")
    assert sent == sum(len(answer.body) for answer in answers)
    for path, count in (("hot", hot), ("cold", cold)):
        name = "gateway_request_duration_seconds"
        assert found.total(f"{name}_bucket", route="own", path=path, le="+Inf") == count
        assert found.total(f"{name}_count", route="own", path=path) == count
        assert (found.total(f"{name}_sum", route="own", path=path) > 0.0) == (count > 0)


def test_the_body_of_a_streamed_file_is_counted(site: Site) -> None:
    switched = {"GATEWAY__CACHE__ASSETS__MAX_FILE_BYTES": "0"}
    with serving({**site.environment, **switched}) as server:
        size = len(server.get(own("Review"), BEARER).body)
        assert scrape(server.get).total("gateway_response_bytes_total", route="own") == size


def test_caches_tell_hits_from_misses(server: Server) -> None:
    for _ in range(2):
        server.get(own("Eyes", "dist/1.js"), BEARER)
    found = scrape(server.get)
    assert found.total("gateway_cache_events_total", cache="versions", event="misses") >= 1
    assert found.total("gateway_cache_events_total", cache="installations", event="loads") >= 1
    assert found.total("gateway_cache_entries", cache="versions") >= 1
    assert found.total("gateway_cache_events_total", cache="assets", event="loads") >= 1
    assert found.total("gateway_cache_bytes", cache="assets") > 0


def test_the_process_and_what_runs_are_described(server: Server) -> None:
    found = scrape(server.get)
    assert found.total("gateway_workers") == 1.0
    assert found.total("gateway_connections") == 1.0
    assert found.total("gateway_resident_memory_bytes") > 2**24
    assert found.total("gateway_cpu_seconds_total") > 0.0
    assert time.time() - 600.0 < found.total("gateway_start_time_seconds") < time.time()
    assert found.total("gateway_build_info", python_version=platform.python_version()) == 1.0
    delays = "gateway_event_loop_delay_seconds_count"
    eventually(lambda: scrape(server.get).total(delays), lambda count: count > found.total(delays))


def test_promtool_finds_nothing_to_warn_of(server: Server) -> None:
    promtool = require_program("promtool")
    server.get(own("Review"), BEARER)
    found = scrape(server.get)
    assert promtool_says(promtool, found.text) == ""
    assert "no help text" in promtool_says(promtool, "without_help 1\n")


def test_the_metrics_are_never_stored_by_a_cache(server: Server) -> None:
    answer = server.get("/-/metrics")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_metrics_can_be_switched_off(site: Site) -> None:
    with serving({**site.environment, "GATEWAY__OBSERVABILITY__METRICS": "false"}) as server:
        assert server.get("/-/metrics").status == 404


def test_a_mounted_gateway_counts_in_its_own_process(site: Site) -> None:
    with serving_mounted("with_running", site.environment) as server:
        for _ in range(3):
            assert server.get(URL_PREFIX + own("Review"), BEARER).status == 200
        assert server.get(URL_PREFIX + "/none").status == 404
        found = scrape(lambda path: server.get(URL_PREFIX + path))
    assert found.total("gateway_requests_total", route="own", status="200") == 3
    assert found.total("gateway_requests_total", route="other", status="404") == 1
    assert found.total("gateway_workers") == 1.0
    assert found.total("gateway_start_time_seconds") > 0.0


def test_two_mounted_gateways_count_for_themselves(
    site: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    second = populated(tmp_path_factory.mktemp("second"))
    with serving_mounted("two_sites", site.environment, second=second.environment) as server:
        assert server.get("/one" + own("Review"), BEARER).status == 200
        one, two = (
            scrape(lambda path, prefix=prefix: server.get(prefix + path))  # type: ignore[misc]
            for prefix in ("/one", "/two")
        )
    assert one.total("gateway_requests_total", route="own") == 1
    assert two.total("gateway_requests_total", route="own") == 0


def test_a_gateway_that_cannot_start_counts_the_request_that_tried(site: Site) -> None:
    """Nobody runs its lifespan, and the database is away at the first request."""
    away = site.database.with_suffix(".away")
    with serving_mounted("without_running", site.environment) as server:
        site.database.rename(away)
        try:
            assert server.get(URL_PREFIX + own("Review"), BEARER).status == 500
        finally:
            away.rename(site.database)
        found = scrape(lambda path: server.get(URL_PREFIX + path))
    assert found.total("gateway_requests_total", route="other", status="500") == 1
    assert found.total("gateway_refusals_total", code="internal_error") == 1
