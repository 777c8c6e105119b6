"""Finds the running gateways of this site on this host, and connects to them.

A command sends the admin token only on a connection on which the other side has proved to be a
gateway of this site (identity/proof.py).
"""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from gateway.disk.running import RunningRecord, read_records
from gateway.disk.storage import PluginStorage
from gateway.identity.proof import CHALLENGE_FIELD, Prover, new_challenge
from gateway.settings import Settings

_TIMEOUT_S = 5.0
_MAX_BYTES = 4096


class RunningGateway(NamedTuple):
    address: str
    """`host:port`, or the absolute path of a Unix socket."""
    connection: http.client.HTTPConnection
    """Open, and never opened again: who answers on a new one is not known."""


@contextmanager
def running_gateways(settings: Settings) -> Iterator[list[RunningGateway]]:
    """Those that have proved to be of this site, the newest first, connected until the end."""
    connected: list[RunningGateway] = []
    try:
        for record in read_records(PluginStorage(settings.plugins_dir).cache):
            connection = _connected(record, settings.admin.token)
            if connection is not None:
                connected.append(RunningGateway(record.address, connection))
        yield connected
    finally:
        for gateway in connected:
            gateway.connection.close()


def _connected(record: RunningRecord, token: str) -> http.client.HTTPConnection | None:
    """None, if nobody answers there, or no gateway of this site."""
    try:
        connection = _Connection(record.address)
        if _is_of_this_site(connection, Prover(record.secret, token)):
            return connection
    except (OSError, ValueError, http.client.HTTPException):
        return None
    connection.close()
    return None


def _is_of_this_site(connection: "_Connection", prover: Prover) -> bool:
    """Raises: OSError, ValueError, HTTPException."""
    connection.connect()
    connection.auto_open = 0
    host, port = connection.server
    challenge = new_challenge()
    connection.request("GET", "/-/live", headers={CHALLENGE_FIELD: challenge})
    content = json.loads(connection.getresponse().read(_MAX_BYTES))
    proof = content.get("proof") if isinstance(content, dict) else None
    return prover.accepts(proof, challenge, host, port)


class _Connection(http.client.HTTPConnection):
    """To an address of a RunningRecord."""

    def __init__(self, address: str) -> None:
        self._path = address if address.startswith("/") else None
        super().__init__("localhost" if self._path else address, timeout=_TIMEOUT_S)

    def connect(self) -> None:
        if self._path is None:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(self._path)

    @property
    def server(self) -> tuple[str, int | None]:
        """The other end, as the server itself knows it. Raises: OSError."""
        peer = self.sock.getpeername()
        return (peer, None) if isinstance(peer, str) else (peer[0], peer[1])
