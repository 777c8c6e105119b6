"""A folder that several processes fill: bounded, and never worse than empty."""

import os
import threading
from pathlib import Path

import pytest

from gateway.disk.bounded_folder import BoundedFolder

BLOCK = 4096


def bytes_in(folder: BoundedFolder) -> int:
    return sum(-(-path.stat().st_size // BLOCK) * BLOCK for path in folder.names())


def write(folder: BoundedFolder, number: int, size: int = BLOCK) -> Path:
    path = folder.path / f"{number % 7:02}" / str(number)
    folder.write(path, b"x" * size)
    return path


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, 3 * BLOCK])
def test_two_who_write_at_once_stay_within_the_bound(tmp_path: Path, size: int) -> None:
    most = 64 * BLOCK
    both = [BoundedFolder(tmp_path, most) for _ in range(2)]
    for number in range(400):
        write(both[number % 2], number, size)
        assert bytes_in(both[0]) <= most + 2 * (most // 16 + 3 * BLOCK)
    assert bytes_in(both[0]) > most // 2


def test_what_an_earlier_process_left_counts(tmp_path: Path) -> None:
    for number in range(64):
        write(BoundedFolder(tmp_path, 2**30), number)
    folder = BoundedFolder(tmp_path, 16 * BLOCK)
    write(folder, 100)
    assert bytes_in(folder) <= 16 * BLOCK


def test_the_least_recently_used_files_go_first(tmp_path: Path) -> None:
    folder = BoundedFolder(tmp_path, 2**30)
    paths = [write(folder, number) for number in range(16)]
    for moment, path in enumerate(paths):
        os.utime(path, (1000 + moment, 1000 + moment))
    folder.note_use(paths[0])
    new = write(BoundedFolder(tmp_path, 8 * BLOCK), 100)
    left = set(folder.names())
    assert {paths[0], new, paths[15]} <= left
    assert not {paths[1], paths[2], paths[8]} & left


def test_what_a_killed_writer_left_goes_too(tmp_path: Path) -> None:
    (tmp_path / "00").mkdir()
    temporary = tmp_path / "00" / ".name.x1"
    temporary.write_bytes(b"x" * 64 * BLOCK)
    os.utime(temporary, (1000, 1000))
    write(BoundedFolder(tmp_path, 16 * BLOCK), 1)
    assert not temporary.exists()


@pytest.mark.parametrize(("most", "size"), [(0, 1), (4 * BLOCK, 4 * BLOCK)])
def test_what_does_not_fit_is_not_written(tmp_path: Path, most: int, size: int) -> None:
    folder = BoundedFolder(tmp_path, most)
    assert not write(folder, 1, size).exists()


def test_workers_that_write_the_same_files_do_not_fail(tmp_path: Path) -> None:
    """On an upgrade that all workers serve, they make the same differences."""
    failures: list[Exception] = []
    start = threading.Barrier(4)

    def work() -> None:
        folder = BoundedFolder(tmp_path, 2**30)
        start.wait()
        for number in range(60):
            try:
                write(folder, number)
            except OSError as error:
                failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    names = {path.name for path in BoundedFolder(tmp_path, 2**30).names()}
    assert names == {str(number) for number in range(60)}


def test_a_folder_that_is_deleted_is_made_again(tmp_path: Path) -> None:
    folder = BoundedFolder(tmp_path / "gone", 16 * BLOCK)
    assert list(folder.names()) == []
    assert write(folder, 1).exists()
