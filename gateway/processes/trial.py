"""Tries to listen where a server would, for `gateway check`."""

import contextlib
import socket

from gateway.errors import ConfigurationError
from gateway.processes.listener import Listener
from gateway.settings import Settings
from gateway.upkeep.check_results import CheckResult

_TIMEOUT_S = 1.0
_QUESTION = b"GET /-/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_ANSWER = b'{"status":"alive"}'
_MOST_BYTES = 4096


def try_listening(settings: Settings) -> CheckResult:
    """Whether serving can listen at the address of the settings, or a gateway does so already."""
    try:
        listener = Listener(settings)
    except ConfigurationError as error:
        if _gateway_answers(settings):
            return CheckResult.note("address", "a gateway answers there already")
        return CheckResult.error("address", str(error))
    listener.close()
    return CheckResult.note("address", f"{listener.name} is free")


def _gateway_answers(settings: Settings) -> bool:
    """Asks what anybody may ask: it may be another program that listens there."""
    answer = b""
    with contextlib.suppress(OSError), _connected(settings) as connection:
        connection.sendall(_QUESTION)
        while len(answer) < _MOST_BYTES and (received := connection.recv(_MOST_BYTES)):
            answer += received
    return answer.endswith(_ANSWER)


def _connected(settings: Settings) -> socket.socket:
    """Raises: OSError."""
    server = settings.server
    if not server.uds:
        return socket.create_connection((server.host, server.port), _TIMEOUT_S)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_TIMEOUT_S)
    try:
        connection.connect(str(settings.path(server.uds)))
    except OSError:
        connection.close()
        raise
    return connection
