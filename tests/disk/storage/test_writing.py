"""Writes are atomic, whatever fails and whoever else writes."""

import errno
import multiprocessing
import os
import stat
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, NoReturn

import pytest

from gateway.disk.files import write_atomically
from gateway.disk.storage import PluginStorage
from gateway.errors import StorageError
from gateway.names import Slug
from tests.disk.storage.files import (
    ADA,
    EYES,
    MINIMAL,
    names_in,
    open_files,
    write,
    written,
)
from tests.support.privileges import without_privileges

# Atomic writes


def refuse(*_arguments: object, **_options: object) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_write_leaves_the_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    before = open_files()
    write_atomically(path, b"old, and longer")
    write_atomically(path, b"new")
    assert open_files() == before
    assert path.read_bytes() == b"new"
    assert names_in(tmp_path) == ["x.json"]


def test_a_written_file_can_be_read_by_the_other_programs_of_the_site(tmp_path: Path) -> None:
    write_atomically(tmp_path / "x.json", b"")
    assert stat.S_IMODE((tmp_path / "x.json").stat().st_mode) == 0o644


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_content_and_nothing_beside_it(
    storage: PluginStorage, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = write(storage, MINIMAL)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(StorageError, match="cannot be written") as caught:
            storage.register_user_plugin(ADA, EYES)
    assert str(path) in str(caught.value)
    assert written(storage) == MINIMAL
    assert names_in(path.parent) == [path.name]


def test_content_is_on_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, steps = tmp_path / "x.json", []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        facts = os.fstat(descriptor)
        steps.append("folder" if stat.S_ISDIR(facts.st_mode) else f"file of {facts.st_size}")
        fsync(descriptor)

    def noted_replace(source: Any, target: Any) -> None:
        steps.append("rename")
        assert Path(source).parent == Path(target).parent
        assert Path(source).read_bytes() == b"content"
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write_atomically(path, b"content")
    assert steps == ["file of 7", "rename", "folder"]


def test_a_folder_that_may_not_be_written_to_is_a_storage_error(storage: PluginStorage) -> None:
    path = write(storage, MINIMAL)
    path.parent.chmod(0o555)
    with without_privileges(), pytest.raises(StorageError):
        storage.register_user_plugin(ADA, EYES)
    path.parent.chmod(0o755)
    assert written(storage) == MINIMAL
    assert names_in(path.parent) == [path.name]


# Other processes


_PROCESSES = 3
_EACH = 15
_SPAWN = multiprocessing.get_context("spawn")


def register_many(root: Path, number: int, ready: Any, go: Any) -> None:
    """In a process of its own: registers some plugins, and takes one away again."""
    storage = PluginStorage(root)
    ready.release()
    go.wait()
    for count in range(_EACH):
        storage.register_user_plugin(ADA, Slug(f"P{number}-{count}"))
    storage.unregister_user_plugin(ADA, Slug(f"Seed{number}"))


def die_at_rename(root: Path, *, after: bool) -> None:
    """In a process of its own: is killed just before or just after the rename."""
    replace = os.replace

    def fatal(source: Any, target: Any) -> NoReturn:
        if after:
            replace(source, target)
        os._exit(9)

    os.replace = fatal  # type: ignore[assignment]  # (this process ends there)
    PluginStorage(root).register_user_plugin(ADA, EYES)


@pytest.mark.slow
def test_registrations_by_several_processes_lose_nothing_and_readers_see_whole_files(
    storage: PluginStorage,
) -> None:
    write(storage, {f"Seed{number}": {} for number in range(_PROCESSES)} | {"Kept": None})
    ready, go = _SPAWN.Semaphore(0), _SPAWN.Event()
    processes: list[SpawnProcess] = [
        _SPAWN.Process(target=register_many, args=(storage.root, number, ready, go), daemon=True)
        for number in range(_PROCESSES)
    ]
    for process in processes:
        process.start()
    for _ in processes:
        assert ready.acquire(timeout=30)
    go.set()
    reads = 0
    while any(process.is_alive() for process in processes):
        seen = storage.users.read_installations(ADA)  # BrokenInstallations, if ever half written
        assert seen is not None
        assert "Kept" in seen
        reads += 1
    for process in processes:
        process.join()
        assert process.exitcode == 0
    expected = {f"P{number}-{count}" for number in range(_PROCESSES) for count in range(_EACH)}
    assert set(written(storage)) == expected | {"Kept"}
    assert reads > _PROCESSES
    assert names_in(storage.users.file(ADA).parent) == ["installed_plugins.json"]


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
def test_a_writer_that_is_killed_leaves_the_old_state_or_the_new_and_no_lock(
    storage: PluginStorage, after: bool
) -> None:
    write(storage, MINIMAL)
    process = _SPAWN.Process(target=die_at_rename, args=(storage.root,), kwargs={"after": after})
    process.start()
    process.join(30)
    assert process.exitcode == 9
    assert list(written(storage)) == (["Review", "Eyes"] if after else ["Review"])
    storage.register_user_plugin(ADA, Slug("Later"))
    assert storage.plugin_exists_for_user(ADA, Slug("Later"))
