"""Collecting versions: which go, which stay and why, and that none goes that is needed."""

import asyncio
import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from gateway.changes import Change
from gateway.disk.differences import Differences
from gateway.disk.retention import IN_USE_S, Retention
from gateway.disk.users_folder import LockedFile
from gateway.errors import PublishingError, StorageError
from gateway.lifecycle.garbage import DAY_S, Candidate, Collector, Fate
from gateway.lifecycle.publishing import publish
from gateway.lifecycle.staging import only_publisher
from gateway.names import Slug, Version
from tests.support.accounts import OPERATOR, Account, forget_use
from tests.support.accounts import publish as put
from tests.support.postgres import PostgresSite
from tests.support.server import run_cli, serving
from tests.support.site import ADA, BEN, Site, bearer
from tests.support.urls import ENTRY, own, pin_of
from tests.support.waiting import eventually

REVIEW = Slug("Review")
OLD, NEW = Version("1.0.0"), Version("1.0.1")


class Collecting:
    """Runs of `gc` at moments of the test's choice, in days from now."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.account = Account(site)
        self.storage = self.account.storage
        self.retention = Retention(self.storage.cache)
        self.announced: list[Change] = []
        self._began = time.time()

    def look(self, day: float, *, days: int = 7) -> dict[str, Candidate]:
        """What a run finds, by "slug version"."""
        return {f"{one.slug} {one.version}": one for one in self._collector(day, days)[1]}

    def collect(self, day: float, *, days: int = 7) -> list[str]:
        collector, found = self._collector(day, days)
        return self.collected(collector, found)

    def collected(self, collector: Collector, found: list[Candidate]) -> list[str]:
        async def run() -> list[str]:
            return [f"{one.slug} {one.version}" async for one in collector.collect(found)]

        return asyncio.run(run())

    def _collector(self, day: float, days: int) -> tuple[Collector, list[Candidate]]:
        settings = self.account.settings.model_copy(
            update={"lifecycle": self.account.settings.lifecycle.model_copy(
                update={"retention_days": days})}
        )  # fmt: skip
        moment = self._began + day * DAY_S
        collector = Collector(settings, self.storage, self.announced.append, lambda: moment)
        rows = self.site.query("SELECT plugin_slug, version FROM plugin")
        referred = {(row["plugin_slug"], row["version"]) for row in rows}
        return collector, list(collector.candidates(referred))

    def is_there(self, version: str, slug: str = "Review") -> bool:
        return self.site.version_folder(slug, version).is_dir()


@pytest.fixture
def gc(empty_site: Site) -> Collecting:
    """Two versions of Review; Ada has the newer."""
    put(empty_site, OLD)
    put(empty_site, NEW)
    empty_site.give(ADA, "Review", NEW)
    return Collecting(empty_site)


def test_a_version_without_rows_is_retained_from_the_run_that_finds_it(gc: Collecting) -> None:
    first = gc.look(0)
    assert first["Review 1.0.1"].fate is Fate.REFERRED
    assert first["Review 1.0.0"].fate is Fate.RETAINED
    assert first["Review 1.0.0"].retained_for_s == pytest.approx(7 * DAY_S)
    assert gc.look(6.9)["Review 1.0.0"].fate is Fate.RETAINED
    assert gc.collect(6.9) == []
    assert gc.look(7.1)["Review 1.0.0"].fate is Fate.COLLECTABLE
    assert gc.collect(7.1) == ["Review 1.0.0"]
    assert (gc.is_there("1.0.0"), gc.is_there("1.0.1")) == (False, True)
    assert gc.announced == [Change(slug=REVIEW, version=OLD)]
    assert set(gc.look(7.2)) == {"Review 1.0.1"}


def test_retention_begins_when_the_last_row_goes_not_when_it_was_last_seen(gc: Collecting) -> None:
    gc.look(0)
    gc.site.execute("DELETE FROM plugin")  # by the application, some day
    assert gc.look(30)["Review 1.0.1"].fate is Fate.RETAINED
    assert "Review 1.0.1" not in gc.collect(30)


def test_a_reference_stops_the_clock(gc: Collecting) -> None:
    gc.look(0)
    gc.site.give(BEN, "Review", "1.0.0")
    assert gc.look(3)["Review 1.0.0"].fate is Fate.REFERRED
    gc.site.execute("DELETE FROM plugin WHERE user_id = ?", BEN)
    assert gc.look(8)["Review 1.0.0"].fate is Fate.RETAINED


@pytest.mark.parametrize("leave", ["uninstall", "update"])
def test_a_change_begins_the_retention_of_what_it_leaves(gc: Collecting, leave: str) -> None:
    put(gc.site, "1.0.2")
    getattr(gc.account, leave)()
    assert gc.look(6.9)["Review 1.0.1"].fate is Fate.RETAINED
    assert gc.look(7.1)["Review 1.0.1"].fate is Fate.COLLECTABLE


def test_an_installation_stops_the_clock_before_the_next_run(gc: Collecting) -> None:
    gc.look(0)
    gc.account.rollback("1.0.0")
    gc.site.execute("DELETE FROM plugin")
    assert gc.look(8)["Review 1.0.0"].fate is Fate.RETAINED


def test_a_version_that_is_published_anew_has_a_new_clock(gc: Collecting, tmp_path: Path) -> None:
    gc.look(0)
    (folder := gc.site.version_folder("Review", "1.0.0")).rename(tmp_path / "Review")
    publish(gc.storage, tmp_path / "Review")
    assert folder.is_dir()
    assert gc.look(8)["Review 1.0.0"].fate is Fate.RETAINED


def test_no_retention_collects_at_once(gc: Collecting) -> None:
    assert gc.collect(0, days=0) == ["Review 1.0.0"]


def test_a_version_in_use_stays_until_nobody_asks_for_it(gc: Collecting) -> None:
    gc.look(0)
    gc.retention.note_use(REVIEW, OLD)
    note = gc.storage.cache.path / "versions" / "Review" / "v1.0.0.used"
    used = gc._began + 8 * DAY_S
    os.utime(note, (used, used))
    still = 8 + (IN_USE_S - 1) / DAY_S
    assert gc.look(still)["Review 1.0.0"].fate is Fate.IN_USE
    assert gc.collect(still) == []
    assert gc.collect(8 + (IN_USE_S + 1) / DAY_S) == ["Review 1.0.0"]


def test_notes_that_are_deleted_keep_a_version_longer(gc: Collecting) -> None:
    gc.look(0)
    for note in (gc.storage.cache.path / "versions" / "Review").iterdir():
        note.unlink()
    assert gc.look(8)["Review 1.0.0"].fate is Fate.RETAINED


def test_where_nothing_can_be_noted_nothing_goes(gc: Collecting) -> None:
    (gc.storage.cache.path / "versions").write_text("a file in the way")
    for day in (0, 8, 80):
        assert gc.look(day)["Review 1.0.0"].fate is Fate.RETAINED


def test_a_look_changes_nothing_but_notes(gc: Collecting) -> None:
    def files() -> set[Path]:
        return {path for path in gc.site.folder.rglob("*") if "versions" not in path.parts}

    gc.look(0)
    before, contents = files(), gc.account.everything()
    gc.look(8)
    assert files() == before
    assert gc.account.everything() == contents


def test_folders_that_are_no_versions_are_left_alone(gc: Collecting) -> None:
    for name in (
        "Review/latest",
        "Review/v",
        "Review/v..",
        "Review/1.0.0",
        ".git/v1.0.0",
        "con/v1",
    ):
        (gc.storage.shared.path / name).mkdir(parents=True)
    (gc.storage.shared.path / "README").write_text("a file")
    (gc.storage.shared.path / "Review" / "v3").write_text("a file")
    assert set(gc.look(0, days=0)) == {"Review 1.0.0", "Review 1.0.1"}
    assert gc.collect(0, days=0) == ["Review 1.0.0"]
    for name in ("Review/latest", "Review/v", "Review/v..", ".git/v1.0.0", "con/v1", "README"):
        assert (gc.storage.shared.path / name).exists()


def test_a_row_that_appears_meanwhile_keeps_its_version(gc: Collecting) -> None:
    collector, found = gc._collector(8, 0)
    gc.site.give(BEN, "Review", "1.0.0")
    assert gc.collected(collector, found) == []
    assert gc.is_there("1.0.0")
    assert gc.announced == []


def test_a_run_that_was_overtaken_by_another_finds_nothing_to_do(gc: Collecting) -> None:
    collector, found = gc._collector(8, 0)
    assert gc.collect(8, days=0) == ["Review 1.0.0"]
    assert gc.collected(collector, found) == []
    assert not (gc.storage.cache.trash).exists()


def test_a_second_run_at_the_same_time_says_so(gc: Collecting) -> None:
    lock = FileLock(gc.storage.cache.collector_lock)
    with lock, pytest.raises(StorageError, match="another run"):
        gc.collect(8, days=0)
    assert gc.collect(8, days=0) == ["Review 1.0.0"]


def test_a_version_that_is_being_published_is_not_collected(gc: Collecting) -> None:
    with (
        only_publisher(gc.storage.cache, REVIEW, OLD),
        pytest.raises(PublishingError, match="published"),
    ):
        gc.collect(8, days=0)
    assert gc.is_there("1.0.0")
    assert gc.collect(8, days=0) == ["Review 1.0.0"]


@pytest.mark.slow
def test_variants_of_its_files_go_too_and_those_shared_are_made_again(
    empty_site: Site, tmp_path: Path
) -> None:
    shared, single = b"window.shared = 1;" * 100, b"window.single = 1;" * 100
    for version, files in (("1.0.0", {"a.js": single}), ("1.0.1", {})):
        source = tmp_path / version
        (source / "dist").mkdir(parents=True)
        (source / "plugin.json").write_text(f'{{"slug": "Review", "version": "{version}"}}')
        for name, content in {"remoteEntry.js": shared, **files}.items():
            (source / "dist" / name).write_bytes(content)
        publish(Account(empty_site).storage, source)
    empty_site.give(ADA, "Review", "1.0.1")
    gc = Collecting(empty_site)
    encoded = gc.storage.cache.encoded

    def variants() -> list[Path]:
        return [path for path in encoded.rglob("*") if path.is_file()]

    assert len(variants()) == 6
    assert gc.collect(0, days=0) == ["Review 1.0.0"]
    assert variants() == []
    with serving(empty_site.environment) as server:
        fields = {**bearer(ADA), "Accept-Encoding": "br"}
        answer = eventually(
            lambda: server.get(own("Review"), fields),
            lambda got: got.headers.get("content-encoding") == "br",
        )
        assert answer.status == 200
    assert len(variants()) == 3


def test_differences_of_a_collected_version_go_with_it(gc: Collecting) -> None:
    cache = gc.storage.cache
    differences = Differences(cache, 2**20)
    contents = [b"/* %d */" % number + b"the same in all versions\n" * 99 for number in range(3)]
    (gc.site.version_folder("Review", OLD) / "a.js").write_bytes(contents[0])
    (gc.site.version_folder("Review", NEW) / "a.js").write_bytes(contents[2])
    digests = [hashlib.sha256(content).digest() for content in contents]
    for old, new in ((0, 1), (1, 0), (1, 2)):
        differences.make_now(contents[new], digests[new], contents[old], digests[old])
    assert gc.collect(0, days=0) == ["Review 1.0.0"]
    left = [path for path in cache.differences.rglob("*") if path.is_file()]
    assert left == [differences.path(digests[2], digests[1])]


@pytest.mark.slow
def test_pins_of_a_collected_version_answer_410_at_once(gc: Collecting) -> None:
    gc.site.give(BEN, "Review", "1.0.0")
    with serving({**gc.site.environment, "GATEWAY__LIFECYCLE__RETENTION_DAYS": "0"}) as server:
        pinned = own("Review", f"{pin_of(server, BEN, 'Review')}/{ENTRY}")
        assert server.get(pinned, bearer(BEN)).status == 200
        Account(gc.site, BEN).update()
        eventually(
            lambda: server.get(own("Review", "plugin.json"), bearer(BEN)).json["version"],
            lambda version: version == "1.0.1",
        )
        assert server.get(pinned, bearer(BEN)).status == 200
        in_use = run_cli(
            {**gc.site.environment, "GATEWAY__LIFECYCLE__RETENTION_DAYS": "0"}, "gc", "--apply"
        )
        assert "asked for lately" in in_use.stdout
        forget_use(gc.site, "1.0.0")
        done = run_cli(
            {**gc.site.environment, "GATEWAY__LIFECYCLE__RETENTION_DAYS": "0"}, "gc", "--apply"
        )
        assert "removed Review 1.0.0\n" in done.stdout, done
        answer = eventually(lambda: server.get(pinned, bearer(BEN)), lambda got: got.status != 200)
        assert (answer.status, answer.code) == (410, "version_retired")
        assert server.get(own("Review"), bearer(BEN)).status == 200


def test_on_postgresql_an_installation_keeps_its_version(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row is not committed yet, so gc cannot see it: it waits."""
    url = request.getfixturevalue("postgres").new_database()
    site = PostgresSite(tmp_path / "site", url)
    put(site, OLD)
    gc = Collecting(site)
    collector, found = gc._collector(8, 0)
    assert [one.fate for one in found] == [Fate.COLLECTABLE]
    register = LockedFile.register

    async def both() -> list[str]:
        loop = asyncio.get_running_loop()
        at_its_end = asyncio.Event()
        collecting: list[asyncio.Task[list[str]]] = []

        def slow_register(*arguments: Any) -> None:  # the last step before the commit
            loop.call_soon_threadsafe(at_its_end.set)
            end = time.monotonic() + 0.3
            while time.monotonic() < end and not any(task.done() for task in collecting):
                time.sleep(0.01)
            register(*arguments)

        monkeypatch.setattr(LockedFile, "register", slow_register)

        async def collect() -> list[str]:
            return [one.version async for one in collector.collect(found)]

        installing = asyncio.create_task(
            gc.account.lifecycle.install(gc.account.user, REVIEW, by=OPERATOR)
        )
        await at_its_end.wait()
        collecting.append(asyncio.create_task(collect()))
        await installing
        return await collecting[0]

    assert asyncio.run(both()) == []
    assert gc.is_there("1.0.0")
    assert gc.account.row()["version"] == "1.0.0"
