"""Clients that send requests all the time while a test does something to the server."""

import contextlib
import http.client
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.waiting import eventually

Connect = Callable[[], http.client.HTTPConnection]


@dataclass(slots=True)
class Load:
    """The answers that the clients got. A request without a whole answer is a failure."""

    answers: Counter[bytes] = field(default_factory=Counter)
    """How many answers had each body; answers other than 200 count by their status."""
    failures: list[str] = field(default_factory=list)
    closes: int = 0
    """How many answers ended their connection."""

    @property
    def total(self) -> int:
        return self.answers.total()

    def goes_on(self, requests: int = 50) -> None:
        """Waits until this many more requests have been answered."""
        enough = self.total + requests
        eventually(lambda: self.total, lambda total: total >= enough)


@dataclass(frozen=True, slots=True)
class Client:
    """One client. It waits `pause_s` after each request."""

    connect: Connect
    path: str
    headers: Mapping[str, str]
    keeps_alive: bool = True
    pause_s: float = 0.0

    def ask_until(self, end: threading.Event, load: Load) -> None:
        connection = self.connect()
        while not end.is_set():
            try:
                connection.request("GET", self.path, headers=dict(self.headers))
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException) as error:
                load.failures.append(repr(error))
                connection.close()
            else:
                load.answers[body if response.status == 200 else b"%d" % response.status] += 1
                load.closes += response.will_close
            if not self.keeps_alive:
                connection.close()
            end.wait(self.pause_s)
        connection.close()


@contextmanager
def under_load(*clients: Client) -> Iterator[Load]:
    """Runs each client in a thread until the block ends."""
    load, end = Load(), threading.Event()
    threads = [
        threading.Thread(target=client.ask_until, args=(end, load), daemon=True)
        for client in clients
    ]
    with contextlib.ExitStack() as stack:
        for thread in threads:
            thread.start()
            stack.callback(thread.join)
        stack.callback(end.set)
        load.goes_on(len(clients))
        yield load
