"""The document as it is served, and real answers held against it."""

import json
from typing import Any

import pytest

from gateway import __version__
from tests.endpoints.openapi.conftest import TOKEN
from tests.support.mounted import URL_PREFIX, serving_mounted
from tests.support.openapi import Document, problems
from tests.support.server import Answer, Server, run_cli
from tests.support.site import ADA, BEN, CLEO, Site, bearer
from tests.support.urls import SIGNED_ENVIRONMENT, pin_of

URL = "/-/openapi.json"
PLUGINS = "/api/v1/plugins"
HOLDER = {"Authorization": f"Bearer {TOKEN}"}
REVIEW = f"{PLUGINS}/{ADA}_Review"
FILE = f"{PLUGINS}/Review/package.json"


@pytest.fixture(scope="module")
def document(server: Server) -> Document:
    document: Document = server.get(URL).json
    return document


def test_anybody_gets_the_document_and_may_keep_it(server: Server) -> None:
    answer = server.get(URL)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-cache"
    again = server.get(URL, {"If-None-Match": answer.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


def test_the_document_tells_a_stranger_no_version_of_the_program(document: Document) -> None:
    assert document["info"]["version"] == "1"
    assert __version__ not in str(document["info"])


def test_the_document_names_the_prefix_of_a_mount(site: Site) -> None:
    with serving_mounted("with_running", site.environment) as mounted:
        document = mounted.get(URL_PREFIX + URL).json
        assert document["servers"] == [{"url": URL_PREFIX}]
        manifest = document["servers"][0]["url"] + f"{PLUGINS}/manifest"
        assert mounted.get(manifest, bearer(ADA)).status == 200


@pytest.mark.parametrize("user", [ADA, BEN, CLEO])
@pytest.mark.parametrize(
    "path",
    [
        f"{PLUGINS}/manifest", f"{PLUGINS}/manifest/designer", f"{PLUGINS}/by-slug/Review",
        f"{PLUGINS}/Review/status", f"{PLUGINS}/Off/status", f"{PLUGINS}/Unlisted/status",
        f"{REVIEW}/info", f"{REVIEW}/modules", f"{REVIEW}/modules/Board", f"{REVIEW}/modules/None",
    ],
)  # fmt: skip
def test_what_a_user_is_answered_is_described(
    server: Server, document: Document, user: str, path: str
) -> None:
    assert_described(document, "GET", path, server.get(path, bearer(user)))


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/-/live", ""), ("/-/ready", ""), (URL, ""), ("/-/cache", ""),
        ("/-/users", ""), ("/-/users", "limit=0"), ("/-/users", "search=Ghost"),
        ("/-/explain", f"user={ADA}&plugin=Review&path=dist/remoteEntry.js"),
        ("/-/explain", f"user={CLEO}&plugin=Off&path=dist/remoteEntry.js"),
        ("/-/explain", "url=/api/v1/public/plugins/Review/dist/remoteEntry.js"),
        ("/-/explain", "url=/-/live"),
    ],
)  # fmt: skip
def test_what_an_administrator_is_answered_is_described(
    server: Server, document: Document, path: str, query: str
) -> None:
    assert_described(document, "GET", path, server.get(f"{path}?{query}", HOLDER))


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", f"{PLUGINS}/Review", b'{"enabled": false}'),
        ("PATCH", f"{PLUGINS}/Review", b'{"enabled": 1}'),
        ("PUT", f"{PLUGINS}/Review/update", b'{"version": "1.0.0"}'),
        ("POST", f"{PLUGINS}/Review/rollback", b""),
        ("POST", f"{PLUGINS}/Eyes/install", b'{"version": "2.0.0"}'),
        ("DELETE", f"{PLUGINS}/Eyes/uninstall", b""),
        ("DELETE", f"{PLUGINS}/Ghost/uninstall", b""),
        ("POST", "/-/cache/purge", b'{"plugin": "Review"}'),
        ("POST", "/-/explain", b'{"url": "/x", "token": "y"}'),
    ],
)  # fmt: skip
def test_what_a_change_is_answered_is_described(
    server: Server, document: Document, method: str, path: str, body: bytes
) -> None:
    credential = HOLDER if path.startswith("/-/") else bearer(BEN)
    answer = server.request(method, path, credential, body)
    assert_described(document, method, path, answer)


def test_the_records_of_changes_are_described(server: Server, document: Document) -> None:
    for _ in range(2):  # the second is refused
        server.request("DELETE", f"{PLUGINS}/Eyes/uninstall", bearer(CLEO))
    answer = server.get("/-/audit?limit=2", HOLDER)
    assert {record["result"] for record in answer.json["records"]} == {"done", "not_installed"}
    assert_described(document, "GET", "/-/audit", answer)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401), ({"Authorization": "Bearer x"}, 401), ({**bearer(ADA), "If-Match": '"x"'}, 412),
        ({**bearer(ADA), "Range": "bytes=9999-"}, 416), (bearer(CLEO), 404),
    ],
)  # fmt: skip
def test_why_a_file_is_refused_is_described(
    server: Server, document: Document, headers: dict[str, str], status: int
) -> None:
    answer = server.get(FILE, headers)
    assert answer.status == status
    assert_described(document, "GET", FILE, answer)


@pytest.mark.parametrize("plugin", ["Review", "Off", "Ghost"])
def test_what_is_said_of_integrity_is_described(
    server: Server, document: Document, plugin: str
) -> None:
    path = f"{PLUGINS}/{plugin}/{pin_of(server, ADA, 'Review')}/"
    for user in (ADA, CLEO):
        answer = server.get(f"{path}?integrity", bearer(user))
        assert_described(document, "GET", path, answer)


def assert_described(document: Document, method: str, path: str, answer: Answer) -> None:
    found = problems(document, path, method.lower(), answer.status, answer.json)
    assert not found, (answer.status, answer.json)


def test_the_command_prints_the_document_of_the_server(site: Site, document: Document) -> None:
    environment = {**site.environment, "GATEWAY__ACCESS__CHANGES": "users", **SIGNED_ENVIRONMENT}
    result = run_cli(environment, "openapi")
    assert (result.returncode, result.stderr) == (0, "")
    assert {**json.loads(result.stdout), "servers": document["servers"]} == document


# Whoever describes nothing finds no problems


@pytest.mark.parametrize(
    ("path", "status", "content"),
    [
        (f"{PLUGINS}/Review/status", 200, {"status": "success", "data": {}}),
        (f"{PLUGINS}/manifest", 200, {"Review": {}}),
        ("/-/live", 200, {"status": "alive", "secret": 1}),
        (f"{PLUGINS}/manifest", 401, {"detail": "x", "code": "unknown_plugin"}),
        (f"{PLUGINS}/manifest", 401, {"detail": "x"}),
    ],
)
def test_a_wrong_answer_is_noticed(
    document: Document, path: str, status: int, content: Any
) -> None:
    assert problems(document, path, "get", status, content)
