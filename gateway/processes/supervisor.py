"""Keeps workers serving: starts them, replaces those that die, renews all at SIGHUP, ends them.

    SIGHUP                  reads the settings again and starts new workers one by one; each old
                            worker ends when its successor serves
    SIGTERM                 `/-/ready` says "draining" for server.drain_delay seconds, then the end
    SIGINT                  the end at once: running requests get server.drain_timeout seconds
    a second one of these   the end without waiting for running requests

The supervisor is a process of its own, and serves nothing. It looks around ten times a second while
something is under way, and otherwise every two seconds.
"""

import contextlib
import logging
import math
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import cast

from gateway.errors import ConfigurationError
from gateway.metrics.catalogue import START_TIME, WORKER_RESTARTS
from gateway.metrics.table import OWN, ColumnPool, Table
from gateway.overview.history import INTERVAL_S, Sampler
from gateway.overview.overview import OverviewMemory
from gateway.processes.board import BELL, Board, Order
from gateway.processes.first_lines import changed_lines, first_lines
from gateway.processes.listener import Listener
from gateway.processes.logs import WORKER_NAME
from gateway.processes.presence import Presence
from gateway.processes.worker import LAST_CALL_S, work
from gateway.settings import Settings

logger = logging.getLogger(__name__)

# A forked worker starts in milliseconds and shares the memory of imported modules. The supervisor
# has one thread and no event loop: forking it is safe. Not on macOS, whose libraries start threads.
_START_METHOD = "fork" if sys.platform == "linux" else "spawn"
_LOOK_S = 0.1
# Signals and the end of a worker wake the supervisor; then a sample is due.
_QUIET_LOOK_S = INTERVAL_S
# Long enough for a worker that starts on a busy machine.
_MOST_SILENCE_S = 30.0
_PAUSE_AFTER_FAILURE_S = 1.0
_GRACE_S = 2 * LAST_CALL_S + 5.0
# Two generations of as many workers as the settings allow: SIGHUP may raise the number. 4 MB.
_MAX_COLUMNS = 2 * 256


@dataclass(slots=True, eq=False)
class Worker:
    """A process and what its supervisor knows of it."""

    process: BaseProcess
    board: Board
    column: int
    """Of the table of metrics."""
    generation: int
    kill_at: float = math.inf
    is_hung: bool = False
    _beats: int = 0
    _silence_s: float = 0.0

    @property
    def is_serving(self) -> bool:
        return self.board.beats > 0

    @property
    def is_leaving(self) -> bool:
        return self.kill_at < math.inf

    def give(self, order: Order) -> None:
        self.board.give(order)
        if self.process.is_alive():
            os.kill(cast(int, self.process.pid), BELL)

    def is_overdue(self, now: float, elapsed_s: float) -> bool:
        """Whether it has been silent, or has been ending, for longer than a healthy worker.

        `elapsed_s`: since the last call.
        """
        last_beats, self._beats = self._beats, self.board.beats
        self._silence_s = self._silence_s + elapsed_s if self._beats == last_beats else 0.0
        return now > self.kill_at or self._silence_s > _MOST_SILENCE_S


class Supervisor:
    """Runs workers on `listener` until it is told to end."""

    def __init__(
        self, listener: Listener, settings: Settings, read_settings: Callable[[], Settings]
    ) -> None:
        """`settings`: those of the first workers. `read_settings` is called at SIGHUP, and raises
        ConfigurationError for settings that a worker could not start with.
        """
        self._listener = listener
        self._presence = Presence(settings.plugins_dir, listener.address)
        self._settings = settings
        self._read_settings = read_settings
        self._context: BaseContext = multiprocessing.get_context(_START_METHOD)
        self._table = Table.shared(self._context, _MAX_COLUMNS)
        self._columns = ColumnPool(self._table)
        self._memory = OverviewMemory.shared(self._context, _MAX_COLUMNS)
        self._sampler = Sampler(self._memory.history, self._table.totals)
        self._workers: list[Worker] = []
        self._generation = 0
        self._has_served = False
        self._could_start = True
        self._old_settings: Settings | None = None
        """Those of the workers that are being replaced; None if none are."""
        self._start_after = 0.0
        self._looked_at = time.monotonic()
        self._retire_at: float | None = None
        """When all workers get the order to end; None until a signal asks for the end."""

    def run(self) -> bool:
        """Returns when all workers have ended; False if they ended because none could start."""
        self._presence.show()
        with _Signals() as signals:
            while self._workers or self._retire_at is None:
                look_s = _QUIET_LOOK_S if self._is_quiet() else _LOOK_S
                ended = signals.wait([worker.process.sentinel for worker in self._workers], look_s)
                self._remove_ended(ended)
                for number in signals.take():
                    self._obey(number)
                now = time.monotonic()
                self._kill_overdue(now)
                self._sampler.look()
                if self._retire_at is None:
                    self._approach_target(now)
                elif now >= self._retire_at:
                    self._retire_all(now)
        self._listener.close()
        self._presence.remove()
        logger.info("the gateway has ended")
        return self._could_start

    def _is_quiet(self) -> bool:
        """Whether nothing is under way."""
        return (
            self._has_served
            and self._retire_at is None
            and self._old_settings is None
            and len(self._workers) == self._settings.server.workers
        )

    def _kill_overdue(self, now: float) -> None:
        # Cap the elapsed time: after a suspend of the machine, workers must not count as hung.
        elapsed_s = min(now - self._looked_at, 2 * _QUIET_LOOK_S)
        self._looked_at = now
        for worker in self._workers:
            if worker.is_overdue(now, elapsed_s):
                logger.error("worker %s does not answer: killed", worker.process.pid)
                worker.is_hung = True
                worker.process.kill()

    # Signals

    def _obey(self, number: int) -> None:
        if number == signal.SIGHUP:
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
        old_settings = self._settings
        try:
            self._settings = self._read_settings()
        except ConfigurationError as error:
            logger.error("SIGHUP: the workers go on with the settings they have: %s", error)
            return
        logger.info("SIGHUP: the workers are replaced one by one")
        self._presence.show()
        self._generation += 1
        self._old_settings = self._old_settings or old_settings

    def _end(self, delay_s: float) -> None:
        self._retire_at = time.monotonic() + delay_s
        self._order_all(Order.DRAIN)

    def _retire_all(self, now: float) -> None:
        self._listener.close()
        for worker in self._workers:
            if not worker.is_leaving:
                self._retire(worker, now)

    # Workers

    def _approach_target(self, now: float) -> None:
        """One step towards `server.workers` workers, all of the newest generation."""
        target = self._settings.server.workers
        staying = [worker for worker in self._workers if not worker.is_leaving]
        outdated = [worker for worker in staying if worker.generation < self._generation]
        if len(staying) < target:
            for _ in range(target - len(staying) if now >= self._start_after else 0):
                self._start()
        elif not all(worker.is_serving for worker in staying):
            pass  # no worker ends before its successor serves
        elif len(staying) > target:
            self._retire((outdated or staying)[0], now)
        elif outdated:
            self._start()
        elif not self._has_served:
            self._has_served = True
            self._table.column(OWN).gauge(START_TIME).set(time.time())
            _log_lines(first_lines(self._settings))
            logger.info("gateway running on %s (Press CTRL+C to quit)", self._listener.name)
        elif self._old_settings is not None and len(self._workers) == target:
            logger.info("all workers are replaced")
            _log_lines(changed_lines(self._old_settings, self._settings))
            self._old_settings = None

    def _start(self) -> None:
        column = self._columns.lend()
        if column is None:
            return  # until one of the many workers that are ending has ended
        board = Board(self._context)
        process = self._context.Process(  # type: ignore[attr-defined]
            target=work,
            args=(
                *(self._listener.socket, board, self._table, column),
                *(self._memory, self._settings, self._presence.secret),
            ),
            name=WORKER_NAME,
        )
        process.start()
        logger.info("worker %s starts", process.pid)
        self._workers.append(Worker(process, board, column, self._generation))

    def _retire(self, worker: Worker, now: float) -> None:
        worker.give(Order.RETIRE)
        worker.kill_at = now + max(1.0, self._settings.server.drain_timeout) + _GRACE_S

    def _order_all(self, order: Order) -> None:
        for worker in self._workers:
            worker.give(order)

    def _remove_ended(self, sentinels: Container[int]) -> None:
        ended = [worker for worker in self._workers if worker.process.sentinel in sentinels]
        for worker in ended:
            worker.process.join()
            self._workers.remove(worker)
            self._columns.take_back(worker.column)
            self._memory.reports.clear(worker.column)
            if not worker.is_leaving and self._retire_at is None:
                self._on_unexpected_end(worker)
            else:
                logger.info("worker %s has ended", worker.process.pid)
            worker.process.close()

    def _on_unexpected_end(self, worker: Worker) -> None:
        cause = "hung" if worker.is_hung else "died"
        self._table.column(OWN).counter(WORKER_RESTARTS, cause).add()
        if worker.is_serving:
            pid, code = worker.process.pid, worker.process.exitcode
            logger.error("worker %s died (%s): another takes its place", pid, _cause(code))
            return
        self._start_after = time.monotonic() + _PAUSE_AFTER_FAILURE_S
        if not self._has_served:
            self._could_start = False
            logger.error("a worker did not start: the gateway ends")
            self._end(0.0)
        elif self._old_settings is not None:
            logger.error("a new worker did not start: the old ones go on")
            self._settings, self._old_settings = self._old_settings, None
            for other in self._workers:
                other.generation = self._generation


def _log_lines(lines: Iterable[str]) -> None:
    for line in lines:
        logger.info("%s", line)


def _cause(exit_code: int | None) -> str:
    """Of a process's end; a negative exit code is that of a signal."""
    with contextlib.suppress(ValueError):
        return signal.Signals(-(exit_code or 0)).name
    return f"exit code {exit_code}"


class _Signals:
    """The signals that a supervisor obeys, in the order in which they came."""

    def __init__(self) -> None:
        self._numbers: deque[int] = deque()

    def __enter__(self) -> "_Signals":
        self._awake, self._wake = socket.socketpair()
        self._awake.setblocking(False)
        self._wake.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        self._old_handlers = {
            number: signal.signal(number, self._note)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        self._awake.close()
        self._wake.close()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._numbers.append(number)

    def wait(self, sentinels: Sequence[int], most_s: float) -> set[int]:
        """The sentinels of processes that have ended. Returns at once if there are any, or if a
        signal came; else after `most_s`.
        """
        ready = wait([self._awake, *sentinels], most_s)
        if self._awake in ready:
            self._awake.recv(4096)
        return {sentinel for sentinel in ready if isinstance(sentinel, int)}

    def take(self) -> Iterator[int]:
        while self._numbers:
            yield self._numbers.popleft()
