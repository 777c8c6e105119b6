"""A client that sends so many requests each second, and writes down when they were answered."""

import http.client
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.support.server import Server
from tests.support.urls import Question


class PacedClient:
    """Sends its questions in turn on one connection, until it is told to end."""

    def __init__(self, server: Server, questions: Sequence[Question], per_second: float) -> None:
        self.answered: list[float] = []
        """Seconds since the epoch, in order."""
        self.statuses: set[int] = set()
        self._server = server
        self._questions = questions
        self._pause_s = 1 / per_second
        self._end = threading.Event()

    def answered_between(self, start: float, stop: float) -> int:
        return bisect_right(self.answered, stop) - bisect_right(self.answered, start)

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._end.set()
            thread.join()

    def _run(self) -> None:
        connection = self._server.connection()
        start = time.monotonic()
        while not self._end.wait(self._wait_s(start)):
            url, headers = self._questions[len(self.answered) % len(self._questions)]
            self._ask(connection, url, headers)
        connection.close()

    def _wait_s(self, start: float) -> float:
        return max(0.0, start + len(self.answered) * self._pause_s - time.monotonic())

    def _ask(
        self, connection: http.client.HTTPConnection, url: str, headers: dict[str, str]
    ) -> None:
        connection.request("GET", url, headers=headers)
        response = connection.getresponse()
        response.read()
        self.answered.append(time.time())
        self.statuses.add(response.status)
