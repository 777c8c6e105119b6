"""Which build of a version is on disk, and how little is read to know it."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.caching.basis import Basis
from gateway.disk.builds import FolderState, look_at
from gateway.disk.storage import PluginStorage
from gateway.errors import PublishingError, SourceUnavailable
from gateway.lifecycle.unpacking import unpack
from gateway.names import Slug, Version
from gateway.serving.shared_versions import SharedVersions

SLUG = Slug("Review")
V1 = Version("1.0.0")
FILES = {
    "package.json": b"{}",
    "dist/remoteEntry.js": b"entry",
    "dist/1.js": b"chunk",
    "assets/img/icon.svg": b"<svg/>",
}


class OpenedBelow:
    """Paths below a folder that this process opens for their content, in order."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.paths: list[str] = []

    def note(self, path: object) -> None:
        if isinstance(path, str | os.PathLike):
            text = os.fspath(path)
            if isinstance(text, str) and text.startswith(self.folder):
                self.paths.append(os.path.relpath(text, self.folder))


_listeners: list[OpenedBelow] = []


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if _listeners and event == "open":
        for listener in _listeners:
            listener.note(arguments[0])


sys.addaudithook(_audit)  # for good: Python has no way of taking one away


@pytest.fixture
def opened(storage: PluginStorage) -> Iterator[OpenedBelow]:
    listener = OpenedBelow(storage.shared.path)
    _listeners.append(listener)
    yield listener
    _listeners.remove(listener)


@pytest.fixture
def storage(tmp_path: Path) -> PluginStorage:
    return PluginStorage(tmp_path / "plugins")


def publish(storage: PluginStorage, files: dict[str, bytes] | None = None) -> Path:
    folder = storage.construct_shared_path(SLUG, V1)
    for name, content in (FILES if files is None else files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


class Looks:
    """An index that looks at the disk at every question."""

    def __init__(self, storage: PluginStorage) -> None:
        self.index = SharedVersions(storage, None, 0.0)

    async def state(self) -> FolderState:
        shared = await Basis().settled(self.index.get, SLUG, V1)
        assert shared is not None
        return shared.state


def state_of(storage: PluginStorage) -> FolderState:
    """What a new node finds."""
    return asyncio.run(Looks(storage).state())


# Equal where the content is


def test_a_build_is_sixteen_hex_digits(storage: PluginStorage) -> None:
    publish(storage)
    assert re.fullmatch("[0-9a-f]{16}", state_of(storage).build)


def test_a_copy_in_another_folder_with_other_times_is_the_same_build(tmp_path: Path) -> None:
    one, other = PluginStorage(tmp_path / "one"), PluginStorage(tmp_path / "elsewhere" / "two")
    folder = publish(one)
    copy = other.construct_shared_path(SLUG, V1)
    for name in reversed(FILES):  # another order of creation, and of the folder's entries
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, copy / name)
        os.utime(copy / name, (1, 1))
    first, second = state_of(one), state_of(other)
    assert first.build == second.build
    assert first.digests == second.digests
    assert first.fingerprint != second.fingerprint


def test_the_same_files_as_another_version_are_the_same_build(storage: PluginStorage) -> None:
    folder = publish(storage)
    shutil.copytree(folder, folder.with_name("v1.0.1"))

    async def main() -> None:
        index = Looks(storage).index
        versions = [
            await Basis().settled(index.get, SLUG, Version(text)) for text in ("1.0.0", "1.0.1")
        ]
        assert None not in versions
        assert len({version.state.build for version in versions if version}) == 1

    asyncio.run(main())


def test_digests_are_those_of_the_files_by_asset_path(storage: PluginStorage) -> None:
    publish(storage, {"dist/1.js": b"abc"})
    # FIPS 180-2, appendix B.1.
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert {name: digest.hex() for name, digest in state_of(storage).digests.items()} == {
        "dist/1.js": expected
    }


# Different where it is not


def change_content(folder: Path) -> None:
    (folder / "dist/1.js").write_bytes(b"CHUNK")


def change_content_but_not_times(folder: Path) -> None:
    path = folder / "dist/1.js"
    facts = path.stat()
    path.write_bytes(b"CHUNK")
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def rename(folder: Path) -> None:
    (folder / "dist/1.js").rename(folder / "dist/2.js")


def move_to_other_folder(folder: Path) -> None:
    (folder / "dist/1.js").rename(folder / "1.js")


def add(folder: Path) -> None:
    (folder / "dist/3.js").write_bytes(b"")


def remove(folder: Path) -> None:
    (folder / "dist/1.js").unlink()


def swap_contents(folder: Path) -> None:
    (folder / "dist/1.js").write_bytes(b"entry")
    (folder / "dist/remoteEntry.js").write_bytes(b"chunk")


def shift_bytes_between_files(folder: Path) -> None:
    (folder / "dist/1.js").write_bytes(b"chunke")
    (folder / "dist/remoteEntry.js").write_bytes(b"ntry")


@pytest.mark.parametrize(
    "change",
    [
        change_content, change_content_but_not_times, rename, move_to_other_folder, add, remove,
        swap_contents, shift_bytes_between_files,
    ],
)  # fmt: skip
def test_a_change_of_content_or_name_is_another_build_that_is_told_of(
    storage: PluginStorage, change: Callable[[Path], None]
) -> None:
    folder = publish(storage)

    async def main() -> None:
        looks = Looks(storage)
        before = await looks.state()
        change(folder)
        assert (await looks.state()).build != before.build
        assert looks.index.epoch == 1

    asyncio.run(main())


def test_the_old_build_comes_back_with_the_old_files(storage: PluginStorage) -> None:
    folder = publish(storage)

    async def main() -> None:
        looks = Looks(storage)
        before = await looks.state()
        change_content(folder)
        await looks.state()
        (folder / "dist/1.js").write_bytes(FILES["dist/1.js"])
        assert (await looks.state()).build == before.build

    asyncio.run(main())


# What does not count


def dotfile(folder: Path) -> None:
    (folder / ".env").write_text("x")


def dot_folder(folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / ".git" / "x.js").write_text("x")


def python_source(folder: Path) -> None:
    (folder / "lifecycle_manager.py").write_text("x")


def compiled_python(folder: Path) -> None:
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "lifecycle_manager.cpython-311.pyc").write_bytes(b"x")


def empty_folder(folder: Path) -> None:
    (folder / "assets" / "empty").mkdir()


def link_to_file(folder: Path) -> None:
    (folder / "link.js").symlink_to("dist/1.js")


def link_to_folder(folder: Path) -> None:
    (folder / "other").symlink_to("dist", target_is_directory=True)


def loop_of_folders(folder: Path) -> None:
    (folder / "dist" / "up").symlink_to("..", target_is_directory=True)


def dangling_link(folder: Path) -> None:
    (folder / "link.js").symlink_to("absent.js")


def fifo(folder: Path) -> None:
    os.mkfifo(folder / "x.js")


@pytest.mark.parametrize(
    "make",
    [
        dotfile, dot_folder, python_source, compiled_python, empty_folder, link_to_file,
        link_to_folder, loop_of_folders, dangling_link, fifo,
    ],
)  # fmt: skip
def test_what_is_never_served_does_not_count(
    storage: PluginStorage, make: Callable[[Path], None]
) -> None:
    folder = publish(storage)
    before = state_of(storage)
    make(folder)
    after = state_of(storage)
    assert after.build == before.build
    assert set(after.digests) == set(FILES)


@pytest.mark.skipif(sys.platform != "linux", reason="needs names that are no UTF-8")
def test_a_name_that_is_no_utf8_stops_nothing(storage: PluginStorage) -> None:
    folder = publish(storage)
    (folder / os.fsdecode(b"\xff.js")).write_bytes(b"x")
    assert len(state_of(storage).digests) == len(FILES) + 1


# How little is read


def test_content_is_read_once_while_the_folder_stays_as_it_is(
    storage: PluginStorage, opened: OpenedBelow
) -> None:
    publish(storage)
    opened.paths.clear()

    async def main() -> None:
        looks = Looks(storage)
        first = await looks.state()
        assert sorted(opened.paths) == sorted(f"Review/v1.0.0/{name}" for name in FILES)
        opened.paths.clear()
        for _ in range(5):
            assert await looks.state() is first
        assert opened.paths == []
        assert looks.index.epoch == 0

    asyncio.run(main())


def touch(folder: Path) -> None:
    os.utime(folder / "dist/1.js", (1, 1))


def replace_by_equal_file(folder: Path) -> None:
    (folder / "other").write_bytes(FILES["dist/1.js"])
    (folder / "other").replace(folder / "dist/1.js")


@pytest.mark.parametrize("change", [change_content_but_not_times, touch, replace_by_equal_file])
def test_content_is_read_again_when_the_facts_of_a_file_change(
    storage: PluginStorage, opened: OpenedBelow, change: Callable[[Path], None]
) -> None:
    folder = publish(storage)

    async def main() -> None:
        looks = Looks(storage)
        await looks.state()
        change(folder)
        opened.paths.clear()
        await looks.state()
        assert "Review/v1.0.0/dist/1.js" in opened.paths

    asyncio.run(main())


@pytest.mark.parametrize("everything", [False, True])
def test_between_two_looks_the_disk_is_left_alone_unless_a_purge_says_otherwise(
    storage: PluginStorage, everything: bool
) -> None:
    folder = publish(storage)

    async def main() -> None:
        index = SharedVersions(storage, None, 3600.0)
        before = await Basis().settled(index.get, SLUG, V1)
        change_content(folder)
        assert await Basis().settled(index.get, SLUG, V1) is before
        if everything:
            index.purge_all()
        else:
            index.purge_wrong(SLUG, V1)
        after = await Basis().settled(index.get, SLUG, V1)
        assert before is not None
        assert after is not None
        assert after.state.build != before.state.build

    asyncio.run(main())


# Folders that come, go and fail


def test_a_version_without_a_folder_has_no_build(storage: PluginStorage) -> None:
    storage.shared.path.mkdir(parents=True)  # without it the disk would be away

    async def main() -> None:
        index = Looks(storage).index
        assert await Basis().settled(index.get, SLUG, V1) is None
        folder = publish(storage)
        assert await Basis().settled(index.get, SLUG, V1) is not None
        shutil.rmtree(folder)
        assert await Basis().settled(index.get, SLUG, V1) is None

    asyncio.run(main())


def test_a_file_in_the_folders_place_is_no_build(storage: PluginStorage) -> None:
    path = storage.construct_shared_path(SLUG, V1)
    path.parent.mkdir(parents=True)
    path.write_text("")
    index = Looks(storage).index
    assert asyncio.run(Basis().settled(index.get, SLUG, V1)) is None


def test_an_empty_folder_has_a_build_too(storage: PluginStorage) -> None:
    storage.construct_shared_path(SLUG, V1).mkdir(parents=True)
    assert state_of(storage).digests == {}


def test_a_disk_that_fails_is_an_error_of_ours_without_an_earlier_answer(
    storage: PluginStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(storage)

    def fail(_path: object) -> None:
        raise OSError(5, "Input/output error")

    async def main() -> None:
        known = Looks(storage)
        before = await known.state()
        monkeypatch.setattr(os, "scandir", fail)
        assert await known.state() is before
        with pytest.raises(SourceUnavailable):
            await Looks(storage).state()

    asyncio.run(main())


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """1,500 folders in each other, which is more than Python recurses; a file on every floor."""
    folder = tmp_path / "deep"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(1500):
        os.close(os.open("a.js", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)  # Python's way recurses


def test_a_folder_of_any_depth_is_looked_at_as_far_as_a_url_reaches(deep: Path) -> None:
    state = look_at(deep, None)
    assert state is not None
    assert {"a.js", "d/a.js", "d/" * 1000 + "a.js"} <= set(state.digests)
    assert max(map(len, state.digests)) <= 2048


def test_a_source_of_any_depth_is_refused_in_one_line(deep: Path, tmp_path: Path) -> None:
    with pytest.raises(PublishingError, match="the path is too long") as refused:
        unpack(deep, tmp_path / "staging", lambda *_: None)
    assert len(str(refused.value)) < 500
