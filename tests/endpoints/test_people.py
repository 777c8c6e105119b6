"""`/-/users`: who has what, and why they get it or not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import Server, serving
from tests.support.site import ADA, BEN, CLEO, Site, bearer, populated, with_refusals
from tests.support.urls import own

pytestmark = pytest.mark.slow

TOKEN = "the-token-of-the-administrators"
HOLDER = {"Authorization": f"Bearer {TOKEN}"}
ADMIN = {"GATEWAY__ADMIN__TOKEN": TOKEN}
ALLOW = {"GATEWAY__ACCESS__MISSING_INSTALLATIONS": "allow"}


@pytest.fixture
def server(either_site: Site) -> Iterator[Server]:
    with serving({**with_refusals(either_site, CLEO).environment, **ADMIN}) as running:
        yield running


def shown(server: Server, query: str = "") -> Any:
    answer = server.get(f"/-/users?{query}", HOLDER)
    assert answer.status == 200, answer.body
    return answer.json


def states(user: dict[str, Any]) -> dict[str, str]:
    return {plugin["slug"]: plugin["state"] for plugin in user["plugins"]}


def test_each_plugin_has_the_reason_why_it_is_served_or_not(server: Server) -> None:
    answer = shown(server)
    assert (answer["after"], answer["missing_installations"]) == (None, "deny")
    assert [user["id"] for user in answer["users"]] == [ADA, BEN, CLEO]
    ada, _, cleo = answer["users"]
    assert (ada["file"], ada["file_error"], ada["has_more_plugins"]) == ("present", None, False)
    assert ada["plugins"][0] == {
        "id": f"{ADA}_Eyes", "slug": "Eyes", "name": "Eyes", "version": "2.0.0", "enabled": True,
        "installed": True, "published": True, "state": "served",
        "updated_at": "2026-01-02 03:04:05",
        "installation": {
            "installation_type": "production", "source_url": None, "installed_by": None,
            "installed_at": "2026-01-02T03:04:05",
        },
    }  # fmt: skip
    assert states(cleo) == {
        "Climbing": "unusable", "Eyes": "disabled", "Off": "disabled", "Unbuilt": "not_published",
        "Unlisted": "not_installed", "Ghost": "no_row",
    }  # fmt: skip


def test_what_is_called_served_is_served(server: Server) -> None:
    for user in shown(server)["users"]:
        for slug, state in states(user).items():
            status = server.get(own(slug), bearer(user["id"])).status
            assert (status == 200) is (state == "served"), (user["id"], slug, state)


def test_users_are_searched_and_shown_a_page_at_a_time(server: Server) -> None:
    first = shown(server, "search=rev&limit=1")
    assert [user["id"] for user in first["users"]] == [ADA]
    second = shown(server, f"search=rev&limit=1&after={first['after']}")
    assert [user["id"] for user in second["users"]] == [BEN]
    assert second["after"] is None
    assert shown(server, "search=%25")["users"] == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("limit=101", "limit: expected a number from 1 to 100"),
        ("search=a%00b", "search: expected at most 200 characters, without control characters"),
        (
            "search=" + "a" * 201,
            "search: expected at most 200 characters, without control characters",
        ),
        ("after=a%00b", "after: expected the value of the page before"),
        ("user=a", "user: expected only search, after, limit"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_named(server: Server, query: str, said: str) -> None:
    answer = server.get(f"/-/users?{query}", HOLDER)
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert said in answer.json["detail"]


def test_files_that_are_missing_or_broken_are_told_apart(tmp_path: Path) -> None:
    site = populated(tmp_path)
    site.installations_file(ADA).unlink()
    site.write_installations(BEN, b"{")
    site.add_row("not a user", "Review", "1.0.0", id="odd")
    for settings, state in (({}, "not_installed"), (ALLOW, "served")):
        with serving({**site.environment, **ADMIN, **settings}) as server:
            ada, ben, _, odd = shown(server)["users"]
            assert (ada["file"], ada["file_error"]) == ("missing", None)
            assert states(ada) == {"Eyes": state, "Review": state}
            assert (ben["file"], ben["file_error"]) == ("broken", "the file is not a JSON object")
            assert states(ben) == {"Review": "not_installed"}
            assert (odd["file"], states(odd)) == ("unusable", {"Review": "unusable"})
            assert server.get(own("Review"), bearer(ADA)).status == (404 if not settings else 200)


def test_of_a_large_file_only_some_of_what_gives_nothing_is_shown(tmp_path: Path) -> None:
    site = populated(tmp_path)
    metadata = {"installation_metadata": {"source_url": "x" * 1000, "installed_by": ["odd"]}}
    many: dict[str, Any] = {f"Gone{number:04}": metadata for number in range(500)}
    site.write_installations(ADA, {**many, "Review": metadata, "Z" * 300: {}})
    with serving({**site.environment, **ADMIN}) as server:
        ada = shown(server, "limit=1")["users"][0]
    (eyes, review, *others) = ada["plugins"]
    assert (eyes["state"], eyes["installation"]) == ("not_installed", None)
    assert review["installation"] == {
        "installation_type": None, "source_url": "x" * 255, "installed_by": None,
        "installed_at": None,
    }  # fmt: skip
    assert [other["slug"] for other in others] == [f"Gone{number:04}" for number in range(100)]


def test_a_question_that_hangs_delays_no_request_for_a_file(tmp_path: Path) -> None:
    """Its database is locked, and nine administrators wait. Files are served from the caches."""
    site = populated(tmp_path)
    settings = {**site.environment, **ADMIN, "GATEWAY__DATABASE__QUERY_TIMEOUT": "2"}
    with serving(settings) as server:
        assert server.get(own("Review"), bearer(ADA)).status == 200
        connections = [server.connection() for _ in range(9)]
        with site.locked():
            for connection in connections:
                connection.request("GET", "/-/users", headers=HOLDER)
            assert server.get(own("Review"), bearer(ADA)).status == 200
            answers = [connection.getresponse().status for connection in connections]
        for connection in connections:
            connection.close()
        assert sorted(answers) == [429] + [503] * 8
        assert server.get(own("Review"), bearer(BEN)).status == 200
        assert shown(server)["users"]
