"""One serving process: uvicorn, ended in an order that loses no request.

A worker obeys its board alone (board.py). Only the supervisor obeys signals: a terminal and some
service managers send them to every process of a group.
"""

import asyncio
import gc
import logging
import multiprocessing
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import uvicorn

from gateway import __version__
from gateway.application import Gateway
from gateway.caching.turns import Turns
from gateway.endpoints.event_stream import StreamEnd
from gateway.endpoints.health import Health
from gateway.errors import ConfigurationError
from gateway.hot_path.writing import CLOSE
from gateway.identity.proof import Prover
from gateway.metrics.catalogue import CONNECTIONS, LOOP_DELAY
from gateway.metrics.process import ProcessMetrics
from gateway.metrics.table import Column, Table
from gateway.overview.overview import Membership, OverviewMemory
from gateway.processes.accepting import Accepting
from gateway.processes.board import BELL, Board, Order
from gateway.processes.server import server_config
from gateway.settings import Settings
from gateway.tracing.starting import start_export

logger = logging.getLogger(__name__)

DID_NOT_START = 3
"""Exit code."""
# A request that a client sent before it heard of the end arrives within this time.
LAST_CALL_S = 1.0

_ATTENTION_S = 0.1
_IDLE_BEATS = 10
# The first generation is collected after 20,000 allocations that were not freed, the second at
# each 20th of these collections, the third at each 2,000th. Few of our objects are in cycles.
_COLLECTIONS = (20_000, 20, 100)


def work(
    listener: socket.socket,
    board: Board,
    table: Table,
    column: int,
    memory: OverviewMemory,
    settings: Settings,
    secret: str,
) -> None:
    """The whole life of a worker: serves until its board orders the end.

    `column`: its own, of the table. `secret`: see Prover.
    """
    _leave_signals_to_the_supervisor()
    metrics = ProcessMetrics(table, column)
    try:
        export = start_export(__version__) if settings.observability.traces else None
        gateway = Gateway(settings, membership=Membership(metrics, memory))
        config = server_config(gateway.front, gateway.front, settings)
    except ConfigurationError as error:
        logger.error("a worker cannot start: %s", error)
        sys.exit(DID_NOT_START)
    gateway.health.prover = Prover(secret, settings.admin.token)
    _collect_less_often()
    drain_timeout_s = settings.server.drain_timeout
    server = WorkerServer(
        config,
        gateway.health,
        gateway.stream_end,
        board,
        metrics,
        gateway.core.turns,
        drain_timeout_s,
    )
    server.run([listener])
    if export is not None:
        export.close()


class WorkerServer(uvicorn.Server):
    """Obeys its board, and ends by itself when its supervisor has died."""

    def __init__(
        self,
        config: uvicorn.Config,
        health: Health,
        streams: StreamEnd,
        board: Board,
        metrics: ProcessMetrics,
        turns: Turns,
        drain_timeout_s: float,
    ) -> None:
        super().__init__(config)
        self._health = health
        self._streams = streams
        self._board = board
        self._metrics = metrics
        metrics.copy_with(self._copy_connections)
        self._turns = turns
        self._may_end = asyncio.Event()
        self._drain_timeout_s = drain_timeout_s
        self._in_a_hurry = False
        self._attending: asyncio.Task[None] | None = None
        self._last_activity = (-1, -1)
        """Requests and connections at the last copy of what is counted elsewhere."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """In the place of uvicorn's, which would obey signals."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        config = self.config
        self._accepting = Accepting(config.http_protocol_class, sockets or [])
        config.http_protocol_class = cast(type[asyncio.Protocol], self._accepting.protocol)
        await super().startup(sockets)
        if self.started:
            logger.info("serves requests")
        asyncio.get_running_loop().add_signal_handler(BELL, self._turns.wake)
        self._attending = asyncio.create_task(self._attend())

    async def main_loop(self) -> None:
        """In the place of uvicorn's, which looks ten times a second."""
        await self._may_end.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        logger.info("accepts no more connections; open: %s", len(self.server_state.connections))
        await self._last_call()
        for connection in list(self.server_state.connections):
            connection.shutdown()  # at once if it is idle, else after its answer
        await self._wait_for(lambda: self.server_state.connections, self._drain_timeout_s)
        for connection in list(self.server_state.connections):
            logger.warning("a client that was still being answered is cut off")
            connection.transport.abort()
        await super().shutdown(sockets)
        self._metrics.update()

    def _update_metrics(self) -> None:
        """An idle worker copies rarely: after a sleep, a copy takes 150 µs instead of 20."""
        state = self.server_state
        activity = state.total_requests, len(state.connections)
        is_due = self._turns.is_resting or self._board.beats % _IDLE_BEATS == 0
        if is_due or activity != self._last_activity:
            self._last_activity = activity
            self._metrics.update()

    def _copy_connections(self, column: Column) -> None:
        column.gauge(CONNECTIONS).set(len(self.server_state.connections))

    async def _attend(self) -> None:
        supervisor = multiprocessing.parent_process()
        loop_delay = self._metrics.column.histogram(LOOP_DELAY)
        while True:
            self._board.beat()
            self._update_metrics()
            await self.on_tick(0)  # uvicorn's, for the field Date
            orders = self._board.orders
            if supervisor is not None and os.getppid() != supervisor.pid:
                orders |= Order.RETIRE
            if orders:
                self._obey(orders)
            loop_delay.observe(await self._turns.next(_ATTENTION_S))

    def _obey(self, orders: Order) -> None:
        """Idempotent: called at each turn with the same orders."""
        if Order.DRAIN in orders:
            self._health.draining = True
        self._streams.order()
        # uvicorn adds these fields to every answer. It closes a connection after this one.
        if CLOSE not in self.config.encoded_headers:
            self.config.encoded_headers = [*self.config.encoded_headers, CLOSE]
            self.server_state.default_headers = [*self.server_state.default_headers, CLOSE]
        self._in_a_hurry = Order.HURRY in orders
        if orders & (Order.RETIRE | Order.HURRY):
            self._may_end.set()

    async def _last_call(self) -> None:
        """Keeps idle connections open for a second, as a request may be on its way on them.

        HTTP/1.1 lets a server close an idle connection at any time. A client that has just sent a
        request on it then cannot know whether the request was read.
        """
        await self._accepting.settled()
        await self._wait_for(self._idle_sockets, LAST_CALL_S)
        await self._wait_for(self._has_unread, LAST_CALL_S, pause_s=0.0)

    async def _wait_for(
        self, what_remains: Callable[[], object], most_s: float, pause_s: float = _ATTENTION_S / 5
    ) -> None:
        """Returns when nothing remains, or after `most_s`."""
        end = time.monotonic() + most_s
        while what_remains() and not self._in_a_hurry and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(pause_s)

    def _idle_sockets(self) -> list[int]:
        """Descriptors of connections that owe no answer."""
        connections: set[Any] = self.server_state.connections
        return [
            connection.transport.get_extra_info("socket").fileno()
            for connection in connections
            if not connection.owes_an_answer and not connection.transport.is_closing()
        ]

    def _has_unread(self) -> bool:
        """Whether bytes have come that the event loop has not read yet."""
        with selectors.DefaultSelector() as selector:
            for descriptor in self._idle_sockets():
                selector.register(descriptor, selectors.EVENT_READ)
            return bool(selector.select(0))


def _collect_less_often() -> None:
    """Raises the thresholds of the garbage collector, and exempts what exists at the start.

    Cached objects are no garbage, but each collection visits them. With Python's thresholds a
    worker served 3,000 new users a second; with these it served 4,500.
    """
    gc.collect()
    gc.freeze()  # modules and the application live until the end
    gc.set_threshold(*_COLLECTIONS)


def _leave_signals_to_the_supervisor() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
