"""Changes of users' installed_plugins.json, however they are written: they show at once.

The lifetimes of all cached answers are an hour here, so only the news can end them.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway import Gateway
from gateway.changes import Change
from gateway.database.connections import connect
from gateway.database.plugin_database import PluginDatabase
from gateway.disk import users_folder
from gateway.disk.files import Fingerprint
from gateway.disk.storage import PluginStorage
from gateway.errors import SourceUnavailable, StorageError
from gateway.freshness import following
from gateway.freshness.users_folder import UsersFolderSource
from gateway.names import UserId
from gateway.serving.file_reader import Installations, UserFile
from gateway.serving.lookups import Lookups
from gateway.settings import load_settings
from tests.support.asgi import Client, status, with_gateway
from tests.support.server import Server, server_of
from tests.support.settings import AN_HOUR
from tests.support.site import ADA, BEN, NOBODY, Site, bearer, populated
from tests.support.sources import WatchedFiles
from tests.support.urls import ENTRY_URL, MANIFEST, own
from tests.support.waiting import DEADLINE_S, eventually, until, until_answer

pytestmark = pytest.mark.slow

REVIEW_AND_EYES = json.dumps({"Review": {}, "Eyes": {}}).encode()
ONLY_EYES = json.dumps({"Eyes": {}}).encode()

Write = Callable[[Path, bytes], None]


server = server_of(AN_HOUR)


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


def test_a_first_file_of_a_user_shows_though_they_were_just_denied(
    site: Site, server: Server
) -> None:
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
        assert status(await client.request(ENTRY_URL)) == 200
        for _ in range(5):
            ada.write_bytes(REVIEW_AND_EYES[:9])
            _gateway.core.invalidation.apply(Change(user=UserId(ADA)))
            asking = asyncio.create_task(client.request(ENTRY_URL))
            await asyncio.sleep(0.01)  # how long the writer takes
            ada.write_bytes(REVIEW_AND_EYES)
            assert status(await asking) == 200

    in_process(site, scenario)


def test_a_file_that_is_deleted_twice_is_gone_twice(site: Site, ada: Path) -> None:
    """In between a request has read it, before the sweep saw that it was back."""

    async def scenario(gateway: Gateway, client: Client) -> None:
        async def asked() -> int:
            return status(await client.request(ENTRY_URL))

        for _ in range(5):
            assert await asked() == 200
            ada.unlink()
            await until_answer(asked, lambda seen: seen == 404)
            ada.write_bytes(REVIEW_AND_EYES)
            gateway.core.invalidation.apply(Change(user=UserId(ADA)))

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
        async def asked() -> int:
            return status(await client.request(ENTRY_URL))

        # One whole sweep: Ada is read and taken away, and that has been noticed.
        assert await asked() == 200
        site.installations_file(ADA).unlink()
        await until_answer(asked, lambda seen: seen == 404)

    try:
        in_process(site, scenario)
    finally:
        listening = False
    users = str(site.plugins / "users")
    assert {path for path in looked_at if path.startswith(users)} == {
        str(site.installations_file(ADA))
    }


# The sweep alone, over real files, with a clock of the test's own


class Sweep:
    """Counts what is asked of the disk: `read` files, and files that were only `looked_at`."""

    def __init__(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gateway.freshness.users_folder._SWEEP_S", 0.001)
        settings = load_settings(environ=site.environment)
        self.now_s = 1000.0
        files = WatchedFiles(monkeypatch)
        self.read, self.looked_at = files.read, files.looked_at
        self.lookups = Lookups(
            PluginStorage(settings.plugins_dir),
            PluginDatabase(connect(settings)),
            settings.cache,
            settings.access,
            lambda: self.now_s,
        )
        self.users = self.lookups.installations
        self.told: list[UserId | None] = []

    def _tell(self, change: Change) -> None:
        self.told.append(change.user)
        assert change.user is not None
        self.users.expire(change.user)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        try:
            async with following([UsersFolderSource(self.lookups)], self._tell):
                yield
        finally:
            await self.lookups.close()

    async def load(self, user: str) -> UserFile:
        return await self.users.get(UserId(user))

    def use(self, user: str) -> bool:
        """Whether the cache answers at once."""
        return self.users.at_hand(UserId(user)) is not None

    async def confirmed(self, user: str) -> None:
        """Uses an entry, and waits for the sweep after it."""
        assert self.use(user)
        await until(lambda: self.confirmed_at(user) == self.now_s)

    def confirmed_at(self, user: str) -> float:
        entry = self.users.peek(UserId(user))
        assert entry is not None
        return entry.confirmed_at


SweepScenario = Callable[[Sweep], Awaitable[None]]


def sweeping(site: Site, monkeypatch: pytest.MonkeyPatch, scenario: SweepScenario) -> None:
    async def main() -> None:
        sweep = Sweep(site, monkeypatch)
        async with sweep.running():
            await scenario(sweep)

    asyncio.run(main())


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of the test count as written long ago."""
    monkeypatch.setattr("gateway.serving.file_reader._SETTLED_NS", 0)


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("user", [ADA, NOBODY])
def test_whoever_is_active_is_confirmed_up_to_max_age_and_then_read_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    """Also a user who has no file."""

    async def scenario(sweep: Sweep) -> None:
        if user == NOBODY:
            sweep.lookups.file_reader._allow_missing = True  # nothing is negative then
        await sweep.load(user)
        for _ in range(44):
            sweep.now_s += 6
            await sweep.confirmed(user)
        assert sweep.users.counters.loads == 1
        sweep.now_s += 36  # 300 since the load
        assert not sweep.use(user)
        await sweep.load(user)
        assert sweep.read == [user, user]
        assert sweep.told == []

    sweeping(site, monkeypatch, scenario)


@pytest.mark.usefixtures("settled")
def test_whoever_is_idle_costs_no_look_and_their_next_use_one_and_no_reading(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(sweep: Sweep) -> None:
        for user in (ADA, BEN):
            await sweep.load(user)
        for _ in range(3):  # three sweeps, for Ben alone
            sweep.now_s += 4
            await sweep.confirmed(BEN)
        assert set(sweep.looked_at) == {BEN}
        assert not sweep.use(ADA)
        before = sweep.users.peek(UserId(ADA))
        assert before is not None
        assert await sweep.load(ADA) is before.value
        assert (sweep.looked_at.count(ADA), sweep.read.count(ADA)) == (1, 1)

    sweeping(site, monkeypatch, scenario)


@pytest.mark.usefixtures("settled")
def test_whoever_is_idle_is_told_of_at_their_next_use_though_their_entry_was_fresh(
    site: Site, ada: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(sweep: Sweep) -> None:
        await sweep.load(ADA)
        ada.write_bytes(ONLY_EYES)
        sweep.now_s += 6
        assert sweep.use(ADA)
        await until(lambda: sweep.told == [ADA])

        async def slugs() -> Sequence[str]:  # a busy disk may take longer than the old one lasts
            return (await sweep.load(ADA)).installations.slugs

        await until_answer(slugs, lambda seen: seen == ("Eyes",))

    sweeping(site, monkeypatch, scenario)


def test_a_file_that_is_young_when_it_is_read_is_not_confirmed_and_is_read_again(
    site: Site, ada: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next writer may leave it with the same facts: clocks of file systems tick slowly."""

    async def scenario(sweep: Sweep) -> None:
        ada.write_bytes(REVIEW_AND_EYES)
        loaded = await sweep.load(ADA)
        sweep.now_s += 6
        assert sweep.use(ADA)
        await until(lambda: sweep.looked_at == [ADA])
        sweep.now_s += 4
        assert not sweep.use(ADA)
        monkeypatch.setattr("gateway.serving.file_reader._SETTLED_NS", 0)
        assert await sweep.load(ADA) is not loaded
        assert sweep.read == [ADA, ADA]
        sweep.now_s += 6
        await sweep.confirmed(ADA)

    sweeping(site, monkeypatch, scenario)


@pytest.mark.usefixtures("settled")
def test_a_file_that_cannot_be_looked_at_is_not_confirmed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(sweep: Sweep) -> None:
        for user in (ADA, BEN):
            await sweep.load(user)
        look = users_folder.UsersFolder.fingerprint

        def failing(files: users_folder.UsersFolder, user: UserId) -> Fingerprint | None:
            if user == ADA:
                sweep.looked_at.append(user)
                raise StorageError("the disk failed")
            return look(files, user)

        monkeypatch.setattr(users_folder.UsersFolder, "fingerprint", failing)
        sweep.now_s += 6
        assert sweep.use(ADA)
        await sweep.confirmed(BEN)  # in the same sweep, or a later one
        assert ADA in sweep.looked_at
        assert sweep.confirmed_at(ADA) < sweep.now_s
        assert sweep.told == []
        sweep.now_s += 4
        assert not sweep.use(ADA)
        loaded = await sweep.lookups.user_files._load([UserId(ADA)])
        with pytest.raises(SourceUnavailable):
            await asyncio.wait_for(loaded[UserId(ADA)], DEADLINE_S)  # type: ignore[arg-type]

    sweeping(site, monkeypatch, scenario)


@pytest.mark.usefixtures("settled")
def test_a_damaged_file_is_told_of_once_and_then_confirmed_as_it_is(
    site: Site, ada: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(sweep: Sweep) -> None:
        await sweep.load(ADA)
        ada.write_bytes(b"[]")
        sweep.now_s += 1
        assert sweep.use(ADA)
        await until(lambda: sweep.told)
        assert (await sweep.load(ADA)).installations == Installations(())
        for _ in range(3):
            sweep.now_s += 0.5
            await sweep.confirmed(ADA)
        assert sweep.told == [ADA]

    sweeping(site, monkeypatch, scenario)


@pytest.mark.usefixtures("settled")
def test_with_more_users_than_one_sweep_looks_at_the_others_are_looked_at_next(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.freshness.users_folder._MOST_LOOKS", 2)

    async def scenario(sweep: Sweep) -> None:
        users = [f"{number:032x}" for number in range(5)]
        for user in users:
            site.install(user, "Review")
            await sweep.load(user)
        sweep.now_s += 6
        assert all(sweep.use(user) for user in users)  # once, and no more
        await until(lambda: {sweep.confirmed_at(user) for user in users} == {sweep.now_s})

    sweeping(site, monkeypatch, scenario)
