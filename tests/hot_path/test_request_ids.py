"""Each error, and each line about a request, has its id: over real sockets, of any peer."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.server import Answer, Server, serving, serving_on_socket
from tests.support.site import ADA, NOBODY, Site, bearer, populated
from tests.support.sockets import request
from tests.support.urls import MANIFEST, own, pin_of, public
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

FIELD = "X-Request-ID"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = {"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}
MADE = re.compile(r"[0-9a-f]{32}")
ORIGIN = "https://app.example"
SETTINGS = {"GATEWAY__HTTP__CORS_ORIGINS": ORIGIN}
STRANGERS = {**SETTINGS, "GATEWAY__IDENTITY__PROXY__TRUSTED": "192.0.2.1"}


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[Server]:
    """Behind a proxy on this machine, which is trusted."""
    with serving({**site.environment, **SETTINGS}) as running:
        yield running


@pytest.fixture(scope="module")
def strange(site: Site) -> Iterator[Server]:
    """Trusts another peer than this one."""
    with serving({**site.environment, **STRANGERS}) as running:
        yield running


def ids_of(answer: Answer) -> list[str]:
    return [value for name, value in answer.fields if name == "x-request-id"]


def is_hot(server: Server, path: str, headers: Mapping[str, str]) -> bool:
    """Whether an answer has just been given on the hot path."""
    before = hot_count(server)
    server.get(path, headers)
    return hot_count(server) > before


def hot_count(server: Server) -> float:
    """Requests answered on the hot path so far, as `/-/metrics` shows them."""
    text = server.get("/-/metrics").body.decode()
    counts = re.findall(r'(?m)^gateway_requests_total\{.*path="hot".*\} (\S+)$', text)
    return sum(map(float, counts))


def warm(server: Server, path: str, headers: Mapping[str, str]) -> None:
    eventually(lambda: is_hot(server, path, headers), bool)


COLD = [
    ("GET", "/-/live", 200),
    ("HEAD", own("Review"), 200),
    ("GET", own("Review", "dist/missing.js"), 404),
    ("GET", own("Review", "dist/x.exe"), 403),
    ("GET", public("Nothing"), 404),
    ("GET", "/nowhere", 404),
    ("GET", f"{MANIFEST}/x/y/z", 403),
    ("POST", own("Review"), 405),
    ("OPTIONS", own("Review"), 204),
    ("GET", "/-/cache", 403),
]


@pytest.mark.parametrize(("method", "path", "status"), COLD)
def test_every_answer_of_the_cold_path_has_one_id(
    server: Server, strange: Server, method: str, path: str, status: int
) -> None:
    for peer in (server, strange):
        answer = peer.request(method, path, bearer(ADA))
        assert answer.status == status
        (made,) = ids_of(answer)
        assert MADE.fullmatch(made)
        (other,) = ids_of(peer.request(method, path, bearer(ADA)))
        assert other != made


@pytest.mark.parametrize(("method", "path", "status"), COLD)
def test_the_id_of_a_trusted_proxy_comes_back(
    server: Server, strange: Server, method: str, path: str, status: int
) -> None:
    headers = {**bearer(ADA), FIELD: "of-the.proxy_1"}
    assert ids_of(server.request(method, path, headers)) == ["of-the.proxy_1"]
    (made,) = ids_of(strange.request(method, path, headers))
    assert MADE.fullmatch(made)


def test_a_preflight_request_and_a_missing_credential_have_one(server: Server) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    assert len(ids_of(server.request("OPTIONS", own("Review"), asked))) == 1
    refused = server.get(own("Review"), {"Origin": ORIGIN})
    assert refused.status == 401
    assert len(ids_of(refused)) == 1
    assert FIELD in refused.headers["access-control-expose-headers"]


def test_a_304_and_a_part_have_one(server: Server) -> None:
    whole = server.get(own("Review"), {**bearer(ADA), FIELD: "a"})
    known = {**bearer(ADA), FIELD: "b", "If-None-Match": whole.headers["etag"], "Range": "bytes=0-"}
    assert (server.get(own("Review"), known).status, ids_of(server.get(own("Review"), known))) == (
        304,
        ["b"],
    )
    part = server.get(own("Review"), {**bearer(ADA), FIELD: "c", "Range": "bytes=0-1"})
    assert (part.status, ids_of(part)) == (206, ["c"])


def test_a_hot_answer_has_the_id_of_a_trusted_proxy_and_no_other(
    server: Server, strange: Server
) -> None:
    pinned = public("Review", f"{pin_of(server, ADA, 'Review')}/dist/remoteEntry.js")
    for path in (own("Review"), MANIFEST, pinned):
        for peer, expected in ((server, ["given"]), (strange, [])):
            warm(peer, path, bearer(ADA))
            before = hot_count(peer)
            assert ids_of(peer.get(path, bearer(ADA))) == []
            assert ids_of(peer.get(path, {**bearer(ADA), FIELD: "given"})) == expected
            assert hot_count(peer) == before + 2


def test_the_trace_id_stands_in_for_an_id(server: Server, strange: Server) -> None:
    warm(server, own("Review"), bearer(ADA))
    for path in (own("Review"), "/-/live"):
        headers = {**bearer(ADA), **TRACEPARENT}
        assert ids_of(server.get(path, headers)) == [TRACE_ID]
        assert ids_of(server.get(path, {**headers, FIELD: "an id that is none"})) == [TRACE_ID]
        assert ids_of(server.get(path, {**headers, FIELD: "mine"})) == ["mine"]
        assert TRACE_ID not in ids_of(strange.get(path, headers))


@pytest.mark.parametrize(
    "line",
    [
        "X-Request-ID: " + "a" * 65,
        "X-Request-ID: " + "a" * 60_000,
        "X-Request-ID:",
        "X-Request-ID: a b",
        "X-Request-ID: a, b",
        "X-Request-ID: \x1b[31mred",
        "X-Request-ID: one\r\nX-Request-ID: two",
        "X-Request-ID: one\r\n two",
        "X-Request-ID: one\rtwo",
        "X-Request-ID: one\ntwo",
        "X-Request-ID: one\x00two",
        "X-Request-ID: a\x85b",
    ],
)
@pytest.mark.parametrize("path", [own("Review"), own("Review", "dist/missing.js")])
def test_an_odd_id_never_comes_back(server: Server, path: str, line: str) -> None:
    """The request is answered with a new id, or refused as no HTTP/1.1."""
    credential = f"Authorization: {bearer(ADA)['Authorization']}"
    received = server.raw(request(path, credential, line, "Connection: close"))
    head = received.partition(b"\r\n\r\n")[0].decode("latin-1")
    status = int(head.split(" ")[1])
    ids = re.findall(r"(?mi)^x-request-id: ?(.*?)\r?$", head)
    assert status in (200, 400, 404, 431)
    assert all(MADE.fullmatch(one) for one in ids)
    assert len(ids) == 1 or (status == 200 and ids == [])
    assert not re.search(r"(?mi)^(?:two|red)", head)


@pytest.mark.parametrize(
    "head", [b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /\r\n\r\n"]
)
def test_what_cannot_be_read_is_refused_with_an_id(server: Server, head: bytes) -> None:
    received = server.raw(head)
    assert received.startswith(b"HTTP/1.1 400 ")
    assert len(re.findall(rb"\r\nx-request-id: [0-9a-f]{32}\r\n", received)) == 1


@pytest.mark.parametrize(("trusted", "is_taken"), [("unix", True), ("127.0.0.1", False)])
def test_peers_of_the_socket_give_ids_if_the_settings_trust_them(
    site: Site, tmp_path: Path, trusted: str, is_taken: bool
) -> None:
    environment = {**site.environment, "GATEWAY__IDENTITY__PROXY__TRUSTED": trusted}
    with serving_on_socket(environment, tmp_path / "socket") as running:
        for path in (own("Review"), "/-/live"):
            answer = running.get(path, {**bearer(ADA), FIELD: "given"})
            assert (ids_of(answer) == ["given"]) is is_taken


# Lines

REFUSALS_ONLY = {
    "GATEWAY__OBSERVABILITY__ACCESS_LOG": "0.000001",
    "GATEWAY__OBSERVABILITY__LOG_FORMAT": "json",
}


def lines_about(server: Server, request_id: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in server.output]
    return [line for line in lines if line.get("request_id") == request_id]


def test_all_lines_about_a_failing_request_have_its_id(tmp_path: Path) -> None:
    site = populated(tmp_path / "site")
    with serving({**site.environment, **REFUSALS_ONLY}) as server:
        site.database.rename(tmp_path / "away.db")
        answer = eventually(
            lambda: server.get(own("Review"), bearer(NOBODY)), lambda answer: answer.status == 503
        )
        (request_id,) = ids_of(answer)
        lines = eventually(lambda: lines_about(server, request_id), lambda found: len(found) == 2)
    said = {line["logger"]: line for line in lines}
    assert str(said["gateway.caching.breaker"]["message"]).startswith("the database fails: ")
    refusal = said["gateway.access"]
    assert (refusal["status"], refusal["code"]) == (503, "source_unavailable")
    assert str(refusal["reason"]) in str(said["gateway.caching.breaker"]["message"])


def test_the_traceback_of_a_bug_has_the_id_of_the_answer(site: Site, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from gateway.serving.resolver import Resolver\n"
        "def resolve(*_): raise ValueError('a bug\\nwith two lines')\n"
        "Resolver.resolve = resolve\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**site.environment, **REFUSALS_ONLY, "PYTHONPATH": path}
    with serving(environment) as server:
        answer = server.get(own("Review"), bearer(ADA))
        assert (answer.status, answer.code) == (500, "internal_error")
        (request_id,) = ids_of(answer)
        eventually(
            lambda: {line["logger"] for line in lines_about(server, request_id)},
            {"gateway.access", "gateway.hot_path.front", "gateway.hot_path.exchange"}.__eq__,
        )
        tracebacks = [line for line in map(json.loads, server.output) if "error" in line]
    said = [line["message"].partition(":")[0] for line in tracebacks]
    assert said == ["not answered at once", "not answered from memory", "the application failed"]
    assert all(line["request_id"] == request_id for line in tracebacks)
    assert all("ValueError: a bug" in line["error"] for line in tracebacks)


def test_the_next_request_of_a_connection_has_nothing_of_the_last_one(site: Site) -> None:
    """One connection: a refusal with code and user, then a head that cannot be read."""
    with serving({**site.environment, **REFUSALS_ONLY}) as server:
        credential = f"Authorization: {bearer(ADA)['Authorization']}"
        received = server.raw(
            request(own("Review", "dist/missing.js"), credential)
            + request("/nowhere")
            + b"GET / HTTP/1.1\r\n\r\n"
        )
        ids = re.findall(r"\r\nx-request-id: (\S+)\r\n", received.decode())
        assert len(set(ids)) == 3
        lines = [
            eventually(lambda: lines_about(server, one), bool)  # noqa: B023
            for one in ids
        ]
    facts = [[(line["status"], line["code"], line["user"]) for line in each] for each in lines]
    assert facts == [
        [(404, "asset_not_found", ADA)],
        [(404, "not_found", None)],
        [(400, "bad_request", None)],
    ]
