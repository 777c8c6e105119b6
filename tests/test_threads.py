"""Blocking calls that may hang: each delays nobody but those who ask for the same key."""

import asyncio
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from gateway.threads import KeyedThreads
from tests.support.waiting import eventually, until

PATIENCE_S = 0.2


class Disk:
    """Reads that hang for as long as their key is held."""

    def __init__(self) -> None:
        self.reads: list[str] = []
        self.content = "first"
        self._held: dict[str, threading.Event] = {}

    def hold(self, key: str) -> None:
        self._held[key] = threading.Event()

    def release(self) -> None:
        for event in self._held.values():
            event.set()

    def read(self, key: str) -> str:
        self.reads.append(key)
        content = self.content
        if key in self._held:
            self._held[key].wait()
        if key == "broken":
            raise OSError(key)
        return content


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.release()


def run(
    disk: Disk,
    scenario: Callable[[KeyedThreads[str, str]], Coroutine[Any, Any, None]],
    most_threads: int = 4,
    patience_s: float = PATIENCE_S,
) -> None:
    async def main() -> None:
        threads = KeyedThreads(disk.read, most_threads, patience_s)
        try:
            await scenario(threads)
        finally:
            threads.close()

    asyncio.run(main())


def test_what_the_function_returns_or_raises_reaches_the_caller(disk: Disk) -> None:
    async def scenario(threads: KeyedThreads[str, str]) -> None:
        assert await threads.call("a") == "first"
        with pytest.raises(OSError, match="broken"):
            await threads.call("broken")

    run(disk, scenario)


def test_a_call_that_hangs_delays_only_those_who_ask_for_the_same(disk: Disk) -> None:
    disk.hold("a")

    async def scenario(threads: KeyedThreads[str, str]) -> None:
        hanging = [asyncio.create_task(threads.call("a")) for _ in range(20)]
        await until(lambda: "a" in disk.reads)
        for number in range(20):
            assert await threads.call(f"other {number}") == "first"
        outcomes = await asyncio.gather(*hanging, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {TimeoutError}
        assert disk.reads.count("a") == 1

    run(disk, scenario, most_threads=2)


def test_a_key_is_called_again_after_its_call_has_ended(disk: Disk) -> None:
    disk.hold("a")

    async def scenario(threads: KeyedThreads[str, str]) -> None:
        with pytest.raises(TimeoutError):
            await threads.call("a")
        disk.release()
        assert await threads.call("a") == "first"
        assert disk.reads == ["a", "a"]

    run(disk, scenario)


def test_nobody_gets_what_was_read_before_they_asked(disk: Disk) -> None:
    disk.hold("a")

    async def scenario(threads: KeyedThreads[str, str]) -> None:
        early = asyncio.create_task(threads.call("a"))
        await until(lambda: "a" in disk.reads)
        disk.content = "second"
        late = asyncio.create_task(threads.call("a"))
        await asyncio.sleep(0)
        disk.release()
        assert (await early, await late) == ("first", "second")

    run(disk, scenario, patience_s=5.0)


def test_whoever_leaves_takes_the_call_from_nobody(disk: Disk) -> None:
    disk.hold("a")

    async def scenario(threads: KeyedThreads[str, str]) -> None:
        leaving = asyncio.create_task(threads.call("a"))
        await until(lambda: "a" in disk.reads)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        disk.release()
        assert await threads.call("a") == "first"

    run(disk, scenario, patience_s=5.0)


def test_there_are_never_more_threads_than_allowed_nor_more_than_needed(disk: Disk) -> None:
    before = set(threading.enumerate())

    async def scenario(threads: KeyedThreads[str, str]) -> None:
        for number in range(20):
            await threads.call(str(number))
        assert len(set(threading.enumerate()) - before) == 1
        await asyncio.gather(*(threads.call(str(number)) for number in range(50)))
        assert len(set(threading.enumerate()) - before) <= 3

    run(disk, scenario, most_threads=3, patience_s=5.0)


def test_closing_cancels_those_who_wait_and_ends_the_threads(disk: Disk) -> None:
    before = set(threading.enumerate())
    disk.hold("a")

    async def scenario(threads: KeyedThreads[str, str]) -> None:
        waiting = asyncio.create_task(threads.call("a"))
        await until(lambda: "a" in disk.reads)
        threads.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await threads.call("b") == "first"  # as after a restart in the same process

    run(disk, scenario)
    disk.release()
    eventually(lambda: set(threading.enumerate()) - before, lambda left: not left)


def test_calls_for_many_keys_make_one_trip_through_one_thread(disk: Disk) -> None:
    async def scenario(threads: KeyedThreads[str, str]) -> None:
        loop = asyncio.get_running_loop()
        returns = 0

        def counted(callback: Callable[..., object], *arguments: Any) -> asyncio.Handle:
            nonlocal returns
            returns += 1
            return loop.call_soon(callback, *arguments)

        object.__setattr__(loop, "call_soon_threadsafe", counted)
        keys = [str(number) for number in range(64)]
        found = asyncio.create_task(threads.call_many(keys))
        await until(found.done)  # polls: `counted` does not wake the loop
        assert await found == dict.fromkeys(keys, "first")
        assert disk.reads == keys
        assert returns == 1
        assert not threads.running

    run(disk, scenario)


def test_keys_that_hang_or_raise_leave_the_results_of_the_others(disk: Disk) -> None:
    for key in ("a", "c"):
        disk.hold(key)

    async def scenario(threads: KeyedThreads[str, str]) -> None:
        found = await threads.call_many(["a", "b", "broken", "c", "d"])
        assert (found["b"], found["d"]) == ("first", "first")
        hanging = [result for key in "ac" if isinstance(result := found[key], asyncio.Future)]
        assert [future.done() for future in hanging] == [False, False]
        assert set(threads.running) == {"a", "c"}
        disk.release()
        assert [await future for future in hanging] == ["first", "first"]
        broken = found["broken"]
        assert isinstance(broken, asyncio.Future)
        with pytest.raises(OSError, match="broken"):
            await broken
        assert not threads.running
        assert sorted(disk.reads) == ["a", "b", "broken", "c", "d"]

    run(disk, scenario, patience_s=5.0)


def test_a_key_that_hangs_from_an_earlier_trip_is_not_called_again(disk: Disk) -> None:
    disk.hold("a")

    async def scenario(threads: KeyedThreads[str, str]) -> None:
        early = (await threads.call_many(["a"]))["a"]
        disk.content = "second"
        found = await threads.call_many(["a", "b"])
        late = found["a"]
        assert found["b"] == "second"
        assert disk.reads == ["a", "b"]
        disk.release()
        assert isinstance(early, asyncio.Future)
        assert isinstance(late, asyncio.Future)
        assert (await early, await late) == ("first", "second")
        assert disk.reads == ["a", "b", "a"]

    run(disk, scenario, patience_s=5.0)


def test_nobody_waits_longer_for_a_trip_than_for_a_call(disk: Disk) -> None:
    disk.hold("a")

    async def scenario(threads: KeyedThreads[str, str]) -> None:
        for keys in (["a"], ["b", "c"], ["a", "d"]):  # the only thread hangs
            for result in (await threads.call_many(keys)).values():
                assert isinstance(result, asyncio.Future)
                with pytest.raises(TimeoutError):
                    await result
        with pytest.raises(TimeoutError):
            await threads.call("e")
        assert disk.reads == ["a"]
        disk.release()
        for key in "abcde":
            assert await threads.call(key) == "first"

    run(disk, scenario, most_threads=1)


def test_while_a_trip_lasts_other_threads_come_to_its_help(disk: Disk) -> None:
    keys = [str(number) for number in range(50)]
    together = threading.Barrier(3, timeout=10.0)

    def read(_key: str) -> str:
        together.wait()  # goes on when three threads are here
        return "read"

    async def main() -> None:
        threads = KeyedThreads(read, 3, patience_s=10.0)
        try:
            assert await threads.call_many(keys[:48]) == dict.fromkeys(keys[:48], "read")
        finally:
            threads.close()

    asyncio.run(main())


def test_whoever_leaves_a_trip_leaves_its_keys_callable(disk: Disk) -> None:
    disk.hold("a")

    async def scenario(threads: KeyedThreads[str, str]) -> None:
        leaving = asyncio.create_task(threads.call_many("ab"))
        await until(lambda: "a" in disk.reads)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert await threads.call("b") == "first"
        disk.release()
        assert await threads.call("a") == "first"

    run(disk, scenario, patience_s=5.0)


def test_a_thread_that_waits_keeps_no_results_of_its_last_trip() -> None:
    class Large:
        """As a document of 14 KiB is, for each of up to 500 users."""

    async def main() -> None:
        threads = KeyedThreads[str, Large](lambda _key: Large(), 4, PATIENCE_S)
        try:
            results = await threads.call_many("abc")
            kept = [weakref.ref(result) for result in results.values()]
            del results
            await until(lambda: not any(ref() for ref in kept))
        finally:
            threads.close()

    asyncio.run(main())


def test_closing_cancels_a_trip_and_what_hangs_from_one(disk: Disk) -> None:
    before = set(threading.enumerate())
    for key in "ab":
        disk.hold(key)

    async def scenario(threads: KeyedThreads[str, str]) -> None:
        hanging = (await threads.call_many("a"))["a"]
        waiting = asyncio.create_task(threads.call_many("bc"))
        await until(lambda: "b" in disk.reads)
        threads.close()
        assert isinstance(hanging, asyncio.Future)
        for cancelled in (hanging, waiting):
            with pytest.raises(asyncio.CancelledError):
                await cancelled
        disk.release()
        await until(lambda: not set(threading.enumerate()) - before)
        for keys in ("de", "ab"):  # as after a restart in the same process
            assert await threads.call_many(keys) == dict.fromkeys(keys, "first")

    run(disk, scenario, patience_s=1.5)  # in which the second trip begins and is cancelled


def test_a_call_that_hangs_does_not_keep_the_process() -> None:
    program = """
import asyncio, threading
from gateway.threads import KeyedThreads

async def main():
    threads = KeyedThreads(lambda _key: threading.Event().wait(), 1, 0.1)
    try:
        await threads.call("a")
    except TimeoutError:
        threads.close()

asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)
