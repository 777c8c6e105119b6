"""Manifests as the cache answers them: what is asked, how often, and what it costs."""

import asyncio
import gc
import math
import os
import sqlite3
import sys
import threading
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway import Gateway
from gateway.caching.basis import AT_HAND, Basis, Pending
from gateway.caching.traced_basis import TracedBasis
from gateway.changes import Change
from gateway.errors import SourceUnavailable
from gateway.names import UserId
from gateway.serving.manifest_cache import ManifestCache
from tests.support.asgi import Client, with_gateway
from tests.support.settings import QUIET
from tests.support.site import ADA, BEN, CLEO, Site, populated
from tests.support.sources import WatchedFiles
from tests.support.waiting import until_answer

ADA_ID, BEN_ID = UserId(ADA), UserId(BEN)
# Measured 36 on Python 3.11 with ten plugins; the rest is room for other versions.
MOST_CALLS = 45
# Measured 1,080 with five plugins, and 1,720 without the phrases of manifests.py.
MOST_BYTES = 1_536


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """For each test its own: they change it."""
    return populated(tmp_path / "site")


async def load(gateway: Gateway, user: UserId = ADA_ID, *, designer: bool = False) -> Any:
    """The user's manifest, however long that takes."""
    found = await Basis().settled(gateway.core.manifests.get, user, with_modules=designer)
    return orjson.loads(found.body(user))


def at_hand(gateway: Gateway, user: UserId = ADA_ID, *, designer: bool = False) -> Any:
    """The user's manifest, if it needs no waiting. Raises: Pending."""
    found = gateway.core.manifests.get(AT_HAND, user, with_modules=designer)
    return orjson.loads(found.body(user))


def scenario_of(
    site: Site, scenario: Callable[[Gateway], Awaitable[None]], **environment: str
) -> None:
    async def main(gateway: Gateway, _client: Client) -> None:
        await scenario(gateway)

    with_gateway(site, main, **{**QUIET, **environment})


class Reads:
    """What the gateway asked of its sources since this object was made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, gateway: Gateway) -> None:
        self._database, self._before = gateway.core.database, gateway.core.database.queries
        self.files = WatchedFiles(monkeypatch).read

    @property
    def queries(self) -> int:
        return self._database.queries - self._before


def many_users(site: Site, count: int, plugins: int) -> list[UserId]:
    """Users with the same plugins, whose dates and metadata differ."""
    users = [UserId(f"{number:032x}") for number in range(count)]
    slugs = [f"Plugin{number}" for number in range(plugins)]
    for slug in slugs:
        site.publish(slug, "1.0.0")
    rows = [
        (f"{user}_{slug}", slug, slug, "About", "1.0.0", 1, "dist/remoteEntry.js", day, user)
        for number, user in enumerate(users)
        for slug in slugs
        for day in [f"2026-01-02 03:{number // 60 % 60:02}:{number % 60:02}"]
    ]
    with closing(sqlite3.connect(site.database)) as connection, connection:
        connection.executemany(
            "INSERT INTO plugin (id, plugin_slug, name, description, version, enabled,"
            " bundle_location, last_updated, user_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
    for number, user in enumerate(users):
        metadata = {
            "installation_type": "production",
            "installed_at": f"2026-01-02T03:04:05.{number:06}",
        }
        site.write_installations(
            user, {slug: {"installation_metadata": metadata} for slug in slugs}
        )
    return users


# Queries and files


@pytest.mark.parametrize("designer", [False, True])
def test_users_who_come_together_are_one_query_for_each_table_and_a_file_each(
    empty_site: Site, monkeypatch: pytest.MonkeyPatch, designer: bool
) -> None:
    users = many_users(empty_site, 20, 3)

    async def scenario(gateway: Gateway) -> None:
        reads = Reads(monkeypatch, gateway)
        found = await asyncio.gather(*(load(gateway, user, designer=designer) for user in users))
        assert [len(each) for each in found] == [3] * 20
        assert [each["Plugin1"]["userId"] for each in found] == users
        # The first is asked for at once, and those who come meanwhile together.
        assert reads.queries <= 2 * (1 + designer)
        assert sorted(reads.files) == users

    scenario_of(empty_site, scenario)


def test_what_is_read_for_a_manifest_is_known_for_files_too(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(gateway: Gateway) -> None:
        await load(gateway)
        reads = Reads(monkeypatch, gateway)
        file = await gateway.core.lookups.installations.get(ADA_ID)
        assert file.installations.slugs == ("Review", "Eyes")
        assert (reads.queries, reads.files) == (0, [])

    scenario_of(site, scenario)


def test_a_known_manifest_asks_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(gateway: Gateway) -> None:
        with pytest.raises(Pending):
            at_hand(gateway)
        for designer in (False, True):
            first = await load(gateway, designer=designer)
            reads, threads = Reads(monkeypatch, gateway), threading.active_count()
            assert at_hand(gateway, designer=designer) == first
            assert (reads.queries, reads.files) == (0, [])
            assert threading.active_count() == threads

    scenario_of(site, scenario)


def test_a_known_manifest_of_ten_plugins_costs_a_few_calls(empty_site: Site) -> None:
    (user,) = many_users(empty_site, 1, 10)

    async def scenario(gateway: Gateway) -> None:
        await load(gateway, user)
        with counted_calls() as calls:
            gateway.core.manifests.get(AT_HAND, user, with_modules=False).body(user)
        assert len(calls) <= MOST_CALLS

    scenario_of(empty_site, scenario)


@contextmanager
def counted_calls() -> Iterator[list[str]]:
    calls: list[str] = []
    sys.setprofile(lambda _frame, event, _arg: calls.append(event) if "call" in event else None)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def test_a_file_that_hangs_delays_its_user_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(gateway: Gateway) -> None:
        files = WatchedFiles(monkeypatch)
        files.hang(ADA)
        slow = asyncio.create_task(load(gateway, ADA_ID))
        try:
            assert await load(gateway, BEN_ID)
            assert not slow.done()
        finally:
            files.release()
        assert len(await slow) == 2

    scenario_of(site, scenario)


def test_rows_that_nothing_can_be_made_of_fail_their_user_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(gateway: Gateway) -> None:
        before, assemble = gateway.core.database.queries, gateway.core.manifests._parts.assemble

        def failing(user: UserId, *arguments: Any) -> Any:
            if user == ADA_ID:
                raise ValueError("odd")
            return assemble(user, *arguments)

        monkeypatch.setattr(gateway.core.manifests._parts, "assemble", failing)
        site.give(CLEO, "Review", "1.0.0")
        users = (BEN_ID, ADA_ID, UserId(CLEO))  # loaded together
        found = await asyncio.gather(
            *(load(gateway, user) for user in users), return_exceptions=True
        )
        assert [isinstance(each, ValueError) for each in found] == [False, True, False]
        assert gateway.core.database.queries - before == 1

    scenario_of(site, scenario)


# Changes


def test_a_changed_file_shows_in_the_next_manifest(site: Site) -> None:
    """Also where only metadata changed, and although the rows are known."""

    async def scenario(gateway: Gateway) -> None:
        await load(gateway)
        for metadata in ({"installed_at": "later"}, {"installed_at": "at last"}):
            site.write_installations(ADA, {"Review": {"installation_metadata": metadata}})
            gateway.core.lookups.installations.expire(ADA_ID)
            found = await load(gateway)
            assert list(found) == ["Review"]
            assert found["Review"]["installation_metadata"] == metadata
            assert at_hand(gateway) == found

    scenario_of(site, scenario)


def test_a_file_that_changed_before_installations_know_it_ends_them(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each manifest would be made anew, as it is not of the file that they know."""

    async def scenario(gateway: Gateway) -> None:
        await gateway.core.lookups.installations.get(ADA_ID)
        site.install(ADA, "Review")
        assert list(await load(gateway)) == ["Review"]
        await load(gateway)
        reads = Reads(monkeypatch, gateway)
        assert list(at_hand(gateway)) == ["Review"]
        assert (reads.queries, reads.files) == (0, [])

    scenario_of(site, scenario)


@pytest.mark.parametrize("content", [b"{broken", None])
def test_a_file_that_breaks_or_goes_leaves_nothing_installed(
    site: Site, content: bytes | None
) -> None:
    async def scenario(gateway: Gateway) -> None:
        assert await load(gateway)
        if content is None:
            site.installations_file(ADA).unlink()
        else:
            site.write_installations(ADA, content)
        gateway.core.invalidation.apply(Change(user=ADA_ID, hard=False))
        assert await load(gateway) == {}
        site.install(ADA, "Review")
        gateway.core.invalidation.apply(Change(user=ADA_ID, hard=False))
        assert list(await load(gateway)) == ["Review"]

    scenario_of(site, scenario)


@pytest.mark.parametrize(
    ("change", "is_left"),
    [
        (Change(user=ADA_ID), False),
        (Change(user=ADA_ID, hard=False), True),
        (Change(), False),
        (Change(hard=False), True),
        (Change(hard=False, read_since=0.0), True),
        (Change(hard=False, read_since=math.inf, of_manifests=True), True),
    ],
)
def test_a_change_ends_the_manifest_and_a_soft_one_lets_it_stand_in(
    site: Site, change: Change, is_left: bool
) -> None:
    async def scenario(gateway: Gateway) -> None:
        await load(gateway)
        site.execute("UPDATE plugin SET name = 'Renamed' WHERE user_id = ?", ADA)
        gateway.core.invalidation.apply(change)
        with site.locked():
            if is_left:
                assert (await load(gateway))["Review"]["name"] == "Review"
            else:
                with pytest.raises(SourceUnavailable):
                    await load(gateway)
        gateway.core.invalidation.apply(change)
        # On a busy machine the query may take too long: then a change that leaves the manifest
        # lets it stand in once more.
        late = "Review" if is_left else None
        assert await until_answer(lambda: name_of(gateway), lambda it: it != late) == "Renamed"

    async def name_of(gateway: Gateway) -> str | None:
        try:
            return str((await load(gateway))["Review"]["name"])
        except SourceUnavailable:
            return None

    scenario_of(site, scenario, GATEWAY__DATABASE__QUERY_TIMEOUT="0.5")


def test_a_row_that_was_taken_away_or_given_shows_after_a_change(site: Site) -> None:
    async def scenario(gateway: Gateway) -> None:
        assert list(await load(gateway)) == ["Eyes", "Review"]
        site.execute("UPDATE plugin SET enabled = 0 WHERE id = ?", f"{ADA}_Eyes")
        gateway.core.invalidation.apply(Change(user=ADA_ID))
        assert list(await load(gateway)) == ["Review"]

    scenario_of(site, scenario)


def test_a_manifest_is_confirmed_with_the_other_answers_of_the_database(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(gateway: Gateway) -> None:
        now = [1000.0]
        cache = gateway.core.manifests.cache
        monkeypatch.setattr(cache, "_clock", lambda: now[0])
        monkeypatch.setattr(cache._entries, "clock", lambda: now[0])
        await load(gateway)
        now[0] += 3_000.0
        gateway.core.lookups.confirm_database(now[0])
        now[0] += 3_000.0  # longer than its ttl since the load, not since the confirmation
        assert at_hand(gateway)
        now[0] += 3_000.0
        with pytest.raises(Pending):
            at_hand(gateway)

    scenario_of(site, scenario, GATEWAY__CACHE__VERSIONS__MAX_AGE="36000")


# Pins


def pins(found: Any) -> list[str]:
    return [entry["bundlelocation"].partition("/")[0] for entry in found.values()]


def rebuild(site: Site, slug: str = "Review", version: str = "1.0.0") -> None:
    (site.version_folder(slug, version) / "dist" / "remoteEntry.js").write_text(os.urandom(9).hex())


def test_a_rebuilt_folder_shows_after_the_next_look(site: Site) -> None:
    async def scenario(gateway: Gateway) -> None:
        before = await load(gateway)
        rebuild(site)
        assert at_hand(gateway) == before
        gateway.core.shared_versions.cache.expire_all()
        with pytest.raises(Pending):
            at_hand(gateway)
        after = await load(gateway)
        assert pins(after)[0] == pins(before)[0]
        assert pins(after)[1] != pins(before)[1]
        assert at_hand(gateway) == after

    scenario_of(site, scenario)


def test_a_change_of_files_shows_in_every_manifest_without_a_query(
    empty_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = many_users(empty_site, 3, 1)

    async def scenario(gateway: Gateway) -> None:
        (before,) = {str(pins(await load(gateway, user))) for user in users}
        rebuild(empty_site, "Plugin0")
        gateway.core.invalidation.apply(Change(slug="Plugin0"))  # type: ignore[arg-type]
        reads = Reads(monkeypatch, gateway)
        (after,) = {str(pins(await load(gateway, user))) for user in users}
        assert before != after
        assert reads.queries == 0

    scenario_of(empty_site, scenario)


def test_no_pin_is_older_than_a_look_at_its_folder(site: Site) -> None:
    """Where each request looks for itself, as in development."""

    async def scenario(gateway: Gateway) -> None:
        before = pins(await load(gateway))
        for _ in range(3):
            rebuild(site)
            with pytest.raises(Pending):
                at_hand(gateway)
            found = pins(await load(gateway))
            assert found[0] == before[0]
            assert found[1] != before[1]
            before = found

    scenario_of(site, scenario, GATEWAY__CACHE__ASSETS__REVALIDATE="0")


def test_folders_are_looked_at_beside_each_other(
    empty_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    (user,) = many_users(empty_site, 1, 6)

    async def scenario(gateway: Gateway) -> None:
        versions = gateway.core.shared_versions
        look, together = versions._look_now, threading.Barrier(6)

        def waiting(*arguments: Any) -> Any:
            together.wait(30)  # breaks unless all six are here
            return look(*arguments)

        monkeypatch.setattr(versions, "_look_now", waiting)
        for _ in range(2):  # never seen, and stale
            assert all(pin.startswith("@1.0.0~") for pin in pins(await load(gateway, user)))
            versions.cache.expire_all()

    scenario_of(empty_site, scenario)


def test_a_folder_that_cannot_be_looked_at_leaves_its_location_unpinned(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(gateway: Gateway) -> None:
        versions = gateway.core.shared_versions
        look = versions._look_now

        def failing(slug: Any, *arguments: Any) -> Any:
            if slug == "Eyes":
                raise OSError("the disk")
            return look(slug, *arguments)

        monkeypatch.setattr(versions, "_look_now", failing)
        found = await load(gateway)
        assert found["Eyes"]["bundlelocation"] == "dist/remoteEntry.js"
        assert found["Review"]["bundlelocation"].startswith("@1.0.0~")
        assert at_hand(gateway) == found  # for a moment it is not tried again
        monkeypatch.setattr(versions, "_look_now", look)
        gateway.core.shared_versions.clock = lambda: float("inf")
        assert pins(await load(gateway))[0].startswith("@2.0.0~")

    scenario_of(site, scenario)


def test_a_traced_request_names_all_that_it_rests_on(site: Site) -> None:
    async def scenario(gateway: Gateway) -> None:
        basis = TracedBasis()
        await basis.settled(gateway.core.manifests.get, ADA_ID, with_modules=False)
        assert set(basis.ages()) == {"manifest", "installations", "builds"}

    scenario_of(site, scenario)


# Memory


@pytest.mark.slow
def test_a_users_manifest_takes_little_more_than_a_kibibyte(empty_site: Site) -> None:
    users = many_users(empty_site, 2_200, 5)

    async def known(gateway: Gateway, some: list[UserId]) -> None:
        for start in range(0, len(some), 10):
            await asyncio.gather(*(load(gateway, user) for user in some[start : start + 10]))

    async def scenario(gateway: Gateway) -> None:
        for user in users:
            await gateway.core.lookups.installations.get(user)
            await gateway.core.lookups.records.get(user)  # which a manifest fills too
        await known(gateway, users[:200])
        gc.collect()
        tracemalloc.start()
        try:
            await known(gateway, users[200:])
            gc.collect()
            size_bytes, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert size_bytes / 2_000 <= MOST_BYTES

    scenario_of(empty_site, scenario)


def test_the_cache_holds_no_text_that_users_share(empty_site: Site) -> None:
    users = many_users(empty_site, 2, 3)

    async def scenario(gateway: Gateway) -> None:
        for user in users:
            await load(gateway, user)
        first, second = (held(gateway.core.manifests, user) for user in users)
        assert [id(part) for part in first] == [id(part) for part in second]

    scenario_of(empty_site, scenario)


def held(manifests: ManifestCache, user: UserId) -> tuple[object, ...]:
    entry = manifests.cache.peek((user, False))
    assert entry is not None
    return entry.value.parts
