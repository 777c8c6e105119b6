"""What the tests of killed commands rest on: a child that is killed at a given step."""

import os
import threading
from pathlib import Path

import pytest

from gateway.disk.files import write_atomically
from tests.support.killing import count_steps, kill_at, spread

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

OLD, NEW = b"old", b"new"


def test_a_write_that_is_killed_at_any_step_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    file = tmp_path / "file"
    steps = count_steps(lambda: write_atomically(file, NEW), tmp_path)
    found = []
    for step in range(1, steps + 1):
        file.write_bytes(OLD)
        assert kill_at(step, lambda: write_atomically(file, NEW), tmp_path)
        found.append(file.read_bytes())
    moment = found.index(NEW)
    assert found == [OLD] * moment + [NEW] * (steps - moment)
    assert 0 < moment < steps


def test_an_action_that_ends_before_the_step_is_not_killed(tmp_path: Path) -> None:
    file = tmp_path / "file"
    steps = count_steps(lambda: write_atomically(file, OLD), tmp_path)
    assert not kill_at(steps + 1, lambda: write_atomically(file, NEW), tmp_path)
    assert file.read_bytes() == NEW


def test_steps_of_other_threads_count(tmp_path: Path) -> None:
    def in_a_thread() -> None:
        thread = threading.Thread(target=write_atomically, args=(tmp_path / "file", NEW))
        thread.start()
        thread.join()

    alone = count_steps(lambda: write_atomically(tmp_path / "file", NEW), tmp_path)
    assert count_steps(in_a_thread, tmp_path) == alone


def test_files_elsewhere_are_no_steps(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()

    def make(file: Path) -> None:
        file.touch()
        file.rename(file.with_suffix(".moved"))
        file.with_suffix(".moved").unlink()

    assert count_steps(lambda: make(tmp_path / "file"), tmp_path / "in") == 0
    # `touch` makes the file with the bare system call of `os.open`.
    assert count_steps(lambda: make(tmp_path / "in" / "file"), tmp_path / "in") == 3


def test_an_action_that_fails_is_told_with_its_traceback(tmp_path: Path) -> None:
    def fail() -> None:
        raise ValueError("of its own")

    with pytest.raises(AssertionError, match="ValueError: of its own"):
        kill_at(1_000, fail, tmp_path)


@pytest.mark.parametrize(
    ("steps", "kills", "expected"),
    [
        (10, 4, [1, 4, 7, 10]),
        (1_000, 2, [1, 1_000]),
        (3, 100, [1, 2, 3]),
        (5, 1, [1]),
        (0, 7, []),
    ],
)
def test_kills_are_spread_over_the_whole_run(steps: int, kills: int, expected: list[int]) -> None:
    assert list(spread(steps, kills)) == expected
