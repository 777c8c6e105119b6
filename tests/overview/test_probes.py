"""Looks at folders that nobody asks for: missing, forbidden, hanging."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.overview.probes import FolderProbe
from tests.support.privileges import open_folder, without_privileges
from tests.support.waiting import until


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario()

    asyncio.run(main())


async def error_of(probe: FolderProbe) -> str | None:
    """After a look that has ended."""
    probe.look()
    await until(lambda: probe._began_at is None)
    return probe.error


def test_a_folder_that_is_there_has_no_error_and_one_that_is_back_none_any_more(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        folder = tmp_path / "users"
        probe = FolderProbe(folder)
        assert probe.error is None
        assert await error_of(probe) == f"No such file or directory: {folder}"
        folder.write_text("")
        assert await error_of(probe) == f"Not a directory: {folder}"
        folder.unlink()
        folder.mkdir()
        assert await error_of(probe) is None

    run(scenario)


def test_a_folder_that_may_not_be_read_has_an_error() -> None:
    async def scenario() -> None:
        with open_folder() as outer:
            folder = outer / "users"
            folder.mkdir(mode=0o700)
            with without_privileges():
                if folder.stat().st_uid != 0:
                    folder.chmod(0)
                assert await error_of(FolderProbe(folder)) == f"Permission denied: {folder}"

    run(scenario)


def test_a_look_that_hangs_is_an_error_and_holds_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    calls: list[Path] = []

    def hang(folder: Path) -> None:
        calls.append(folder)
        released.wait()

    async def scenario() -> None:
        clock = Clock()
        probe = FolderProbe(tmp_path, clock)
        for _ in range(5):
            probe.look()
            clock.now_s += 1.0
        assert probe.error == f"no answer for 5 s: {tmp_path}"
        assert calls == [tmp_path]
        released.set()
        await until(lambda: probe.error is None)

    monkeypatch.setattr("gateway.overview.probes._require", hang)
    try:
        run(scenario)
    finally:
        released.set()
