"""The log between processes of a host: nothing is lost in silence, and nothing in it kills."""

import asyncio
import contextlib
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.changes import ANYTHING, Change
from gateway.disk.cache_folder import CacheFolder
from gateway.freshness import following
from gateway.freshness.change_log import ChangeLog
from gateway.freshness.workers import WorkersSource
from gateway.names import Slug, UserId, Version
from tests.support.waiting import eventually, until

LOG_NAME = "changes.log"
# The layout of the file; gateway/freshness/change_log.py draws it.
HEADER_BYTES, RECORD_BYTES, RECORDS = 64, 248, 4096

_SPAWN = get_context("spawn")
_WRITERS, _EACH = 3, 300


def of(number: int, writer: int = 0) -> Change:
    return Change(user=UserId(f"w{writer}n{number}"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@contextmanager
def opened(folder: Path) -> Iterator[ChangeLog]:
    log = ChangeLog(CacheFolder(folder))
    log.open()
    try:
        yield log
    finally:
        log.close()


@pytest.fixture
def writer(folder: Path) -> Iterator[ChangeLog]:
    with opened(folder) as log:
        yield log


@pytest.fixture
def reader(folder: Path) -> Iterator[ChangeLog]:
    with opened(folder) as log:
        yield log


# What readers hear


def test_what_one_tells_the_others_hear_once_and_in_order(
    writer: ChangeLog, reader: ChangeLog, folder: Path
) -> None:
    assert list(reader.read_new()) == []
    with opened(folder) as second:
        for number in range(5):
            writer.append(of(number))
        for log in (reader, second):
            assert list(log.read_new()) == [of(number) for number in range(5)]
            assert list(log.read_new()) == []


def test_several_writers_share_one_order(writer: ChangeLog, reader: ChangeLog) -> None:
    for number in range(4):
        (writer, reader)[number % 2].append(of(number))
    assert list(reader.read_new()) == list(writer.read_new()) == [of(n) for n in range(4)]


@pytest.fixture
def threads_alternate() -> Iterator[None]:
    """At every other instruction, not every 5 ms."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("threads_alternate")
def test_threads_of_one_process_may_write_to_a_log_that_is_not_open_yet(folder: Path) -> None:
    """As a command does that works in several threads: each may be the one that opens it."""
    folder.mkdir()
    changes = [of(number) for number in range(4)]
    for attempt in range(40):
        with opened(folder / str(attempt)) as reader, ThreadPoolExecutor(len(changes)) as pool:
            log = ChangeLog(CacheFolder(folder / str(attempt)))
            together = threading.Barrier(len(changes))

            def write(
                change: Change, log: ChangeLog = log, together: threading.Barrier = together
            ) -> None:
                together.wait()
                log.append(change)

            with contextlib.closing(log):
                list(pool.map(write, changes))
            assert sorted(reader.read_new(), key=str) == changes


def test_what_was_told_before_one_began_is_not_told_to_it(writer: ChangeLog, folder: Path) -> None:
    writer.append(of(1))
    with opened(folder) as late:
        assert list(late.read_new()) == []
        writer.append(of(2))
        assert list(late.read_new()) == [of(2)]


@pytest.mark.parametrize(
    "change",
    [
        Change(),
        ANYTHING,
        Change(user=UserId("u"), hard=False),
        Change(slug=Slug("Review"), version=Version("1.0.0")),
        Change(UserId("u" * 100), Slug("Review"), Version("1.0.0")),
    ],
)
def test_a_change_arrives_as_it_was_told(
    writer: ChangeLog, reader: ChangeLog, change: Change
) -> None:
    writer.append(change)
    assert list(reader.read_new()) == [change]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.integers(1, 100), st.integers(1, 100), st.integers(1, 64))
def test_a_change_too_long_for_a_record_is_told_as_anything(
    writer: ChangeLog, reader: ChangeLog, user: int, slug: int, version: int
) -> None:
    """Names of all lengths, and the record after it is whole."""
    long = Change(UserId("u" * user), Slug("s" * slug), Version("1" * version))
    writer.append(long)
    writer.append(of(1))
    assert list(reader.read_new()) in ([long, of(1)], [ANYTHING, of(1)])


@pytest.mark.parametrize("behind", [1, 1000, RECORDS // 2 - 1, RECORDS // 2, RECORDS, 3 * RECORDS])
def test_a_reader_that_is_behind_hears_all_or_that_anything_may_have_changed(
    folder: Path, writer: ChangeLog, reader: ChangeLog, behind: int
) -> None:
    _write_quickly(writer, behind)
    heard = list(reader.read_new())
    everything = [of(number) for number in range(behind)]
    assert heard == everything if behind < RECORDS // 2 else heard in (everything, [ANYTHING])
    if behind >= RECORDS:
        assert heard == [ANYTHING]
    writer.append(of(-1))
    assert list(reader.read_new()) == [of(-1)]


def _write_quickly(log: ChangeLog, count: int) -> None:
    """Appends without looking at the file's identity each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "reopen_if_replaced", lambda: False)
        with log._lock:  # reentrant: taken once, not for each
            for number in range(count):
                log.append(of(number))


# Several processes


def write_many(folder: Path, writer: int, ready: Any, go: Any) -> None:
    """In a process of its own."""
    with opened(folder) as log:
        ready.release()
        go.wait()
        for number in range(_EACH):
            log.append(of(number, writer))


def read_all(folder: Path, ready: Any, results: Any) -> None:
    """In a process of its own: every change until each writer has told its last."""
    heard: list[str] = []
    with opened(folder) as log:
        ready.release()
        last = {f"w{writer}n{_EACH - 1}" for writer in range(_WRITERS)}
        end = time.monotonic() + 30
        while not last <= set(heard[-3 * _EACH :]) and time.monotonic() < end:
            heard += [str(change.user) for change in log.read_new()]
    results.put(heard)


def append_for_ever(folder: Path) -> None:
    """In a process of its own, until it is killed."""
    with opened(folder) as log:
        number = 0
        while True:
            log.append(of(number))
            number += 1


@pytest.mark.slow
def test_several_processes_write_and_read_at_once_and_nothing_is_lost(folder: Path) -> None:
    ready, go, results = _SPAWN.Semaphore(0), _SPAWN.Event(), _SPAWN.Queue()
    writers = [(write_many, (folder, number, ready, go)) for number in range(_WRITERS)]
    readers: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
        (read_all, (folder, ready, results)) for _ in range(2)
    ]
    processes: list[SpawnProcess] = [
        _SPAWN.Process(target=target, args=arguments, daemon=True)
        for target, arguments in (*writers, *readers)
    ]
    for process in processes:
        process.start()
    for _ in processes:
        assert ready.acquire(timeout=30)
    go.set()
    first, second = results.get(timeout=40), results.get(timeout=40)
    for process in processes:
        process.join(10)
        assert process.exitcode == 0
    assert first == second  # one order for all
    assert len(first) == _WRITERS * _EACH
    for writer in range(_WRITERS):
        own = [user for user in first if user.startswith(f"w{writer}n")]
        assert own == [str(of(number, writer).user) for number in range(_EACH)]


@pytest.mark.slow
def test_a_writer_that_is_killed_stops_nobody_and_tells_nothing_by_halves(
    folder: Path, reader: ChangeLog
) -> None:
    for _ in range(3):
        process = _SPAWN.Process(target=append_for_ever, args=(folder,), daemon=True)
        process.start()
        heard = eventually(lambda: list(reader.read_new()), bool)
        process.kill()
        process.join()
        heard += reader.read_new()
        assert heard[0] == of(0) or ANYTHING in heard
        assert all(change == ANYTHING or str(change.user)[:3] == "w0n" for change in heard)
        reader.append(of(1, writer=9))  # fails if the dead still hold the lock
        assert list(reader.read_new()) == [of(1, writer=9)]


def test_two_that_open_it_first_at_the_same_moment_hear_each_other(tmp_path: Path) -> None:
    for number in range(20):
        folder = tmp_path / str(number)
        with opened(folder) as one, opened(folder) as other:
            one.append(of(1))
            other.append(of(2))
            assert list(one.read_new()) == list(other.read_new()) == [of(1), of(2)]


# A file that is not as we left it


def _deleted(file: Path) -> None:
    file.unlink()


def _folder_deleted(file: Path) -> None:
    shutil.rmtree(file.parent)


def _replaced_by_rename(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(b"something else entirely")
    other.replace(file)


def _zeros(file: Path) -> None:
    with file.open("r+b") as opened_file:
        opened_file.write(bytes(file.stat().st_size))


@pytest.mark.parametrize("disturb", [_deleted, _folder_deleted, _replaced_by_rename, _zeros])
@pytest.mark.slow
def test_after_any_damage_all_hear_that_anything_may_have_changed_and_then_go_on(
    folder: Path, disturb: Callable[[Path], None]
) -> None:
    """The log is below cache/, which may be deleted at any time."""

    async def main() -> None:
        with opened(folder) as first, opened(folder) as second:
            heard: dict[str, list[Change]] = {"first": [], "second": []}
            tasks = [
                asyncio.create_task(WorkersSource(log).run(heard[name].append, _nobody_waits))
                for name, log in (("first", first), ("second", second))
            ]
            first.append(of(1))
            await until(lambda: all(of(1) in changes for changes in heard.values()))
            disturb(folder / LOG_NAME)
            await until(lambda: all(ANYTHING in changes for changes in heard.values()))
            second.append(of(2))
            await until(lambda: all(changes[-1] == of(2) for changes in heard.values()))
            for task in tasks:
                assert not task.done(), task
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())


def test_what_is_told_right_after_the_file_was_deleted_is_not_lost(folder: Path) -> None:
    """A worker that tells something itself, in between, has missed it in silence otherwise."""
    with opened(folder) as one, opened(folder) as other:
        (folder / LOG_NAME).unlink()
        one.append(of(1))
        other.append(of(2))
        replaced = other.reopen_if_replaced()
        heard = list(other.read_new())
        assert replaced or ANYTHING in heard or of(1) in heard


def test_a_log_that_is_new_and_as_long_as_the_old_one_is_not_taken_for_it(folder: Path) -> None:
    with opened(folder) as reader:
        for number in range(3):
            reader.append(of(number))
        list(reader.read_new())
        (folder / LOG_NAME).unlink()
        with opened(folder) as writer:
            for number in range(4):
                writer.append(of(number, writer=1))
            assert reader.reopen_if_replaced()
            assert list(reader.read_new()) == [ANYTHING]
            writer.append(of(9))
            assert list(reader.read_new()) == [of(9)]


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"something else", b"x" * (HEADER_BYTES + RECORDS * RECORD_BYTES), b"y" * 3000000],
    ids=["empty", "one byte", "short", "our size", "long"],
)
def test_a_foreign_file_in_its_place_is_made_ours_at_the_start(
    folder: Path, content: bytes
) -> None:
    folder.mkdir()
    (folder / LOG_NAME).write_bytes(content)
    with opened(folder) as writer, opened(folder) as reader:
        assert list(reader.read_new()) == []
        writer.append(of(1))
        assert list(reader.read_new()) == [of(1)]


_SURVIVOR = """
import sys, os
from pathlib import Path
from gateway.changes import Change
from gateway.disk.cache_folder import CacheFolder
from gateway.freshness.change_log import ChangeLog
folder = Path(sys.argv[1])
log = ChangeLog(CacheFolder(folder))
log.open()
os.truncate(CacheFolder(folder).change_log, int(sys.argv[2]))
list(log.read_new())
log.append(Change())
log.reopen_if_replaced()
list(log.read_new())
print("alive")
"""


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 10, HEADER_BYTES + 5 * RECORD_BYTES])
def test_a_file_that_is_cut_short_kills_no_process(folder: Path, size: int) -> None:
    """A look beyond the end of a mapped file is SIGBUS: it would end every worker at once."""
    ended = subprocess.run(
        [sys.executable, "-c", _SURVIVOR, str(folder), str(size)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode != -signal.SIGBUS, "killed by SIGBUS"
    assert (ended.returncode, ended.stdout) == (0, "alive\n"), ended.stderr


def test_a_file_that_was_cut_short_is_used_again(folder: Path) -> None:
    with opened(folder) as log:
        log.append(of(1))
    os.truncate(folder / LOG_NAME, 10)
    with opened(folder) as writer, opened(folder) as reader:
        writer.append(of(2))
        assert list(reader.read_new()) == [of(2)]


# A record: number (u64), length (u16), payload
@pytest.mark.parametrize(
    "record",
    [
        struct.pack("<QH", 2, 40),  # another number: written over, or never completed
        struct.pack("<QH", 1 + RECORDS, 40),
        struct.pack("<QH", 1, 0),
        struct.pack("<QH", 1, 3) + b"[nu",
        struct.pack("<QH", 1, 0xFFFF) + b"[null",
        struct.pack("<QH", 1, 238) + b"\xff" * 238,
        struct.pack("<QH", 1, 2) + b"{}",
    ],
)
def test_a_torn_record_is_heard_as_anything(
    folder: Path, writer: ChangeLog, reader: ChangeLog, record: bytes
) -> None:
    writer.append(of(1))
    with (folder / LOG_NAME).open("r+b") as file:
        file.seek(HEADER_BYTES + RECORD_BYTES)
        file.write(record)
    writer.append(of(2))
    assert list(reader.read_new()) == [ANYTHING, of(2)]


def test_a_record_written_over_while_the_others_are_read_is_heard_as_anything(
    writer: ChangeLog, reader: ChangeLog
) -> None:
    """The reader was suspended for a whole ring."""
    writer.append(of(1))
    writer.append(of(2))
    new = reader.read_new()
    assert next(new) == of(1)
    _write_quickly(writer, RECORDS)
    assert next(new) == ANYTHING


# In the event loop


def test_a_change_is_told_within_a_moment(folder: Path) -> None:
    """The promise is 100 ms at p99, which `benchmarks freshness` measures."""

    async def main() -> None:
        with opened(folder) as reader, opened(folder) as writer:
            heard: list[Change] = []
            async with following([WorkersSource(reader)], heard.append):
                for number in range(5):
                    await asyncio.to_thread(writer.append, of(number))
                    await until(lambda: len(heard) > number)  # noqa: B023
            assert heard == [of(number) for number in range(5)]

    asyncio.run(main())


def test_a_log_that_cannot_be_opened_is_named_once_and_heard_when_it_can(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was announced meanwhile is not known: anything may have changed."""
    monkeypatch.setattr("gateway.freshness.workers._PAUSE_AFTER_FAILURE_S", 0.001)
    folder.touch()  # not a folder
    log = ChangeLog(CacheFolder(folder))
    attempts = []
    reopen = log.reopen_if_replaced

    def counted() -> bool:
        attempts.append(1)
        return reopen()

    monkeypatch.setattr(log, "reopen_if_replaced", counted)

    async def main() -> None:
        heard: list[Change] = []
        async with following([WorkersSource(log)], heard.append):
            await until(lambda: len(attempts) > 5)
            assert heard == []
            folder.unlink()
            await until(lambda: heard == [ANYTHING])
            with opened(folder) as writer:
                writer.append(of(1))
                await until(lambda: heard == [ANYTHING, of(1)])

    try:
        asyncio.run(main())
    finally:
        log.close()
    failure, recovery = caplog.messages
    assert "plugins/cache can be written: " in failure
    assert "Not a directory" in failure
    assert "heard again" in recovery


@pytest.mark.slow
def test_a_writer_that_stands_still_with_the_lock_does_not_stop_the_readers(folder: Path) -> None:
    async def main() -> None:
        with opened(folder) as reader, opened(folder) as writer, opened(folder) as third:
            heard: list[Change] = []
            async with following([WorkersSource(reader)], heard.append):
                writer.append(of(1))
                with writer._lock:  # and is suspended
                    with pytest.raises(OSError, match=r"."):
                        await asyncio.to_thread(third.append, of(2))
                    await until(lambda: heard == [of(1)])

    asyncio.run(main())


def _nobody_waits() -> None:
    pass
