"""A bundler writes into the folder; whole builds are applied, and halves never are."""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.changes import Change
from gateway.development import source as module
from gateway.development.build_watch import QUIET_S
from gateway.development.developed_plugin import DevelopedPlugin, SeenBuild
from gateway.development.plugin_folder import Look, PluginFolder
from gateway.development.snapshots import Candidate, Snapshots
from gateway.development.source import DevelopmentSource
from gateway.names import Slug, UserId
from tests.development.folders import ENTRY, METADATA, built, plugin_folder, rebuild, write
from tests.support.site import ADA
from tests.support.waiting import until

USER, SLUG = UserId(ADA), Slug("Mine")


class CountedFolder(PluginFolder):
    looks = 0

    def look(self) -> Look:
        self.looks += 1
        return super().look()


class InterruptedSnapshots(Snapshots):
    """A bundler may write while a candidate is copied."""

    interruption: Callable[[], object] | None = None

    def prepare(self, look: Look) -> Candidate:
        candidate = super().prepare(look)
        if self.interruption is not None:
            interruption, self.interruption = self.interruption, None
            interruption()
        return candidate


class Watched:
    """A folder, and what was heard of its builds."""

    def __init__(self, tmp_path: Path, text: str | None) -> None:
        self.folder = plugin_folder(tmp_path / "mine", text)
        self.looked = CountedFolder(self.folder)
        self.plugin = DevelopedPlugin(USER, SLUG, f"{ADA}_Mine")
        self.snapshots = InterruptedSnapshots(tmp_path / "copies", SLUG, lambda _version: False)
        self.changes: list[Change] = []
        self.reported: list[tuple[SeenBuild, int]] = []
        self.ready = asyncio.Event()

    async def look(self, times: int = 15) -> None:
        """Returns when the folder has been looked at so many times."""
        before = self.looked.looks
        await until(lambda: self.looked.looks >= before + times)

    async def built(self, number: int) -> SeenBuild:
        return await asyncio.wait_for(self.plugin.after(number - 1), 20)

    def texts(self) -> dict[str, str]:
        """The files of the version that the user has."""
        assert self.plugin.release is not None
        folder = self.snapshots.shared.version_folder(SLUG, self.plugin.release.version)
        return {name: (folder / name).read_text() for name in built("")}


def watch(
    tmp_path: Path, act: Callable[[Watched], Awaitable[None]], text: str | None = "1"
) -> Watched:
    """Watches a folder, with a build unless `text` is None, while `act` runs."""

    async def main() -> Watched:
        watched = Watched(tmp_path, text)
        source = DevelopmentSource(
            watched.looked,
            watched.snapshots,
            watched.plugin,
            lambda build, told: watched.reported.append((build, told)),
        )
        task = asyncio.create_task(source.run(watched.changes.append, watched.ready.set))
        try:
            await watched.ready.wait()
            await act(watched)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return watched

    return asyncio.run(main())


def test_it_is_ready_when_the_build_in_the_folder_is_applied(tmp_path: Path) -> None:
    async def act(watched: Watched) -> None:
        assert watched.texts() == built("1")
        assert watched.plugin.scope == "mine"

    watched = watch(tmp_path, act)
    (build,) = watched.plugin.builds
    assert (build.number, build.version, build.files) == (1, "1.2.0-dev.1", 3)
    assert build.seen_after_s is None, "it was there before"
    assert watched.changes == [Change(user=USER, slug=SLUG)]
    assert watched.reported == [(build, 0)]


def test_it_is_ready_at_once_without_a_build_and_begins_with_the_first(tmp_path: Path) -> None:
    async def act(watched: Watched) -> None:
        assert watched.plugin.current is None
        rebuild(watched.folder, "1")
        build = await watched.built(1)
        assert build.seen_after_s is not None
        assert watched.texts() == built("1")

    watch(tmp_path, act, text=None)


def test_a_writer_who_writes_slowly_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUIET_S", 1.0)  # no machine is too busy for this writer

    async def act(watched: Watched) -> None:
        chunk = watched.folder / "dist" / "1.js"
        write(watched.folder, {ENTRY: built("2")[ENTRY]})
        for end in range(len(built("2")["dist/1.js"]) + 1):
            chunk.write_text(built("2")["dist/1.js"][:end])
            await asyncio.sleep(0.03)
            assert watched.plugin.builds[-1].number == 1
        await watched.built(2)
        assert watched.texts() == built("2")

    assert len(watch(tmp_path, act).plugin.builds) == 2


def test_a_bundler_that_empties_its_folder_first_is_waited_for(tmp_path: Path) -> None:
    async def act(watched: Watched) -> None:
        shutil.rmtree(watched.folder / "dist")
        await watched.look()
        write(watched.folder, {"dist/1.js": built("2")["dist/1.js"]})
        await watched.look()
        assert watched.texts() == built("1"), "the last good one stays"
        rebuild(watched.folder, "2")
        await watched.built(2)
        assert watched.texts() == built("2")

    assert len(watch(tmp_path, act).plugin.builds) == 2


def test_a_folder_that_is_renamed_into_place_is_a_build(tmp_path: Path) -> None:
    async def act(watched: Watched) -> None:
        write(watched.folder, {f"next/{name}": text for name, text in built("2").items()})
        (watched.folder / "dist").rename(watched.folder / "old")
        (watched.folder / "next" / "dist").rename(watched.folder / "dist")
        await watched.built(2)
        assert watched.texts() == built("2")

    watch(tmp_path, act)


def test_what_changes_while_it_is_copied_is_copied_again(tmp_path: Path) -> None:
    async def act(watched: Watched) -> None:
        watched.snapshots.interruption = lambda: rebuild(watched.folder, "3")
        rebuild(watched.folder, "2")
        await watched.built(2)
        assert watched.texts() == built("3")

    assert len(watch(tmp_path, act).plugin.builds) == 2


def test_the_same_content_once_more_is_no_news(tmp_path: Path) -> None:
    async def act(watched: Watched) -> None:
        rebuild(watched.folder, "1")
        await watched.look()
        rebuild(watched.folder, "2")
        assert (await watched.built(2)).version == "1.2.0-dev.2"

    assert len(watch(tmp_path, act).plugin.builds) == 2


def test_a_refused_build_is_told_of_and_the_last_good_one_stays(tmp_path: Path) -> None:
    async def act(watched: Watched) -> None:
        write(watched.folder, {"plugin.json": "{", **built("2")})
        refused = await watched.built(2)
        assert refused.version is None
        assert "plugin.json: not valid JSON" in (refused.problem or "")
        assert watched.texts() == built("1")
        write(watched.folder, {"plugin.json": METADATA})
        await watched.built(3)
        assert watched.texts() == built("2")

    watched = watch(tmp_path, act)
    assert [build.number for build in watched.plugin.builds] == [1, 2, 3]


def test_the_pages_that_wait_are_counted(tmp_path: Path) -> None:
    async def act(watched: Watched) -> None:
        pages = [asyncio.create_task(watched.plugin.after(1)) for _ in range(2)]
        await until(lambda: watched.plugin.waiting == 2)
        rebuild(watched.folder, "2")
        builds = await asyncio.gather(*pages)
        assert watched.reported[-1] == (builds[0], 2)

    watch(tmp_path, act)


def test_the_times_of_a_build_are_those_of_its_files(tmp_path: Path) -> None:
    async def act(watched: Watched) -> None:
        before = time.time()
        rebuild(watched.folder, "2")
        build = await watched.built(2)
        # The clocks of file systems stand still for up to 10 ms.
        assert before - 0.02 <= build.finished_at <= time.time()
        assert build.seen_after_s is not None
        assert build.seen_after_s >= QUIET_S - 0.02

    watch(tmp_path, act)
