"""Changes of users' installed_plugins.json, however they are written: they show at once.

The lifetimes of all cached answers are an hour here, so only the news can end them.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import Gateway
from gateway.changes import Change
from gateway.names import UserId
from tests.support.asgi import ENTRY, Client, status, with_gateway
from tests.support.news import AN_HOUR
from tests.support.server import Server, serving
from tests.support.site import ADA, BEN, NOBODY, Site, bearer, populated
from tests.support.urls import MANIFEST, own
from tests.support.waiting import eventually, until, until_answer

pytestmark = pytest.mark.slow

REVIEW_AND_EYES = json.dumps({"Review": {}, "Eyes": {}}).encode()
ONLY_EYES = json.dumps({"Eyes": {}}).encode()

Write = Callable[[Path, bytes], None]


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[Server]:
    with serving({**site.environment, **AN_HOUR}) as running:
        yield running


def by_rename(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    other = path.with_name("other")
    other.write_bytes(content)
    other.replace(path)


def in_place(path: Path, content: bytes) -> None:
    """Truncated, then written: as `open(path, "w")` does."""
    path.write_bytes(content)


def in_place_of_equal_length(path: Path, content: bytes) -> None:
    """Nothing but the moment tells it from the file before."""
    length = path.stat().st_size
    assert len(content) <= length
    with path.open("r+b") as file:
        file.write(content + b" " * (length - len(content)))


def with_the_old_times(path: Path, content: bytes) -> None:
    """As an archive is unpacked, or `cp -p` restores a backup."""
    facts = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def folder_made_anew(path: Path, content: bytes) -> None:
    away = path.parent.rename(path.parent.with_name("away"))
    path.parent.mkdir()
    path.write_bytes(content)
    (away / path.name).unlink()
    away.rmdir()


@pytest.mark.parametrize(
    "write",
    [by_rename, in_place, in_place_of_equal_length, with_the_old_times, folder_made_anew],
)
def test_a_plugin_that_is_taken_away_is_gone_and_one_that_is_given_is_there(
    site: Site, server: Server, write: Write
) -> None:
    path = site.installations_file(ADA)
    by_rename(path, REVIEW_AND_EYES)

    def statuses() -> tuple[int, int]:
        review, eyes = (server.get(own(slug), bearer(ADA)) for slug in ("Review", "Eyes"))
        return review.status, eyes.status

    eventually(statuses, lambda seen: seen == (200, 200))
    write(path, ONLY_EYES)
    eventually(statuses, lambda seen: seen == (404, 200))
    by_rename(path, REVIEW_AND_EYES)
    eventually(statuses, lambda seen: seen == (200, 200))
    # And the manifest agrees.
    write(path, ONLY_EYES)
    eventually(
        lambda: list(server.get(MANIFEST, bearer(ADA)).json),
        lambda seen: seen == ["Eyes"],
    )
    by_rename(path, REVIEW_AND_EYES)


def deleted(path: Path) -> None:
    path.unlink()


def folder_deleted(path: Path) -> None:
    path.unlink()
    path.parent.rmdir()


def a_folder_in_its_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


def holding(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    write.__name__ = f"holding {content[:20]!r}"
    return write


@pytest.mark.parametrize(
    ("disturb", "expected"),
    [
        (deleted, 404),
        (folder_deleted, 404),
        (holding(b""), 404),
        (holding(b"[]"), 404),
        (holding(b'["Review"]'), 404),
        (holding(b"null"), 404),
        (holding(b'"Review"'), 404),
        (holding(REVIEW_AND_EYES[:-9]), 404),
        (holding(b"\x00" * 40), 404),
        (holding(b"\xff\xfe{}"), 404),
        # A disk that cannot be read has not said that the user lost anything.
        (a_folder_in_its_place, 200),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_file_that_is_damaged_installs_nothing_and_one_that_cannot_be_read_changes_nothing(
    site: Site, server: Server, disturb: Callable[[Path], None], expected: int
) -> None:
    path = site.installations_file(ADA)
    by_rename(path, REVIEW_AND_EYES)

    def ada() -> int:
        return server.get(own("Review"), bearer(ADA)).status

    eventually(ada, lambda seen: seen == 200)
    disturb(path)
    try:
        eventually(ada, lambda seen: seen == expected)
        # By now the news has come, whatever it made of it.
        by_rename(site.installations_file(BEN), ONLY_EYES)
        eventually(
            lambda: server.get(own("Review"), bearer(BEN)).status,
            lambda seen: seen == 404,
        )
        assert ada() == expected
    finally:
        if path.is_dir():
            path.rmdir()
        for user in (ADA, BEN):
            by_rename(site.installations_file(user), REVIEW_AND_EYES)
    eventually(ada, lambda seen: seen == 200)


def test_a_first_file_of_a_user_shows_though_he_was_just_denied(site: Site, server: Server) -> None:
    def nobody() -> str:
        return server.get(own("Review"), bearer(NOBODY)).code

    assert nobody() == "not_installed"
    site.install(NOBODY, "Review")
    eventually(nobody, lambda code: code == "unknown_plugin")


# In process: what must happen between two looks


def in_process(site: Site, scenario: Callable[[Gateway, Client], Awaitable[None]]) -> None:
    with_gateway(site, scenario, **AN_HOUR, GATEWAY__FRESHNESS__SQLITE_POLL="0")


@pytest.fixture
def ada(site: Site) -> Iterator[Path]:
    path = site.installations_file(ADA)
    yield path
    by_rename(path, REVIEW_AND_EYES)


def test_a_file_that_is_caught_while_it_is_rewritten_is_no_damage(site: Site, ada: Path) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        assert status(await client.request(ENTRY)) == 200
        for _ in range(5):
            ada.write_bytes(REVIEW_AND_EYES[:9])
            _gateway.invalidation.apply(Change(user=UserId(ADA)))
            asking = asyncio.create_task(client.request(ENTRY))
            await asyncio.sleep(0.01)  # how long the writer takes
            ada.write_bytes(REVIEW_AND_EYES)
            assert status(await asking) == 200

    in_process(site, scenario)


def test_a_file_that_is_deleted_twice_is_gone_twice(site: Site, ada: Path) -> None:
    """In between a request has read it, before the sweep saw that it was back."""

    async def scenario(gateway: Gateway, client: Client) -> None:
        async def asked() -> int:
            return status(await client.request(ENTRY))

        for _ in range(5):
            assert await asked() == 200
            ada.unlink()
            await until_answer(asked, lambda seen: seen == 404)
            ada.write_bytes(REVIEW_AND_EYES)
            gateway.invalidation.apply(Change(user=UserId(ADA)))

    in_process(site, scenario)


def test_with_more_users_than_one_sweep_looks_at_each_has_his_turn(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.freshness.users_folder._MOST_LOOKS", 2)

    async def scenario(gateway: Gateway, _client: Client) -> None:
        users = [f"{number:032x}" for number in range(5)]
        for user in users:
            await gateway.lookups.installations.get(UserId(user))
        for user in reversed(users):
            site.install(user, "Review")

            async def slugs(user: str = user) -> tuple[str, ...]:
                return (await gateway.lookups.installations.get(UserId(user))).slugs

            await until_answer(slugs, lambda seen: seen == ("Review",))
            site.write_installations(user, {})
            await until_answer(slugs, lambda seen: seen == ())

    in_process(site, scenario)


def test_users_that_are_not_active_cost_nothing_at_the_start_or_later(tmp_path: Path) -> None:
    """A site has 100,000 folders, and this many looks at the disk: none for whom nobody asks."""
    site = populated(tmp_path / "site")
    for number in range(500):
        (site.plugins / "users" / f"user_{number:032x}").mkdir()
    looked_at: list[str] = []
    listening = True

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if listening and event in ("open", "os.listdir", "os.scandir"):
            looked_at.append(str(arguments[0]))

    sys.addaudithook(hear)  # stays until the process ends, deaf

    async def scenario(gateway: Gateway, client: Client) -> None:
        # One whole sweep: Ada is read, taken away, and that has been noticed.
        assert status(await client.request(ENTRY)) == 200
        site.installations_file(ADA).unlink()
        applied = gateway.invalidation.applied

        await until(lambda: gateway.invalidation.applied > applied)
        assert list(gateway.lookups.recently_read(0, 10)) == [ADA]

    try:
        in_process(site, scenario)
    finally:
        listening = False
    users = str(site.plugins / "users")
    assert {path for path in looked_at if path.startswith(users)} == {
        str(site.installations_file(ADA))
    }


def test_nothing_is_kept_for_users_whom_nobody_watches(site: Site) -> None:
    """With the watching off, what is noted for it would grow with every user there ever was."""

    async def scenario(gateway: Gateway, _client: Client) -> None:
        for number in range(300):
            await gateway.lookups.installations.get(UserId(f"{number:032x}"))
        await asyncio.sleep(0.05)
        for number in range(300, 600):
            await gateway.lookups.installations.get(UserId(f"{number:032x}"))
        assert len(gateway.lookups._read) < 600

    with_gateway(
        site,
        scenario,
        GATEWAY__FRESHNESS__WATCH_USERS="false",
        GATEWAY__CACHE__INSTALLATIONS__TTL="0.02",
        GATEWAY__CACHE__INSTALLATIONS__MAX_ENTRIES="100",
    )
