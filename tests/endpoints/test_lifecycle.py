"""The lifecycle over HTTP: who may change what, what is refused, and what is answered."""

import contextlib
import http.client
import json
import select
import socket
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import pytest

from gateway.disk.storage import PluginStorage
from gateway.names import UserId
from tests.support.accounts import Account, module, publish
from tests.support.server import Answer, Server, server_of, serving
from tests.support.settings import AN_HOUR
from tests.support.site import ADA, BEN, CLEO, NOBODY, USERS_CHANGE, Site, bearer, token
from tests.support.urls import API, MANIFEST, own
from tests.support.waiting import eventually
from tests.support.workers import each_worker

pytestmark = pytest.mark.slow

ADMIN_TOKEN = "the-token-of-administrators-that-is-long-enough"
ROOT = "f" * 32
ORIGIN = "https://app.example.org"
ENVIRONMENT = {
    **USERS_CHANGE,
    "GATEWAY__ADMIN__TOKEN": ADMIN_TOKEN,
    "GATEWAY__IDENTITY__ADMIN_USERS": ROOT,
    "GATEWAY__HTTP__CORS_ORIGINS": ORIGIN,
}
AS_ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
ROUTES = [
    ("POST", "install"), ("PUT", "update"), ("POST", "rollback"), ("DELETE", "uninstall"),
    ("PATCH", ""),
]  # fmt: skip
BODIES = {"": b'{"enabled": false}'}
MAX_WAITING = 32


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("site"))
    for version in ("1.0.0", "1.0.1"):
        publish(site, version, modules=[module("Board")])
        publish(site, version, slug="Eyes")
    return site


server = server_of(ENVIRONMENT)
tokenless_server = server_of(USERS_CHANGE)
"""Without a token of administrators."""


@pytest.fixture(autouse=True)
def settled(site: Site) -> None:
    """Ada has Review 1.0.0, Ben 1.0.1 of both, the others nothing."""
    site.execute("DELETE FROM plugin")
    site.execute("DELETE FROM module")
    for user in (ADA, BEN, CLEO):
        site.installations_file(user).unlink(missing_ok=True)
    site.give(ADA, "Review", "1.0.0")
    site.give(BEN, "Review", "1.0.1")
    site.give(BEN, "Eyes", "1.0.1")


def url(plugin: str, action: str, user: str | None = None) -> str:
    path = f"{API}/plugins/{plugin}" + (f"/{action}" if action else "")
    return path + (f"?user={user}" if user is not None else "")


def ask(
    server: Server, method: str, path: str, body: Any = b"", headers: dict[str, str] | None = None
) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return server.request(method, path, bearer(ADA) if headers is None else headers, content)


def test_users_change_what_they_have(server: Server, site: Site) -> None:
    def done(method: str, action: str, body: Any = b"") -> dict[str, Any]:
        answer = ask(server, method, url("Review", action), body)
        assert (answer.status, answer.json["status"]) == (200, "success"), answer.body
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        data: dict[str, Any] = answer.json["data"]
        assert set(data) == {"plugin_slug", "plugin_id", "user_id", "version", "previous_version",
                             "enabled", "changed"}  # fmt: skip
        assert (data["plugin_slug"], data["user_id"]) == ("Review", ADA)
        return data

    account = Account(site)
    assert done("PUT", "update")["version"] == "1.0.1"
    assert done("PUT", "update")["changed"] is False
    assert done("POST", "rollback")["previous_version"] == "1.0.1"
    assert done("PATCH", "", {"enabled": False})["enabled"] is False
    assert not account.row()["enabled"]
    assert done("PATCH", "", {"enabled": True})["enabled"] is True
    gone = done("DELETE", "uninstall")
    assert (gone["version"], gone["previous_version"], gone["enabled"]) == (None, "1.0.0", None)
    new = done("POST", "install", {"version": "1.0.0", "source_url": "https://example.org/x"})
    assert (new["version"], new["plugin_id"]) == ("1.0.0", f"{ADA}_Review")
    assert account.metadata()["source_url"] == "https://example.org/x"
    assert list(account.modules()) == ["Board"]


def test_a_database_id_names_the_same_plugin(server: Server, site: Site) -> None:
    plugin = f"{ADA}_Review"
    answer = ask(server, "PUT", url(plugin, "update"))
    assert (answer.status, answer.json["data"]["plugin_slug"]) == (200, "Review")
    assert ask(server, "POST", url(plugin, "rollback")).json["data"]["version"] == "1.0.0"
    assert ask(server, "PATCH", url(plugin, ""), {"enabled": False}).status == 200
    assert ask(server, "DELETE", url(plugin, "uninstall")).status == 200
    assert Account(site).plugins() == {}


def test_what_cannot_be_is_told_with_its_code(server: Server) -> None:
    for method, action, body, status, code in (
        ("POST", "install", {"version": "1.0.1"}, 409, "already_installed"),
        ("POST", "rollback", b"", 409, "no_earlier_version"),
        ("PUT", "update", {"version": "9.9.9"}, 404, "version_not_published"),
    ):
        answer = ask(server, method, url("Review", action), body)
        assert (answer.status, answer.code) == (status, code)
    for method, action in ROUTES[1:]:
        answer = ask(server, method, url("Eyes", action), BODIES.get(action, b""))
        assert answer.status == 404
        assert answer.code in ("unknown_plugin", "not_installed")
    assert ask(server, "POST", url("Nothing", "install")).code == "version_not_published"


# Who


@pytest.mark.parametrize(("method", "action"), ROUTES)
def test_nobody_changes_what_another_has(
    server: Server, site: Site, method: str, action: str
) -> None:
    before = Account(site, BEN).everything()
    body = BODIES.get(action, b"")
    refused = ask(server, method, url("Review", action, BEN), body)
    assert (refused.status, refused.code) == (403, "admin_required")
    # By the other's database id: as one that is nobody's.
    other = ask(server, method, url(f"{BEN}_Review", action), body)
    nobodys = ask(server, method, url(f"{NOBODY}_Review", action), body)
    assert (other.status, other.body) == (nobodys.status, nobodys.body)
    assert other.status == 404
    anonymous = ask(server, method, url("Review", action), body, {})
    assert (anonymous.status, anonymous.code) == (401, "not_authenticated")
    assert "www-authenticate" in anonymous.headers
    assert Account(site, BEN).everything() == before


def test_naming_oneself_is_no_other(server: Server) -> None:
    dashed = f"{ADA[:8]}-{ADA[8:12]}-{ADA[12:16]}-{ADA[16:20]}-{ADA[20:]}"
    for user in (ADA, dashed):
        assert ask(server, "PUT", url("Review", "update", user)).status == 200


@pytest.mark.parametrize("headers", [AS_ADMIN, bearer(ROOT)], ids=["token", "user"])
@pytest.mark.parametrize("plugin", ["Review", f"{BEN}_Review"])
def test_administrators_change_what_anyone_has(
    server: Server, site: Site, headers: dict[str, str], plugin: str
) -> None:
    def done(method: str, action: str, body: Any = b"", name: str = plugin) -> None:
        answer = ask(server, method, url(name, action, BEN), body, headers)
        assert (answer.status, answer.json["data"]["user_id"]) == (200, BEN)

    ada = Account(site).everything()[2]
    done("PUT", "update", {"version": "1.0.0"})
    done("POST", "rollback")
    done("PATCH", "", {"enabled": False})
    done("DELETE", "uninstall")
    done("POST", "install", name="Review")
    assert Account(site).everything()[2] == ada
    assert Account(site).row()["version"] == "1.0.0"


def test_the_administrators_token_names_no_user(server: Server) -> None:
    answer = ask(server, "PUT", url("Review", "update"), headers=AS_ADMIN)
    assert (answer.status, answer.code) == (422, "invalid_request")


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer ", "Bearer", "", ADMIN_TOKEN, f"Basic {ADMIN_TOKEN}", f"Token {ADMIN_TOKEN}",
        f"Bearer {ADMIN_TOKEN[:-1]}", f"Bearer {ADMIN_TOKEN}x", f"Bearer {ADMIN_TOKEN.upper()}",
        f"Bearer {ADMIN_TOKEN}, {ADMIN_TOKEN}", f"Bearer {ADMIN_TOKEN} {ADMIN_TOKEN}",
    ],
)  # fmt: skip
def test_what_is_not_the_administrators_token_is_refused(
    server: Server, authorization: str
) -> None:
    path = url("Review", "update", BEN)
    answer = ask(server, "PUT", path, headers={"Authorization": authorization})
    assert answer.status == 401


@pytest.mark.parametrize("authorization", ["Bearer ", "Bearer", "", "Bearer  "])
def test_no_token_is_configured_and_none_matches(
    tokenless_server: Server, authorization: str
) -> None:
    path = url("Review", "update", BEN)
    answer = ask(tokenless_server, "PUT", path, headers={"Authorization": authorization})
    assert answer.status == 401


def test_a_repeated_credential_is_refused(server: Server) -> None:
    for first, second in ((ADMIN_TOKEN, token(ADA)), (token(ADA), ADMIN_TOKEN),
                          (ADMIN_TOKEN, ADMIN_TOKEN)):  # fmt: skip
        head = f"PUT {url('Review', 'update', BEN)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        fields = f"Authorization: Bearer {first}\r\nAuthorization: Bearer {second}\r\n\r\n"
        assert b" 401 " in server.raw((head + fields).encode()).split(b"\r\n")[0]


@pytest.mark.parametrize("user", ["", "../x", "a/b", "%00", "x" * 101, ".", "con"])
def test_a_user_that_is_none_is_refused(server: Server, user: str) -> None:
    answer = ask(server, "PUT", url("Review", "update", user), headers=AS_ADMIN)
    assert (answer.status, answer.code) == (422, "invalid_request")


def test_two_users_are_none(server: Server) -> None:
    path = f"{url('Review', 'update')}?user={ADA}&user={BEN}"
    for headers in (AS_ADMIN, bearer(ADA)):
        assert ask(server, "PUT", path, headers=headers).status == 422


@pytest.mark.parametrize(
    "plugin",
    ["..%2fReview", "..%2f..%2f..", "%2e%2e", "Rev%00iew", "%00", "x" * 5000, "Review%0d%0aX:%20y",
     "con", "%ff%fe", "..%5cReview", "Review'--", "%F0%9F%98%80"],
)  # fmt: skip
@pytest.mark.parametrize(("method", "action"), ROUTES)
def test_hostile_names_are_nobodys_plugin(
    server: Server, site: Site, method: str, action: str, plugin: str
) -> None:
    before = Account(site).everything()
    answer = ask(server, method, url(plugin, action), BODIES.get(action, b""))
    assert answer.status in (400, 404, 405), (answer.status, answer.body)
    assert Account(site).everything() == before


# Bodies


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("update", b"{"), ("update", b"[]"), ("update", b"null"), ("update", b"\xff"),
        ("update", b'"1.0.1"'), ("update", {"version": 1}), ("update", {"version": ""}),
        ("update", {"version": "../1.0.0"}), ("update", {"version": ["1.0.1"]}),
        ("update", {"version": "v1.0.1"}),
        ("update", {"versions": "1.0.1"}), ("update", {"version": "1.0.1", "user": BEN}),
        ("update", b"[" * 10_000), ("update", b'{"version": "\\ud800"}'),
    ],
)  # fmt: skip
def test_a_body_that_says_something_else_is_refused(
    server: Server, site: Site, action: str, body: Any
) -> None:
    answer = ask(server, "PUT", url("Review", action), body)
    assert (answer.status, answer.code) == (422, "invalid_request"), answer.body
    assert Account(site).row()["version"] == "1.0.0"


@pytest.mark.parametrize(
    "body", [{}, {"enabled": 1}, {"enabled": "true"}, {"enabled": None}, {"version": "1.0.1"}, b""]
)
def test_enabling_wants_true_or_false(server: Server, body: Any) -> None:
    answer = ask(server, "PATCH", url("Review", ""), body)
    assert (answer.status, answer.code) == (422, "invalid_request")


@pytest.mark.parametrize(
    "source",
    [3, f"https://{'x' * 2048}", "https://x/\ud800", "javascript:alert(1)"],
    ids=["number", "too long", "half a character", "no URL of the Web"],
)
def test_an_odd_source_is_refused(server: Server, source: Any) -> None:
    answer = ask(server, "POST", url("Eyes", "install"), {"source_url": source})
    assert (answer.status, answer.code) == (422, "invalid_request")


def test_a_body_of_17_kib_is_too_large_however_it_is_sent(server: Server, site: Site) -> None:
    large = json.dumps({"version": "1.0.1"}).encode().ljust(17 * 1024)
    answer = ask(server, "PUT", url("Review", "update"), large)
    assert (answer.status, answer.code) == (413, "content_too_large")
    chunks = b"".join(b"%x\r\n%s\r\n" % (1024, b" " * 1024) for _ in range(17))
    assert b" 413 " in server.raw(chunked(chunks)).split(b"\r\n")[0]
    assert Account(site).row()["version"] == "1.0.0"
    almost = json.dumps({"version": "1.0.1"}).encode().ljust(16 * 1024)
    assert ask(server, "PUT", url("Review", "update"), almost).status == 200


def chunked(chunks: bytes) -> bytes:
    head = f"PUT {url('Review', 'update')} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    fields = f"Authorization: Bearer {token(ADA)}\r\nTransfer-Encoding: chunked\r\n\r\n"
    return (head + fields).encode() + chunks + b"0\r\n\r\n"


def test_a_body_in_chunks_without_a_length_is_read(server: Server) -> None:
    answer = server.raw(chunked(b'11\r\n{"version":"1.0.1\r\n2\r\n"}\r\n'))
    assert b" 200 " in answer.split(b"\r\n")[0]
    assert b'"version":"1.0.1"' in answer


def test_a_slow_body_holds_nobody_else(server: Server, site: Site) -> None:
    head = chunked(b"")[: -len(b"0\r\n\r\n")]
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as slow:
        slow.sendall(head + b'2\r\n{"\r\n')
        assert ask(server, "PATCH", url("Review", ""), {"enabled": False}).status == 200
        slow.sendall(b'10\r\nversion":"1.0.1"\r\n1\r\n}\r\n0\r\n\r\n')
        assert b" 200 " in slow.recv(65536).split(b"\r\n")[0]
    assert Account(site).row()["version"] == "1.0.1"


# Origins


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://[", "https://app.example.org.evil.example", "",
     "https://app.example.org:8443", "file://", "http://127.0.0.1:1", "\u00ff"],
)  # fmt: skip
@pytest.mark.parametrize(("method", "action"), ROUTES)
def test_pages_of_other_origins_change_nothing(
    server: Server, site: Site, method: str, action: str, origin: str
) -> None:
    before = Account(site).everything()
    headers = {**bearer(ADA), "Origin": origin}
    answer = ask(server, method, url("Review", action), BODIES.get(action, b""), headers)
    assert (answer.status, answer.code) == (403, "origin_not_allowed")
    assert Account(site).everything() == before


def test_pages_of_listed_origins_and_our_own_may(server: Server) -> None:
    for fields in (
        {"Origin": ORIGIN},
        {"Origin": f"http://127.0.0.1:{server.port}"},
        {"Origin": "https://proxied.example", "Sec-Fetch-Site": "same-origin"},
    ):
        answer = ask(server, "PUT", url("Review", "update"), headers={**bearer(ADA), **fields})
        assert answer.status == 200
        if fields["Origin"] == ORIGIN:
            assert answer.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize(("method", "action"), ROUTES)
def test_a_preflight_allows_the_methods_of_changes(
    server: Server, method: str, action: str
) -> None:
    fields = {"Origin": ORIGIN, "Access-Control-Request-Method": method}
    answer = server.request("OPTIONS", url("Review", action), fields)
    assert answer.status == 200
    assert method in answer.headers["access-control-allow-methods"].split(", ")
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    fields["Origin"] = "https://evil.example"
    assert server.request("OPTIONS", url("Review", action), fields).status == 400


@pytest.mark.parametrize(
    ("method", "action", "allow"),
    [("PUT", "install", "POST"), ("POST", "update", "PUT"), ("DELETE", "rollback", "POST"),
     ("POST", "uninstall", "DELETE"), ("POST", "", "PATCH"), ("DELETE", "", "PATCH")],
)  # fmt: skip
def test_another_method_is_405_with_the_one_that_is_allowed(
    server: Server, method: str, action: str, allow: str
) -> None:
    answer = ask(server, method, url("Review", action))
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.headers["allow"] == (f"OPTIONS, {allow}" if action else allow)


@pytest.mark.parametrize(("method", "action"), [route for route in ROUTES if route[1]])
def test_options_names_the_method_of_the_change(server: Server, method: str, action: str) -> None:
    answer = ask(server, "OPTIONS", url("Review", action))
    assert (answer.status, answer.headers["allow"]) == (204, f"OPTIONS, {method}")


# Failures


def test_a_broken_file_of_the_user_is_told_and_kept(server: Server, site: Site) -> None:
    site.write_installations(ADA, b"{broken")
    answer = ask(server, "PUT", url("Review", "update"))
    assert (answer.status, answer.code) == (503, "source_unavailable")
    assert b"/" not in answer.body  # no path of the server
    assert site.installations_file(ADA).read_bytes() == b"{broken"


# Every worker


# Many at once


def waiting_changes(
    stack: contextlib.ExitStack, server: Server, users: Iterable[str], number: int
) -> list[http.client.HTTPConnection]:
    """So many changes of each user, sent and not answered yet: their locks are taken."""
    connections = []
    for user in users:
        for _ in range(number):
            connection = stack.enter_context(contextlib.closing(server.connection()))
            connection.request("PATCH", url("Review", ""), BODIES[""], bearer(user))
            connections.append(connection)
    return connections


def unanswered(connections: list[http.client.HTTPConnection]) -> list[http.client.HTTPConnection]:
    readable, _, _ = select.select([each.sock for each in connections], [], [], 0)
    return [each for each in connections if each.sock not in readable]


def test_changes_of_one_user_hold_up_nobody_else_and_too_many_are_refused(site: Site) -> None:
    """The user's lock is taken, as by another process, so none of the changes can end."""
    site.give(CLEO, "Review", "1.0.0")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving({**site.environment, **ENVIRONMENT}))
        with PluginStorage(site.plugins).users.locked(UserId(ADA)):
            changes = waiting_changes(stack, server, [ADA], 1 + MAX_WAITING + 20)
            waiting = eventually(
                partial(unanswered, changes), lambda left: len(left) == 1 + MAX_WAITING
            )
            assert server.get(own("Review"), bearer(BEN)).status == 200
            assert ask(server, "PATCH", url("Review", ""), BODIES[""], bearer(CLEO)).status == 200
            assert unanswered(changes) == waiting
        answers = [connection.getresponse() for connection in changes]
        refused = [answer for answer in answers if answer.status == 429]
        assert len(refused) == 20
        assert {answer.getheader("retry-after") for answer in refused} == {"1"}
        assert {json.loads(answer.read())["code"] for answer in refused} == {"too_many_changes"}
        assert sum(answer.status == 200 for answer in answers) == 1 + MAX_WAITING


def test_changes_of_many_users_do_not_hold_up_those_who_load_files(site: Site) -> None:
    users = [f"{number:032x}" for number in range(60)]
    for user in users:
        site.give(user, "Review", "1.0.0")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving({**site.environment, **ENVIRONMENT}))
        with contextlib.ExitStack() as locks:
            for user in users:
                locks.enter_context(PluginStorage(site.plugins).users.locked(UserId(user)))
            changes = waiting_changes(stack, server, users, 1)
            for path in (own("Review"), MANIFEST, own("Review", "plugin.json")):
                assert server.get(path, bearer(BEN)).status == 200
            assert unanswered(changes) == changes
        assert {connection.getresponse().status for connection in changes} == {200}


def test_a_change_shows_in_every_worker_at_once(site: Site) -> None:
    with (
        serving({**site.environment, **ENVIRONMENT, **AN_HOUR}, "--workers", "4") as server,
        each_worker(server, 4) as workers,
    ):
        for turn in range(20):
            wanted = ("1.0.1", "1.0.0")[turn % 2]
            for worker in workers:
                assert worker.get(own("Review"), bearer(ADA)).status == 200
            assert ask(server, "PUT", url("Review", "update"), {"version": wanted}).status == 200
            for worker in workers:
                for path in (own("Review", "plugin.json"), f"{API}/plugins/by-slug/Review"):
                    ask_again = partial(worker.get, path, bearer(ADA))
                    eventually(ask_again, partial(is_of, wanted))


def is_of(version: str, answer: Answer) -> bool:
    return bool(answer.json["version"] == version)


@pytest.fixture(scope="module")
def reading_server(site: Site) -> Iterator[Server]:
    """A server with the default: nobody changes anything over HTTP."""
    environment = {key: ENVIRONMENT[key] for key in ENVIRONMENT if key not in USERS_CHANGE}
    with serving({**site.environment, **environment}) as server:
        yield server


@pytest.mark.parametrize("headers", [bearer(ADA), bearer(ROOT), AS_ADMIN, {}])
@pytest.mark.parametrize(("method", "action"), ROUTES)
def test_by_default_nobody_changes_anything(
    reading_server: Server, site: Site, method: str, action: str, headers: dict[str, str]
) -> None:
    rows = site.query("SELECT * FROM plugin ORDER BY id")
    answer = ask(reading_server, method, url("Review", action, ADA), headers=headers)
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.headers["allow"] == ("GET, HEAD, OPTIONS" if action else "")
    assert site.query("SELECT * FROM plugin ORDER BY id") == rows


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST", "DELETE"])
def test_a_plugin_that_nobody_changes_has_no_methods(reading_server: Server, method: str) -> None:
    answer = ask(reading_server, method, url("Review", ""))
    assert (answer.status, answer.headers["allow"]) == (405, "")
    manifest = ask(reading_server, "POST", MANIFEST)
    assert (manifest.status, manifest.headers["allow"]) == (405, "GET, HEAD")


def test_only_administrators_change_what_users_have(site: Site) -> None:
    environment = {**site.environment, **ENVIRONMENT, "GATEWAY__ACCESS__CHANGES": "admins"}
    path = url("Review", "update", ADA)
    with serving(environment) as server:
        answer = ask(server, "PUT", path)
        assert (answer.status, answer.code) == (403, "admin_required")
        assert ask(server, "PUT", url("Review", "update")).status == 403
        assert ask(server, "PUT", path, headers=bearer(ROOT)).json["data"]["version"] == "1.0.1"
        assert ask(server, "PUT", path, headers=AS_ADMIN).json["data"]["changed"] is False
        assert server.get("/-/ready").json["changes"] == "admins"
