"""The processes of a server: a connection to each worker, their memory (Linux: reads /proc)."""

import contextlib
import http.client
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import children
from tests.support.server import Answer, Server
from tests.support.waiting import eventually

_LISTEN_BACKLOG = 64
_STARTED = " serves requests\n"


class Worker:
    """One process of a server, spoken to on one connection that is kept."""

    def __init__(self, server: Server, pid: int, connection: http.client.HTTPConnection) -> None:
        self.pid = pid
        self._server = server
        self._connection = connection

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        try:
            return self._ask(path, headers)
        except ConnectionError:  # the server closes a connection that is idle for five seconds
            self._connection.close()
            self._connection = self._connected_again()
            return self._ask(path, headers)

    def close(self) -> None:
        self._connection.close()

    def _ask(self, path: str, headers: Mapping[str, str] | None) -> Answer:
        self._connection.request("GET", path, headers=dict(headers or {}))
        response = self._connection.getresponse()
        fields = [(name.lower(), value) for name, value in response.getheaders()]
        return Answer(response.status, fields, response.read())

    def _connected_again(self) -> http.client.HTTPConnection:
        """Connections are made until this process has accepted one."""
        for _ in range(_LISTEN_BACKLOG):
            connection = _connected(self._server.port)
            if _accepted_by(connection, self._server) == self.pid:
                return connection
            connection.close()
        raise AssertionError(f"worker {self.pid} accepts no connection")


def started(server: Server, count: int) -> None:
    """Waits until `count` workers have said that they serve."""
    eventually(
        lambda: sum(line.endswith(_STARTED) for line in server.output), lambda said: said == count
    )


@contextmanager
def each_worker(server: Server, count: int) -> Iterator[list[Worker]]:
    """Connections are made until every one of `count` workers has accepted one."""
    started(server, count)
    with contextlib.ExitStack() as stack:
        workers: dict[int, Worker] = {}
        for _ in range(_LISTEN_BACKLOG):
            for connection in [_connected(server.port) for _ in range(count)]:
                worker = Worker(server, _accepted_by(connection, server), connection)
                stack.callback(worker.close)
                workers.setdefault(worker.pid, worker)
            if len(workers) == count:
                break
        assert len(workers) == count, f"only {len(workers)} of {count} workers accept connections"
        yield list(workers.values())


def _connected(port: int) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.connect()
    return connection


def _accepted_by(connection: http.client.HTTPConnection, server: Server) -> int:
    """The process that holds the other end. The answer to a request proves that one does."""
    connection.request("GET", "/-/live")
    connection.getresponse().read()
    assert connection.sock is not None
    inode = _inode_of_peer(connection.sock)
    for pid in children(server.process.pid):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if str(descriptor.readlink()) == f"socket:[{inode}]":
                    return pid
    raise AssertionError(f"no worker holds socket {inode}")


def _inode_of_peer(connection: socket.socket) -> str:
    own, peer = (name[1] for name in (connection.getsockname(), connection.getpeername()))
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, _, _, _, _, _, inode, *_ = line.split()
        if local.endswith(f":{peer:04X}") and remote.endswith(f":{own:04X}"):
            return inode
    raise AssertionError("the connection is not listed")


def memory_bytes(server: Server) -> int:
    """Resident memory of the supervisor and its workers."""
    return sum(_resident(pid) for pid in (server.process.pid, *children(server.process.pid)))


def _resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
