"""Keeps workers serving: starts them, replaces those that die, renews all at SIGHUP, ends them.

    SIGHUP            the settings are read again; new workers come up one by one, and each old
                      one ends when its successor serves
    SIGTERM           `/-/ready` says "draining" for server.drain_delay seconds, then the end
    SIGINT            the end at once: running requests get server.drain_timeout seconds
    a second of both  the end without waiting for anybody

It serves nothing itself: one process more, asleep but for ten looks a second.
"""

import logging
import math
import multiprocessing
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from types import FrameType

from gateway.errors import ConfigurationError
from gateway.processes.listener import Listener
from gateway.processes.worker import LAST_CALL_S, Board, Order, work
from gateway.settings import Settings

logger = logging.getLogger(__name__)

# Forked, a worker starts in milliseconds and shares the pages of what is imported. This
# process has one thread and no event loop, so that forking is safe.
_START_METHOD = "fork" if sys.platform == "linux" else "spawn"
_LOOK_S = 0.1
# A worker that is starting on a busy machine is not a dead one.
_MOST_SILENCE_S = 30.0
_PAUSE_AFTER_FAILURE_S = 1.0
_GRACE_S = 2 * LAST_CALL_S + 5.0


@dataclass(slots=True, eq=False)
class Worker:
    """A process and what is known of it."""

    process: BaseProcess
    board: Board
    generation: int
    kill_at: float = math.inf
    _beats: int = 0
    _silence_s: float = 0.0

    @property
    def is_serving(self) -> bool:
        return self.board.beats > 0

    @property
    def is_leaving(self) -> bool:
        return self.kill_at < math.inf

    def is_overdue(self, now: float, elapsed_s: float) -> bool:
        """Longer silent, or longer in ending, than a healthy one; `elapsed_s` since last asked."""
        before, self._beats = self._beats, self.board.beats
        self._silence_s = self._silence_s + elapsed_s if self._beats == before else 0.0
        return now > self.kill_at or self._silence_s > _MOST_SILENCE_S


class Supervisor:
    """Runs workers on `listener` until it is told to end."""

    def __init__(
        self, listener: Listener, settings: Settings, read_settings: Callable[[], Settings]
    ) -> None:
        """`read_settings` raises ConfigurationError for what a worker could not start with."""
        self._listener = listener
        self._settings = settings
        self._read_settings = read_settings
        self._context: BaseContext = multiprocessing.get_context(_START_METHOD)
        self._workers: list[Worker] = []
        self._generation = 0
        self._has_served = False
        self._settings_before: Settings | None = None
        """Those of the workers that are being replaced; None: none are."""
        self._start_after = 0.0
        self._looked_at = time.monotonic()
        self._retire_at: float | None = None
        """None: nobody has asked for the end."""

    def run(self) -> bool:
        """Until all workers have ended; False, if they ended because none could start."""
        with _Signals() as signals:
            while self._workers or self._retire_at is None:
                ended = signals.wait([worker.process.sentinel for worker in self._workers])
                self._bury(ended)
                for number in signals.take():
                    self._obey(number)
                now = time.monotonic()
                self._kill_overdue(now)
                if self._retire_at is None:
                    self._tend(now)
                elif now >= self._retire_at:
                    self._retire_all(now)
        self._listener.close()
        return self._has_served

    def _kill_overdue(self, now: float) -> None:
        # While this process or the whole machine stood still, nobody was silent.
        elapsed_s = min(now - self._looked_at, 2 * _LOOK_S)
        self._looked_at = now
        for worker in self._workers:
            if worker.is_overdue(now, elapsed_s):
                logger.error("worker %s does not answer: killed", worker.process.pid)
                worker.process.kill()

    # What signals ask for

    def _obey(self, number: int) -> None:
        if number not in (signal.SIGINT, signal.SIGTERM):
            self._renew()
        elif self._retire_at is None:
            logger.info("asked to end: draining")
            self._end(self._settings.server.drain_delay if number == signal.SIGTERM else 0.0)
        else:
            logger.info("asked to end again: running requests are cut off")
            self._retire_at = 0.0
            self._order_all(Order.HURRY)

    def _renew(self) -> None:
        if self._retire_at is not None:
            return
        before = self._settings
        try:
            self._settings = self._read_settings()
        except ConfigurationError as error:
            logger.error("SIGHUP: the workers go on with the settings they have: %s", error)
            return
        logger.info("SIGHUP: the workers are replaced one by one")
        self._generation += 1
        self._settings_before = self._settings_before or before

    def _end(self, delay_s: float) -> None:
        self._retire_at = time.monotonic() + delay_s
        self._order_all(Order.DRAIN)

    def _retire_all(self, now: float) -> None:
        self._listener.close()
        for worker in self._workers:
            if not worker.is_leaving:
                self._retire(worker, now)

    # What keeps them serving

    def _tend(self, now: float) -> None:
        """One step towards as many workers as wanted, all of the newest generation."""
        wanted = self._settings.server.workers
        staying = [worker for worker in self._workers if not worker.is_leaving]
        outdated = [worker for worker in staying if worker.generation < self._generation]
        if len(staying) < wanted:
            for _ in range(wanted - len(staying) if now >= self._start_after else 0):
                self._start()
        elif not all(worker.is_serving for worker in staying):
            pass  # nobody leaves before his successor serves
        elif len(staying) > wanted:
            self._retire((outdated or staying)[0], now)
        elif outdated:
            self._start()
        elif not self._has_served:
            self._has_served = True
            logger.info("gateway running on %s (Press CTRL+C to quit)", self._listener.name)
        elif self._settings_before is not None and len(self._workers) == wanted:
            self._settings_before = None
            logger.info("all workers are replaced")

    def _start(self) -> None:
        board = Board(self._context)
        process = self._context.Process(  # type: ignore[attr-defined]
            target=work, args=(self._listener.socket, board), name="gateway worker"
        )
        process.start()
        self._workers.append(Worker(process, board, self._generation))

    def _retire(self, worker: Worker, now: float) -> None:
        worker.board.give(Order.RETIRE)
        worker.kill_at = now + max(1.0, self._settings.server.drain_timeout) + _GRACE_S

    def _order_all(self, order: Order) -> None:
        for worker in self._workers:
            worker.board.give(order)

    def _bury(self, ended: Container[int]) -> None:
        for worker in [each for each in self._workers if each.process.sentinel in ended]:
            worker.process.join()
            self._workers.remove(worker)
            if not worker.is_leaving and self._retire_at is None:
                self._mourn(worker)
            worker.process.close()

    def _mourn(self, worker: Worker) -> None:
        """A worker ended that should not have."""
        if worker.is_serving:
            pid, code = worker.process.pid, worker.process.exitcode
            logger.error("worker %s died (exit code %s): another takes its place", pid, code)
            return
        self._start_after = time.monotonic() + _PAUSE_AFTER_FAILURE_S
        if not self._has_served:
            logger.error("a worker did not start: the gateway ends")
            self._end(0.0)
        elif self._settings_before is not None:
            logger.error("a new worker did not start: the old ones go on")
            self._settings, self._settings_before = self._settings_before, None
            for other in self._workers:
                other.generation = self._generation


class _Signals:
    """Those that a supervisor obeys, in the order in which they came."""

    _NAMES = ("SIGINT", "SIGTERM", "SIGHUP")

    def __init__(self) -> None:
        self._came: deque[int] = deque()

    def __enter__(self) -> "_Signals":
        self._awake, self._wake = socket.socketpair()
        self._awake.setblocking(False)
        self._wake.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        self._before = {
            number: signal.signal(number, self._note)
            for name in self._NAMES
            if (number := getattr(signal, name, None)) is not None
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        self._awake.close()
        self._wake.close()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._came.append(number)

    def wait(self, sentinels: Sequence[int]) -> set[int]:
        """Those of `sentinels` that are ready; soon if one is or a signal came."""
        ready = wait([self._awake, *sentinels], _LOOK_S)
        if self._awake in ready:
            self._awake.recv(4096)
        return {each for each in ready if isinstance(each, int)}

    def take(self) -> Iterator[int]:
        while self._came:
            yield self._came.popleft()
