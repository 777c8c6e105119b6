"""`gateway …` with clocks that leap a minute ahead at SIGUSR1, so that no test waits that long.

Run as `python -m tests.support.leaping serve …`; it prints `leapt` when a worker has,
after the supervisor.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo

import jwt

from tests.support.server import Server, listening
from tests.support.waiting import eventually

LEAP_S = 60.0


class LeapingServer(Server):
    """A server whose clocks a test can set a minute ahead."""

    def leap(self) -> None:
        before = self._leaps()
        self.process.send_signal(signal.SIGUSR1)
        eventually(self._leaps, lambda leaps: leaps > before)

    def _leaps(self) -> int:
        return self.output.count("leapt\n")


@contextmanager
def leaping(environment: Mapping[str, str]) -> Iterator[LeapingServer]:
    with listening(environment, "-m", __name__, "serve", "--port", "0") as server:
        yield LeapingServer(server.process, server.port, server.output)


def _later(clock: Callable[[], float], leaps: list[None]) -> Callable[[], float]:
    return lambda: clock() + LEAP_S * len(leaps)


def _main() -> None:
    leaps: list[None] = []

    def leap(number: int, _frame: object) -> None:
        leaps.append(None)
        for worker in multiprocessing.active_children():
            assert worker.pid is not None
            os.kill(worker.pid, number)
        if multiprocessing.parent_process() is not None:
            print("leapt", flush=True)  # noqa: T201

    time.monotonic = _later(time.monotonic, leaps)
    time.time = _later(time.time, leaps)

    class LaterDatetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "LaterDatetime":
            return super().now(tz) + timedelta(seconds=LEAP_S * len(leaps))

    jwt.api_jwt.datetime = LaterDatetime  # type: ignore[attr-defined]
    signal.signal(signal.SIGUSR1, leap)
    from gateway.cli import main  # noqa: PLC0415 (binds the clocks when it is imported)

    main(prog_name="gateway")


if __name__ == "__main__":
    _main()
