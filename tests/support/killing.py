"""Kills a process (SIGKILL) at any step of an action, and counts the steps.

The action runs in a forked child: modules are loaded already, and its changes in memory end
with it. A step is a line of the package `gateway`, in any thread, or an open, rename
or removal of a file below a folder. The action must start its own event loops and threads: a
fork copies only the thread that calls it.
"""

import itertools
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import gateway
from tests.support.waiting import eventually

_OURS = str(Path(gateway.__file__).parent)
_FILE_EVENTS = frozenset(
    {"open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "sqlite3.connect"}
)


def kill_at(step: int, action: Callable[[], object], below: Path) -> bool:
    """Runs `action` in a child that kills itself at `step`, counted from 1.

    True: it was killed; False: it ran to its end before. Raises: AssertionError, if it failed.
    """
    return _run_in_child(action, below, step) is None


def count_steps(action: Callable[[], object], below: Path) -> int:
    """Runs `action` in a child, to its end. With threads the count differs between runs."""
    steps = _run_in_child(action, below, None)
    assert steps is not None
    return steps


def spread(steps: int, kills: int) -> Iterator[int]:
    """So many steps, evenly over a run of `steps`, the first and the last among them."""
    kills = min(kills, steps)
    for number in range(kills):
        yield 1 + number * (steps - 1) // max(kills - 1, 1)


def _run_in_child(action: Callable[[], object], below: Path, last: int | None) -> int | None:
    """How many steps it took; None: it was killed."""
    # Another thread may hold a lock, and the child would wait for it for ever.
    eventually(threading.enumerate, lambda threads: threads == [threading.current_thread()])
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _run(action, _Steps(last, below), writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        report = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) == -signal.SIGKILL:
        return None
    if not report.isdecimal():
        raise AssertionError(f"the action failed (status {status}):\n{report}")
    return int(report)


def _run(action: Callable[[], object], steps: "_Steps", writing: int) -> NoReturn:
    try:
        steps.start()
        action()
        report = str(steps.stop())
    except BaseException:
        report = traceback.format_exc()
    os.write(writing, report.encode()[-60_000:])  # what a pipe takes without a reader
    os._exit(0)


class _Steps:
    """Counts the steps of this process; at the step `last` it is killed."""

    def __init__(self, last: int | None, below: Path) -> None:
        self._last = last
        self._below = os.fsencode(below)
        self._numbers = itertools.count(1)  # `next` on it is atomic among threads
        self._stopped = False

    def start(self) -> None:
        sys.addaudithook(self._hear)
        threading.settrace(self._enter)
        sys.settrace(self._enter)

    def stop(self) -> int:
        """How many there were."""
        self._stopped = True
        sys.settrace(None)
        return next(self._numbers) - 1

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._trace if frame.f_code.co_filename.startswith(_OURS) else None

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            self._step()
        return self._trace

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _FILE_EVENTS or not isinstance(arguments[0], str | bytes | os.PathLike):
            return  # a file that is named by its descriptor
        if os.fsencode(arguments[0]).startswith(self._below):
            self._step()

    def _step(self) -> None:
        if next(self._numbers) == self._last and not self._stopped:
            os.kill(os.getpid(), signal.SIGKILL)
