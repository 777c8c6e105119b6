"""The audit log of changes over HTTP: whose name it holds, and that a stranger writes nothing."""

from typing import Any

import pytest

from gateway.disk.storage import PluginStorage
from tests.support.accounts import module, publish
from tests.support.server import Server, server_of, serving
from tests.support.site import ADA, BEN, USERS_CHANGE, Site, bearer
from tests.support.urls import API

pytestmark = pytest.mark.slow

ADMIN_TOKEN = "the-token-of-administrators-that-is-long-enough"
AS_ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
ENVIRONMENT = {**USERS_CHANGE, "GATEWAY__ADMIN__TOKEN": ADMIN_TOKEN}
REVIEW = f"{API}/plugins/Review"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("site"))
    for version in ("1.0.0", "1.0.1"):
        publish(site, version, modules=[module("Board")])
    site.give(ADA, "Review", "1.0.0")
    site.give(BEN, "Review", "1.0.0")
    return site


server = server_of(ENVIRONMENT)


def records(site: Site) -> list[dict[str, Any]]:
    return list(PluginStorage(site.plugins).audit.records())


@pytest.fixture
def before(site: Site) -> int:
    return len(records(site))


def brief(record: dict[str, Any]) -> tuple[Any, ...]:
    names = ("by", "via", "action", "user", "plugin", "from", "to", "result")
    return tuple(record[name] for name in names)


def test_a_change_names_who_made_it_and_whose_it_is(
    server: Server, site: Site, before: int
) -> None:
    assert server.request("PUT", f"{REVIEW}/update", bearer(ADA), b"").status == 200
    assert server.request("PUT", f"{REVIEW}/update?user={BEN}", AS_ADMIN, b"").status == 200
    assert server.request("PATCH", REVIEW, bearer(BEN), b'{"enabled": false}').status == 200
    assert [brief(record) for record in records(site)[before:]] == [
        (ADA, "http", "update", ADA, "Review", "1.0.0", "1.0.1", "done"),
        ("administrator (token)", "http", "update", BEN, "Review", "1.0.0", "1.0.1", "done"),
        (BEN, "http", "disable", BEN, "Review", "1.0.1", "1.0.1", "done"),
    ]


def test_who_may_not_change_it_is_recorded_with_what_they_wanted(
    server: Server, site: Site, before: int
) -> None:
    body = b'{"version": "9.9.9"}'
    for method, path in (
        ("PUT", f"{REVIEW}/update?user={BEN}"),
        ("PATCH", f"{REVIEW}?user={BEN}"),
        ("DELETE", f"{REVIEW}/uninstall?user={BEN}"),
    ):
        assert server.request(method, path, bearer(ADA), b"").status == 403
    assert server.request("PUT", f"{REVIEW}/update", bearer(ADA), body).status == 404
    assert [brief(record) for record in records(site)[before:]] == [
        (ADA, "http", "update", BEN, "Review", None, None, "admin_required"),
        (ADA, "http", "enable or disable", BEN, "Review", None, None, "admin_required"),
        (ADA, "http", "uninstall", BEN, "Review", None, None, "admin_required"),
        (ADA, "http", "update", ADA, "Review", None, "9.9.9", "version_not_published"),
    ]


def test_a_record_has_the_id_of_its_request(server: Server, site: Site, before: int) -> None:
    answers = [
        server.request("PATCH", REVIEW, bearer(BEN), b'{"enabled": true}'),
        server.request("PUT", f"{REVIEW}/update?user={BEN}", bearer(ADA), b""),
    ]
    assert [answer.status for answer in answers] == [200, 403]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert [record["request_id"] for record in records(site)[before:]] == ids


def test_a_request_without_a_name_or_a_meaning_writes_nothing(
    server: Server, site: Site, before: int
) -> None:
    update = f"{REVIEW}/update"
    foreign = {**bearer(ADA), "Origin": "https://evil.example"}
    long_name = f"{API}/plugins/{'x' * 300}/update"
    for path, headers, body, status in (
        (update, {}, b"", 401),
        (update, {"Authorization": "Bearer nonsense"}, b"", 401),
        (update, bearer(ADA, secret="another-secret-that-is-also-long-enough"), b"", 401),
        (update, foreign, b"", 403),
        (update, bearer(ADA), b"{broken", 422),
        (update, bearer(ADA), b'{"version": "../x"}', 422),
        (update, bearer(ADA), b"x" * 20_000, 413),
        (f"{update}?user=%0d%0a", bearer(ADA), b"", 422),
        (long_name, bearer(ADA), b"", 404),
        (f"{long_name}?user={BEN}", bearer(ADA), b"", 403),
    ):
        answer = server.request("PUT", path, headers, body)
        assert answer.status == status, (path, headers, body)
    assert server.request("POST", update, bearer(ADA), b"").status == 405
    assert len(records(site)) == before


def test_names_with_line_ends_and_colours_stay_in_their_line(
    server: Server, site: Site, before: int
) -> None:
    path = f"{API}/plugins/%E2%80%A8%F0%9F%98%80[31m/update"
    assert server.request("PUT", path, bearer(ADA), b"").status == 404
    (record,) = records(site)[before:]
    assert record["plugin"] == "\u2028😀[31m"


def test_no_token_is_written(server: Server, site: Site) -> None:
    token = bearer(ADA)["Authorization"].partition(" ")[2]
    path = f"{REVIEW}/update?user={ADA}&token={token}"
    server.request("PUT", path, {"Authorization": f"Bearer {token}"}, b'{"version": "9.9.9"}')
    server.request("PUT", path, AS_ADMIN, b'{"version": "9.9.9"}')
    files = list((site.plugins / "audit").glob("*.jsonl"))
    assert files
    for file in files:
        content = file.read_text()
        assert token not in content
        assert ADMIN_TOKEN not in content


def test_administrators_only_and_off(site: Site, before: int) -> None:
    settings = {**site.environment, **ENVIRONMENT}
    with serving({**settings, "GATEWAY__ACCESS__CHANGES": "admins"}) as server:
        assert server.request("DELETE", f"{REVIEW}/uninstall", bearer(ADA), b"").status == 403
    (record,) = records(site)[before:]
    assert brief(record)[:5] == (ADA, "http", "uninstall", ADA, "Review")
    with serving({**settings, "GATEWAY__ACCESS__CHANGES": "off"}) as server:
        assert server.request("PATCH", REVIEW, bearer(ADA), b"{}").status == 405
        assert server.request("PATCH", REVIEW, AS_ADMIN, b"{}").status == 405
    assert len(records(site)) == before + 1
