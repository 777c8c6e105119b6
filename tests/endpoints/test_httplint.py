"""Real answers of every route, read by httplint, which knows the RFCs better than we do."""

import time
from collections.abc import Iterator

import pytest
from httplint import HttpRequestLinter, HttpResponseLinter
from httplint.note import levels
from starlette.routing import Route

from gateway.application import create_app
from gateway.settings import load_settings
from tests.support.server import Server, serving
from tests.support.site import ADA, USERS_CHANGE, Site, bearer, populated
from tests.support.sockets import exchange
from tests.support.urls import (
    API,
    MANIFEST,
    SIGNED_ENVIRONMENT,
    capability,
    own,
    pin_of,
    public,
    signed,
)

ORIGIN = "https://app.example"
ADMIN_TOKEN = "the-token-of-the-administrators-that-is-long-enough"
NO_WARNING = {
    # RFC 9110 §15.3.7.2: a multipart answer has the ranges in its parts, and in no other place.
    "PARTIAL_WITHOUT_RANGE",
    # Shared caches may then store it also where the request had an Authorization.
    "STORE_PUBLIC_UNNECESSARY",
    # RFC 9842 §6.2: a dictionary is one more thing that chooses a variant, and CORS is the fourth.
    "VARY_COMPLEX",
    # Remarks about the request.
    "STATUS_BAD_REQUEST",
}
LARGE = "dist/large.js"
SUFFIXES = ("css", "svg", "wasm", "json", "map", "woff2", "mjs")

USER = bearer(ADA)
ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
JSON = {"Content-Type": "application/json"}
PREFLIGHT = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
PINNED = "{pin}/dist/remoteEntry.js"
INTEGRITY = "{pin}/?integrity"
RETIRED = "@1.0.0~0123456789abcdef/dist/remoteEntry.js"
EXPLAIN = f"/-/explain?user={ADA}&plugin=Review&path=dist/remoteEntry.js"

Question = tuple[str, str, dict[str, str], bytes]
"""Method, URL, fields, body."""


def get(url: str, *fields: dict[str, str]) -> Question:
    return "GET", url, {name: value for some in fields for name, value in some.items()}, b""


QUESTIONS: list[tuple[int, Question]] = [
    # Files
    (200, get(own("Review"), USER)),
    (200, ("HEAD", own("Review"), USER, b"")),
    (200, get(own("Review", LARGE), USER, {"Accept-Encoding": "br"})),
    (200, get(own("Review", LARGE), USER, {"Accept-Encoding": "zstd, gzip;q=0.5"})),
    (206, get(own("Review", LARGE), USER, {"Range": "bytes=0-9"})),
    (206, get(own("Review", LARGE), USER, {"Range": "bytes=0-9, 20-29"})),
    (416, get(own("Review", LARGE), USER, {"Range": "bytes=999999999-"})),
    (304, get(own("Review"), USER, {"If-None-Match": "*"})),
    (412, get(own("Review"), USER, {"If-Match": '"x"'})),
    *[(200, get(own("Review", f"dist/some.{suffix}"), USER)) for suffix in SUFFIXES],
    (200, get(own("Review", PINNED), USER)),
    (200, get(public(f"{ADA}_Review"))),
    (200, get(public(f"{ADA}_Review", PINNED))),
    (200, get(signed("{token}", "Review"))),
    (200, get(signed("{token}", "Review", PINNED))),
    (200, get(own("Review", INTEGRITY), USER)),
    (200, ("HEAD", own("Review", INTEGRITY), USER, b"")),
    (304, get(own("Review", INTEGRITY), USER, {"If-None-Match": "*"})),
    (200, get(public(f"{ADA}_Review", INTEGRITY), {"Origin": ORIGIN})),
    (200, get(signed("{token}", "Review", INTEGRITY))),
    (410, get(public(f"{ADA}_Review", "@1.0.0~0123456789abcdef/?integrity"))),
    (200, get(own("Review"), USER, {"Origin": ORIGIN})),
    (200, get(own("Review"), USER, {"Origin": "https://other.example"})),
    # JSON
    (200, get(MANIFEST, USER)),
    (200, get(f"{MANIFEST}/designer", USER)),
    (200, get(f"{API}/plugins/by-slug/Review", USER)),
    (200, get(f"{API}/plugins/Review/status", USER)),
    (200, get(f"{API}/plugins/{ADA}_Review/info", USER)),
    (200, get(f"{API}/plugins/{ADA}_Review/modules", USER)),
    (404, get(f"{API}/plugins/{ADA}_Review/modules/none", USER)),
    (304, get(MANIFEST, USER, {"If-None-Match": "*"})),
    # Changes
    (200, ("PATCH", f"{API}/plugins/{ADA}_Review", {**USER, **JSON}, b'{"enabled": true}')),
    (200, ("PUT", f"{API}/plugins/Review/update", {**USER, **JSON}, b'{"version": "1.0.0"}')),
    (200, ("POST", f"{API}/plugins/Review/install", {**USER, **JSON}, b"{}")),
    (409, ("POST", f"{API}/plugins/Review/rollback", {**USER, **JSON}, b"{}")),
    (404, ("DELETE", f"{API}/plugins/None/uninstall", USER, b"")),
    (422, ("PATCH", f"{API}/plugins/{ADA}_Review", {**USER, **JSON}, b"no JSON")),
    # Operation
    (200, get("/-/live")),
    (200, get("/-/ready")),
    (200, get("/-/openapi.json")),
    (304, get("/-/openapi.json", {"If-None-Match": "*"})),
    (200, get("/-/plugin.schema.json")),
    (304, get("/-/plugin.schema.json", {"If-None-Match": "*"})),
    (200, get("/-/metrics")),
    (200, get("/-/authorize", USER, {"X-Original-URI": own("Review")})),
    (200, get("/-/cache", ADMIN)),
    (200, get("/-/console", ADMIN)),
    (200, ("HEAD", "/-/console/events", ADMIN, b"")),
    (200, ("HEAD", "/-/findings", ADMIN, b"")),
    (200, get("/-/users", ADMIN)),
    (200, get("/-/audit", ADMIN)),
    (200, get(EXPLAIN, ADMIN)),
    (200, ("POST", "/-/cache/purge", {**ADMIN, **JSON}, b"{}")),
    # Refusals
    (401, get(own("Review"))),
    (401, get(own("Review"), {"Authorization": "Bearer x"})),
    (401, get("/-/console")),
    (403, get(own("Review", "dist/some.py"), USER)),
    (403, get("/-/cache", USER)),
    (404, get(own("Review", "dist/none.js"), USER)),
    (404, get("/nowhere")),
    (405, ("POST", own("Review"), USER, b"")),
    (410, get(own("Review", RETIRED), USER)),
    (204, ("OPTIONS", own("Review"), {}, b"")),
    (204, ("OPTIONS", "*", {}, b"")),
    (200, ("OPTIONS", own("Review"), PREFLIGHT, b"")),
    (400, ("OPTIONS", own("Review"), {**PREFLIGHT, "Origin": "https://other.example"}, b"")),
    # By the server itself
    (400, get("/-/live", {"Host": "a b"})),
    (413, get("/-/live", {"Content-Length": "999999"})),
    (431, get("/-/live", {"A": "a" * 70_000})),
    (501, get("/-/live", {"Transfer-Encoding": "gzip, chunked"})),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = populated(tmp_path_factory.mktemp("site"))
    some = {f"dist/some.{suffix}": b"{}" for suffix in SUFFIXES}
    site.publish("Review", "1.0.0", {LARGE: "window.a = 1;\n" * 20_000, **some})
    site.record("Review", "1.0.0")
    return site


@pytest.fixture(scope="module")
def environment(site: Site) -> dict[str, str]:
    return {
        **site.environment,
        **SIGNED_ENVIRONMENT,
        **USERS_CHANGE,
        "GATEWAY__HTTP__CORS_ORIGINS": ORIGIN,
        "GATEWAY__ADMIN__TOKEN": ADMIN_TOKEN,
    }


@pytest.fixture(scope="module")
def server(environment: dict[str, str]) -> Iterator[Server]:
    with serving(environment) as running:
        yield running


@pytest.mark.parametrize(
    ("status", "question"),
    QUESTIONS,
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else None,
)
def test_an_answer_is_beyond_reproach(server: Server, status: int, question: Question) -> None:
    method, url, fields, body = question
    pin, token = pin_of(server, ADA, "Review"), capability(ADA, "Review")
    url = url.replace("{pin}", pin).replace("{token}", token)
    framing = {"Content-Length": str(len(body))} if body else {}
    fields = {"Host": "x", "Connection": "close", **framing, **fields}
    answer = exchange(server.port, method, url, fields, body)
    assert answer.status == status

    request = HttpRequestLinter(start_time=time.time())
    request.process_request_topline(method.encode(), f"http://x{url}".encode(), b"1.1")
    request.process_headers([(name.encode(), value.encode()) for name, value in fields.items()])
    request.finish_content(complete=True)
    response = HttpResponseLinter(start_time=time.time(), no_content=method == "HEAD")
    response.request = request
    response.process_response_topline(b"1.1", b"%d" % status, answer.phrase)
    response.process_headers(answer.fields)
    response.feed_content(answer.body)
    response.finish_content(complete=True)
    notes = [note for note in response.notes if note.level in (levels.WARN, levels.BAD)]
    assert [f"{type(note).__name__}: {note.summary}" for note in notes
            if type(note).__name__ not in NO_WARNING] == []  # fmt: skip


def test_every_route_is_among_them(environment: dict[str, str]) -> None:
    routes = create_app(load_settings(environ=environment)).routes
    asked = [(method, url.partition("?")[0]) for _, (method, url, _, _) in QUESTIONS]
    missed = [
        route.path
        for route in routes
        if isinstance(route, Route)
        and not any(
            route.path_regex.match(url) and (route.methods is None or method in route.methods)
            for method, url in asked
        )
    ]
    assert missed == []
