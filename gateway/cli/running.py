"""Finds the running gateways of this site on this host, and connects to them.

A command sends the admin token only on a connection on which the other side has proved to be a
gateway of this site (identity/proof.py).
"""

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from gateway.disk.running import RunningRecord, read_records
from gateway.disk.storage import PluginStorage
from gateway.identity.proof import CHALLENGE_FIELD, Prover, new_challenge
from gateway.settings import Settings
from gateway.upkeep.asking import Connection

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
        connection = Connection(record.address)
        if _is_of_this_site(connection, Prover(record.secret, token)):
            return connection
    except (OSError, ValueError, http.client.HTTPException):
        return None
    connection.close()
    return None


def _is_of_this_site(connection: Connection, prover: Prover) -> bool:
    """Raises: OSError, ValueError, HTTPException."""
    connection.connect()
    connection.auto_open = 0
    host, port = connection.server
    challenge = new_challenge()
    connection.request("GET", "/-/live", headers={CHALLENGE_FIELD: challenge})
    content = json.loads(connection.getresponse().read(_MAX_BYTES))
    proof = content.get("proof") if isinstance(content, dict) else None
    return prover.accepts(proof, challenge, host, port)
