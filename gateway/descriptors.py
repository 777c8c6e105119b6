"""What the operating system allows a process and a socket."""

import asyncio
import contextlib
import struct
import sys

if sys.platform != "win32":
    import fcntl
    import resource
    import termios

# For the database, files that are being sent, logs and the loop's own.
_RESERVED = 64


def raise_limit() -> None:
    """Takes as many descriptors as the system allows: the usual soft limit of 1,024 is there for
    programs that use select(), and each client takes one.
    """
    if sys.platform != "win32":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            with contextlib.suppress(ValueError, OSError):  # macOS states more than it gives
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def most_connections() -> int:
    """Connections that fit into the limit of descriptors, with room for the rest."""
    if sys.platform == "win32":
        return sys.maxsize
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else max(soft - _RESERVED, soft // 2)


def unsent_bytes(transport: asyncio.Transport) -> int:
    """Bytes written that the client has not acknowledged, as far as the system tells.

    Linux counts those in the kernel too: a large socket buffer takes an answer at once and lets
    a slow client fetch it for minutes.
    """
    unsent = transport.get_write_buffer_size()
    connection = transport.get_extra_info("socket")
    if sys.platform == "linux" and connection is not None:
        with contextlib.suppress(OSError, ValueError):  # closed meanwhile
            queued = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
            unsent += struct.unpack("i", queued)[0]
    return unsent
