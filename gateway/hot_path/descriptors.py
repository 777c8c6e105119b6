"""How many files and connections the operating system allows this process."""

import contextlib
import sys

if sys.platform != "win32":
    import resource

# For the database, files that are being sent, logs and the event loop's own.
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
