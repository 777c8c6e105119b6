"""A disk that is full at any moment of a command: the old state, one clear line, nothing left."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import Result

from tests.support.commands import run
from tests.support.site import ADA, Site
from tests.test_kills import State, files_of, state_of
from tests.test_kills import template as template  # noqa: PLC0414 (a fixture)

pytestmark = pytest.mark.slow

PAGE = 4096
_WARNINGS = ("cannot keep ", "the audit log cannot be written")
COMMANDS: dict[str, tuple[str, ...]] = {
    "publish": ("publish", "source"),
    "install": ("install", "Eyes", "--user", ADA),
    "update": ("update", "Review", "--user", ADA),
    "rollback": ("rollback", "Review", "--user", ADA),
    "uninstall": ("uninstall", "Review", "--user", ADA),
    "disable": ("disable", "Review", "--user", ADA),
    "gc": ("gc", "--apply"),
}


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    """Two megabytes. Not below pytest's folders, which could not be removed while it is there."""
    with tempfile.TemporaryDirectory(prefix="gateway-disk-") as name:
        mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", name]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("a file system cannot be mounted here")
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "--lazy", name], check=True)


@contextmanager
def filled(disk: Path, *, but: int) -> Iterator[None]:
    """No more than so many pages are free."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, (os.statvfs(disk).f_bavail - but) * PAGE)
    try:
        yield
    finally:
        filler.unlink()


@pytest.mark.parametrize("command", COMMANDS)
def test_on_a_full_disk_a_command_is_done_or_changes_nothing(
    disk: Path, template: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_in(disk)

    def ready() -> None:
        shutil.rmtree(site.folder)
        shutil.copytree(template, site.folder)

    ready()
    monkeypatch.chdir(site.folder)
    old = state_of(site)
    assert run(site.environment, *COMMANDS[command]).exit_code == 0
    new, clean = state_of(site), files_of(site)
    outcomes = set()
    for pages in range(0, 40, 1 if command != "publish" else 2):
        ready()
        monkeypatch.chdir(site.folder)
        with filled(disk, but=pages):
            result = run(site.environment, *COMMANDS[command])
        outcomes.add(assert_whole(site, command, result, old, new))
        if command != "rollback" or result.exit_code:
            run(site.environment, *COMMANDS[command])
        assert state_of(site) == new
        assert not files_of(site) - clean
    assert 0 in outcomes, "the disk was never large enough"
    assert command == "gc" or 2 in outcomes, "the disk was never full"  # gc writes no content


def last_line(result: Result) -> str:
    """The error; before it, warnings about variants and audit records that could not be kept."""
    assert result.stdout == ""
    *warnings, line = filter(None, result.stderr.splitlines())
    assert all(warning.startswith(_WARNINGS) for warning in warnings), warnings
    assert line.startswith("Error: "), line
    return line


def site_in(folder: Path) -> Site:
    shutil.rmtree(folder / "site", ignore_errors=True)
    return Site(folder / "site")


def assert_whole(site: Site, command: str, result: Result, old: State, new: State) -> int:
    found = state_of(site)
    if result.exit_code == 0:
        assert found == new
        return 0
    assert result.exit_code == 2, result.output
    line = last_line(result)
    assert any(word in line for word in ("No space left", "disk is full", "disk I/O")), line
    if command == "uninstall" and found.rows == new.rows:  # committed; the entry grants nothing
        return 2
    assert found == old, line
    return 2


# Where no file system can be mounted: the refusal itself, at each opening of a file to write, each
# new folder and each rename, in turn. In a child, for an audit hook stays.


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("command", COMMANDS)
def test_each_write_that_is_refused_ends_the_command_or_changes_nothing(
    empty_site: Site, template: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = empty_site

    def ready() -> None:
        shutil.rmtree(site.folder)
        shutil.copytree(template, site.folder)
        monkeypatch.chdir(site.folder)

    ready()
    old = state_of(site)
    assert run(site.environment, *COMMANDS[command]).exit_code == 0
    new, clean = state_of(site), files_of(site)
    for number in range(1, 100):
        ready()
        status, said = refused_at(number, site, COMMANDS[command])
        found = state_of(site)
        assert status in (0, 2), f"write {number}: {said}"
        assert "Traceback" not in said
        if status == 0:
            assert found == new, f"write {number}: {said}"
            if "was refused" not in said:
                break
        else:
            assert "No space left" in said.splitlines()[-1], said
            is_committed = command == "uninstall" and found.rows == new.rows
            assert found in (old, new) or is_committed, f"write {number}: {said}"
        if command != "rollback" or found == old:
            run(site.environment, *COMMANDS[command])
        assert state_of(site) == new
        assert not files_of(site) - clean, f"write {number}"
    else:
        pytest.fail("there is no end of writes")
    assert number > 2


def refused_at(number: int, site: Site, arguments: tuple[str, ...]) -> tuple[int, str]:
    """Exit code and output of the command whose write of this number was refused."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, run_refused(number, site, arguments).encode()[-60_000:])
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        status, said = pipe.read().split("\n", 1)
    os.waitpid(child, 0)
    return int(status), said


def run_refused(number: int, site: Site, arguments: tuple[str, ...]) -> str:
    refusal = Refusal(number, str(site.folder))
    sys.addaudithook(refusal.hear)
    result = run(site.environment, *arguments)
    said = f"{result.exit_code}\n{'a write was refused' * refusal.is_done}\n{result.output}"
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        said += f"Traceback: {result.exception!r}"
    return said


class Refusal:
    """Refuses one write below a folder, and no other."""

    def __init__(self, number: int, below: str) -> None:
        self._left = number
        self._below = below
        self.is_done = False

    def hear(self, event: str, arguments: tuple[object, ...]) -> None:
        writes = event in ("os.mkdir", "os.rename") or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
        )
        if not writes or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        if os.fsdecode(arguments[0]).startswith(self._below):
            self._left -= 1
            if self._left == 0:
                self.is_done = True
                raise OSError(errno.ENOSPC, "No space left on device", os.fsdecode(arguments[0]))
