"""Measures the memory of a running server (Linux)."""

from pathlib import Path

from tests.support.server import Server
from tests.support.workers import children

MIB = 2**20


def memory_bytes(server: Server) -> int:
    """Resident memory of the supervisor and its workers."""
    return sum(_resident(pid) for pid in (server.process.pid, *children(server.process.pid)))


def _resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
