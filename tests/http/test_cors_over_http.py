"""Pages of other origins, as BrainDrive-Core has them, on every kind of answer."""

import asyncio
from typing import cast

import pytest

from gateway import create_app, load_settings
from tests.support.asgi import Client
from tests.support.commands import refuse_to_serve
from tests.support.mounted import URL_PREFIX, serving_mounted
from tests.support.server import Answer, Server, server_of, serving
from tests.support.site import ADA, Site, bearer
from tests.support.urls import ENTRY, MANIFEST, own, pin_of, public

pytestmark = pytest.mark.slow

ORIGIN = "https://app.example"
SECOND_ORIGIN = "https://staging.app.example:8443"
STRANGERS = [
    "https://evil.example",
    "http://app.example",
    "https://app.example:444",
    "https://app.example.evil.example",
    "https://xapp.example",
    "https://APP.example",
    "https://app.example/",
    "https://app.example https://evil.example",
    "null",
    "",
    "http://localhost:5173",
]
LOCALHOSTS = [
    "http://localhost:5173",
    "http://localhost",
    "https://localhost:3000",
    "http://127.0.0.1:8080",
    "http://[::1]:8080",
]
NO_LOCALHOSTS = [
    "http://localhost.evil.example",
    "http://evil.example/localhost",
    "http://localhost:5173.evil.example",
    "http://127.0.0.1.evil.example",
    "http://127.0.0.10:80",
    "ftp://localhost",
    "http://user@localhost",
    "http://localhost:",
]

# Name → (method, URL, whether with a credential, status).
ANSWERS: dict[str, tuple[str, str, bool, int]] = {
    "a file": ("GET", own("Review"), True, 200),
    "a public file": ("GET", public(f"{ADA}_Review"), False, 200),
    "the head of a file": ("HEAD", own("Review"), True, 200),
    "the methods of a file": ("OPTIONS", own("Review"), True, 204),
    "a manifest": ("GET", MANIFEST, True, 200),
    "health": ("GET", "/-/live", False, 200),
    "no credential": ("GET", own("Review"), False, 401),
    "no credential for a manifest": ("GET", MANIFEST, False, 401),
    "a type": ("GET", own("Review", "page.html"), True, 403),
    "a missing file": ("GET", own("Review", "missing.js"), True, 404),
    "a missing public plugin": ("GET", public("Unheard-of"), False, 404),
    "a missing route": ("GET", "/nowhere", False, 404),
    "a method": ("POST", own("Review"), True, 405),
    "a method on a manifest": ("POST", MANIFEST, True, 405),
    "several versions": ("GET", public("Review"), False, 409),
    "a retired pin": ("GET", own("Review", f"@1.0.0~0123456789abcdef/{ENTRY}"), True, 410),
}


server = server_of({"GATEWAY__HTTP__CORS_ORIGINS": f"{ORIGIN},{SECOND_ORIGIN}"})
dev_server = server_of({}, "--dev")


def ask(server: Server, name: str, origin: str | None) -> Answer:
    method, url, with_credential, status = ANSWERS[name]
    headers = bearer(ADA) if with_credential else {}
    if origin is not None:
        headers = {**headers, "Origin": origin}
    answer = server.request(method, url, headers)
    assert answer.status == status
    return answer


def varies_by_origin(answer: Answer) -> bool:
    names = [word for name, value in answer.fields if name == "vary" for word in value.split(",")]
    return "origin" in [name.strip().lower() for name in names]


def preflight(
    server: Server, origin: str, url: str = MANIFEST, method: str = "GET", **headers: str
) -> Answer:
    """Without a credential, as browsers send it."""
    asked = {"Origin": origin, "Access-Control-Request-Method": method, **headers}
    return server.request("OPTIONS", url, asked)


every_answer = pytest.mark.parametrize("name", ANSWERS)


@every_answer
@pytest.mark.parametrize("origin", [ORIGIN, SECOND_ORIGIN])
def test_a_listed_origin_is_echoed_with_credentials_on_every_answer(
    server: Server, name: str, origin: str
) -> None:
    answer = ask(server, name, origin)
    names = [field for field, _ in answer.fields]
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert names.count("access-control-allow-origin") == 1
    assert varies_by_origin(answer)


@every_answer
def test_another_origin_is_not_echoed(server: Server, name: str) -> None:
    answer = ask(server, name, "https://evil.example")
    assert "access-control-allow-origin" not in answer.headers
    assert varies_by_origin(answer)


@pytest.mark.parametrize("origin", STRANGERS)
def test_an_origin_must_be_listed_to_the_letter(server: Server, origin: str) -> None:
    for name in ("a file", "a manifest", "no credential"):
        assert "access-control-allow-origin" not in ask(server, name, origin).headers


@every_answer
def test_answers_vary_by_origin_also_where_none_was_sent(server: Server, name: str) -> None:
    """A cache must not give the answer without the fields to a page that needs them."""
    answer = ask(server, name, None)
    assert varies_by_origin(answer)
    assert "access-control-allow-origin" not in answer.headers


def test_a_304_carries_the_fields_too(server: Server) -> None:
    for url in (own("Review"), MANIFEST):
        etag = server.get(url, {**bearer(ADA), "Origin": ORIGIN}).headers["etag"]
        headers = {**bearer(ADA), "Origin": ORIGIN, "If-None-Match": etag}
        answer = server.get(url, headers)
        assert answer.status == 304
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert varies_by_origin(answer)


def test_one_origins_answer_is_not_given_to_another(server: Server) -> None:
    """The file is hot after the first; its fields must not be."""
    for origin in (ORIGIN, SECOND_ORIGIN, ORIGIN):
        for url in (own("Review"), public(f"{ADA}_Review")):
            answer = server.get(url, {**bearer(ADA), "Origin": origin})
            assert answer.headers["access-control-allow-origin"] == origin
            assert "access-control-allow-origin" not in server.get(url, bearer(ADA)).headers


def test_a_page_may_read_the_validator_of_a_file(server: Server) -> None:
    exposed = ask(server, "a file", ORIGIN).headers["access-control-expose-headers"]
    assert "etag" in exposed.lower()


# Preflight


@pytest.mark.parametrize(
    "url", [MANIFEST, f"{MANIFEST}/designer", own("Review"), public("Review"), "/nowhere"]
)
def test_a_preflight_of_a_listed_origin_is_granted_without_a_credential(
    server: Server, url: str
) -> None:
    answer = preflight(server, ORIGIN, url)
    assert (answer.status, answer.body) == (200, b"OK")
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-max-age"] == "600"
    assert varies_by_origin(answer)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
def test_a_preflight_grants_the_applications_methods(server: Server, method: str) -> None:
    answer = preflight(server, ORIGIN, method=method)
    granted = answer.headers["access-control-allow-methods"].replace(" ", "").split(",")
    assert answer.status == 200
    assert method in granted


def test_a_preflight_grants_what_the_front_end_sends(server: Server) -> None:
    """axios: a bearer token and a JSON content type."""
    asked = "authorization,content-type"
    answer = preflight(server, ORIGIN, **{"Access-Control-Request-Headers": asked})
    granted = answer.headers["access-control-allow-headers"].lower().replace(" ", "").split(",")
    assert answer.status == 200
    assert {"authorization", "content-type", "accept", "x-requested-with"} <= set(granted)


@pytest.mark.parametrize("origin", STRANGERS)
def test_a_preflight_of_another_origin_is_refused(server: Server, origin: str) -> None:
    answer = preflight(server, origin)
    assert (answer.status, answer.body) == (400, b"Disallowed CORS origin")
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"
    assert varies_by_origin(answer)


# Development, and no origins at all


@pytest.mark.parametrize("origin", LOCALHOSTS)
def test_in_development_any_localhost_is_listed(dev_server: Server, origin: str) -> None:
    for name in ("a file", "no credential", "a missing file", "a manifest"):
        assert ask(dev_server, name, origin).headers["access-control-allow-origin"] == origin
    assert preflight(dev_server, origin).status == 200


@pytest.mark.parametrize("origin", NO_LOCALHOSTS)
def test_in_development_what_only_looks_like_localhost_is_not_listed(
    dev_server: Server, origin: str
) -> None:
    assert "access-control-allow-origin" not in ask(dev_server, "a file", origin).headers
    assert preflight(dev_server, origin).status == 400


def test_in_development_a_pinned_file_is_not_immutable(dev_server: Server) -> None:
    path = f"{pin_of(dev_server, ADA, 'Review')}/{ENTRY}"
    for url in (own("Review", path), public(f"{ADA}_Review", path)):
        answer = dev_server.get(url, bearer(ADA))
        assert (answer.status, answer.headers["cache-control"]) == (200, "no-cache")


@pytest.mark.parametrize("origins", ["*", "app.example", "https://app.example/path", ORIGIN + ",*"])
def test_an_origin_that_is_none_stops_the_start(site: Site, origins: str) -> None:
    """Credentials rule out `*` (Fetch standard)."""
    settings = {"GATEWAY__HTTP__CORS_ORIGINS": origins}
    line = refuse_to_serve({**site.environment, **settings}, "serve", "--port", "0")
    assert "http.cors_origins" in line.lower()


# Our own mistakes


@pytest.mark.parametrize("path", [MANIFEST, own("Review"), public(f"{ADA}_Review")])
def test_a_mistake_of_ours_is_a_500_that_the_page_can_read(site: Site, path: str) -> None:
    """Caused by a server that hands on what no server does: a header without a value."""
    environment = {**site.environment, "GATEWAY__HTTP__CORS_ORIGINS": ORIGIN}
    app = create_app(load_settings(environ=environment))
    client, without_value = Client(app), cast(bytes, None)

    async def ask_once() -> None:
        async with app.running():
            with pytest.raises((AttributeError, TypeError)):  # for the server's log
                await client.request(
                    path, extra=[(b"origin", ORIGIN.encode()), (b"if-match", without_value)]
                )

    asyncio.run(ask_once())
    start, body = client.messages
    headers = dict(start["headers"])
    assert start["status"] == 500
    assert headers[b"access-control-allow-origin"] == ORIGIN.encode()
    assert headers[b"cache-control"] == b"no-store"
    assert body["body"] == b'{"detail":"Internal server error","code":"internal_error"}'


# Administration


@pytest.mark.parametrize("prefix", ["", URL_PREFIX], ids=["alone", "mounted"])
def test_no_page_of_another_origin_reads_what_administrators_read(site: Site, prefix: str) -> None:
    """Also one of a listed origin: the answers are about all users."""
    environment = {
        **site.environment,
        "GATEWAY__HTTP__CORS_ORIGINS": ORIGIN,
        "GATEWAY__IDENTITY__ADMIN_USERS": ADA,
    }
    headers = {**bearer(ADA), "Origin": ORIGIN}
    serve = serving_mounted("with_running", environment) if prefix else serving(environment)
    with serve as server:
        for path in ("/-/users", "/-/audit", "/-/cache", "/-/console", "/-/metrics", "/-/nothing"):
            answer = server.get(prefix + path, headers)
            assert "access-control-allow-origin" not in answer.headers, path
            asked = preflight(server, ORIGIN, prefix + path)
            assert "access-control-allow-origin" not in asked.headers, path
        for path in ("/-/cache/purge", "/-/explain"):
            answer = server.request("POST", prefix + path, headers, b"{}")
            assert (answer.status, answer.code) == (403, "origin_not_allowed")
            assert "access-control-allow-origin" not in answer.headers
        answer = server.get(prefix + "/-/ready", headers)
        assert answer.headers["access-control-allow-origin"] == ORIGIN
