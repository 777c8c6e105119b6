"""One connection to each worker, asked in turn until its answer is the new one."""

import http.client
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import psutil

from benchmarks.processes import HOST, Running, ServerFailed

DEADLINE_S = 5.0
_MOST_CONNECTIONS = 400
_START_DEADLINE_S = 30.0
_PAUSE_S = 0.001


class Probe:
    """A connection that one worker has accepted."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection

    def ask(self, path: str, headers: Mapping[str, str]) -> bytes | None:
        """The file; None where there is none. Raises: ServerFailed, for any other answer."""
        self._connection.request("GET", path, headers=dict(headers))
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status not in (200, 404):
            raise ServerFailed(f"{answer.status}: {content.decode(errors='replace')}")
        return content if answer.status == 200 else None


@contextmanager
def one_to_each(running: Running, workers: int) -> Iterator[list[Probe]]:
    """Raises: ServerFailed, if some worker accepts none."""
    with ExitStack() as stack:
        found: dict[int, Probe] = {}
        end = time.monotonic() + _START_DEADLINE_S
        for _ in range(_MOST_CONNECTIONS):
            connection = http.client.HTTPConnection(HOST, running.port, timeout=DEADLINE_S * 2)
            stack.callback(connection.close)
            connection.connect()
            connection.request("GET", "/-/live")
            connection.getresponse().read()
            found.setdefault(_holder(running, connection), Probe(connection))
            if len(found) == workers:
                yield list(found.values())
                return
            if time.monotonic() > end:
                break
            if len(found) < workers:
                time.sleep(_PAUSE_S * 10)
        raise ServerFailed(f"only {len(found)} of {workers} workers accept connections")


def _holder(running: Running, connection: http.client.HTTPConnection) -> int:
    """The process at the other end."""
    own = connection.sock.getsockname()[1]
    process = psutil.Process(running.pid)
    for each in (process, *process.children(recursive=True)):
        for held in each.net_connections("tcp"):
            if held.raddr and held.raddr.port == own and held.laddr.port == running.port:
                return int(each.pid)
    raise ServerFailed("no worker holds the connection")


def delays_until(
    probes: Sequence[Probe],
    path: str,
    headers: Mapping[str, str],
    expected: bytes | None,
    since: float,
) -> tuple[list[float], int]:
    """Seconds from `since` (perf_counter) until each worker first answered as expected; how many
    had not by the deadline. Raises: ServerFailed.
    """
    waiting = list(probes)
    delays_s: list[float] = []
    while waiting and time.perf_counter() - since < DEADLINE_S:
        for probe in list(waiting):
            if probe.ask(path, headers) == expected:
                delays_s.append(time.perf_counter() - since)
                waiting.remove(probe)
        time.sleep(_PAUSE_S)
    return delays_s, len(waiting)
