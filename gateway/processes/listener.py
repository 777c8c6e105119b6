"""The socket that all workers accept from: a TCP port, or a Unix socket with its file.

It is opened once, before the first worker, and outlives all of them: while a worker is replaced,
connections wait in the socket's queue.
"""

import errno
import os
import socket
import stat
from pathlib import Path

from gateway.errors import ConfigurationError
from gateway.settings import Settings

_BACKLOG = 2048
# Read and write for owner and group; the proxy's user belongs to the group. With
# identity.proxy.trusted = ["unix"], whoever can write to the file can act as any user.
_UMASK = 0o117


class Listener:
    """Listens from its construction until `close`."""

    def __init__(self, settings: Settings) -> None:
        """Raises: ConfigurationError, if it cannot listen there or another server does."""
        server = settings.server
        if server.uds:
            self._file: Path | None = settings.path(server.uds)
            self.socket = _unix_socket(self._file)
            self._file_id = _file_id(self._file)
            self.name = f"unix socket {self._file}"
            self.address = str(self._file.absolute())
        else:
            self._file = None
            self.socket = _tcp_socket(server.host, server.port)
            host = f"[{server.host}]" if ":" in server.host else server.host
            self.name = f"http://{host}:{self.socket.getsockname()[1]}"
            self.address = _reachable_at(*self.socket.getsockname()[:2])

    def close(self) -> None:
        """Idempotent. Connections are refused when the workers have closed their copies too.

        The file is removed, unless another server has replaced it.
        """
        self.socket.close()
        file, self._file = self._file, None
        if file is not None and _file_id(file) == self._file_id:
            file.unlink(missing_ok=True)


def _reachable_at(host: str, port: int) -> str:
    """Where a program of this machine reaches a server that listens there."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _tcp_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only if the socket's protocol is IPPROTO_TCP, not 0.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        why = str(error.strerror)
        if error.errno == errno.EADDRINUSE:
            why += "; stop the program that listens there, or choose another port (--port)"
        raise ConfigurationError(f"server.port: cannot listen on {host}:{port}: {why}") from None
    return listener


def _unix_socket(file: Path) -> socket.socket:
    if not file.parent.is_dir():
        raise ConfigurationError(f"server.uds: no folder {file.parent}")
    _remove_leftover(file)
    listener = socket.socket(socket.AF_UNIX)
    umask = os.umask(_UMASK)
    try:
        listener.bind(str(file))
        listener.listen(_BACKLOG)
    except OSError as error:  # also a path of more than 107 bytes
        listener.close()
        raise ConfigurationError(f"server.uds: cannot listen on {file}: {error}") from None
    finally:
        os.umask(umask)
    return listener


def _remove_leftover(file: Path) -> None:
    """Removes the file of a server that was killed.

    Raises: ConfigurationError, if a server listens on it, or if it is no socket.
    """
    try:
        if not stat.S_ISSOCK(file.stat(follow_symlinks=False).st_mode):
            raise ConfigurationError(f"server.uds: {file} is there and is no socket")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)  # a full queue means a busy server: BlockingIOError below
            probe.connect(str(file))
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        file.unlink(missing_ok=True)
        return
    except BlockingIOError:
        pass
    except OSError as error:
        raise ConfigurationError(f"server.uds: {file}: {error.strerror or error}") from None
    raise ConfigurationError(f"server.uds: another server listens on {file}")


def _file_id(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat(follow_symlinks=False)
    except OSError:
        return None
    return status.st_dev, status.st_ino
