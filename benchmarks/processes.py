"""Servers as subprocesses on free ports, which end with the block that started them."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.cores import pinned_to

HOST = "127.0.0.1"
_START_DEADLINE_S = 30.0
_STOP_DEADLINE_S = 10.0
_POLL_S = 0.02
_LOG_TAIL_CHARACTERS = 2000
_CHECKOUT = Path(__file__).parents[1]


class ServerFailed(Exception):
    """A server that did not start, or ended by itself."""


@dataclass(frozen=True, slots=True)
class Command:
    """How a server is started."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Running:
    """A server that accepts connections."""

    pid: int
    port: int
    behind: tuple["Running", ...] = ()
    """Servers that it asks, part of what is measured."""


def uvicorn_command(factory: str, port: int, environment: Mapping[str, str]) -> Command:
    """An ASGI application under the options that `gateway serve` gives uvicorn."""
    return Command(
        (
            *(sys.executable, "-m", "uvicorn", "--factory", factory),
            *("--host", HOST, "--port", str(port), "--log-level", "warning"),
            *("--loop", "uvloop", "--http", "httptools"),
            *("--no-access-log", "--no-proxy-headers", "--no-server-header"),
        ),
        environment,
    )


def gateway_command(
    environment: Mapping[str, str], port: int, *options: str, config: Path | None = None
) -> Command:
    """`gateway serve`; the site is that of `config`, or of the working directory."""
    site = ("--config", str(config.absolute())) if config else ()
    served = ("serve", "--host", HOST, "--port", str(port), *options)
    return Command((sys.executable, "-m", "gateway", *site, *served), environment)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    command: Command, port: int, *, core: int | Sequence[int], folder: Path
) -> Iterator[Running]:
    """The server, pinned to `core`, with `folder` as its working directory and for its log.

    Raises: ServerFailed, with the end of its log.
    """
    log = folder / f"server-{port}.log"
    with log.open("wb") as output, pinned_to(*([core] if isinstance(core, int) else core)):
        process = subprocess.Popen(  # noqa: S603 (commands of our own)
            command.arguments,
            env={**inherited_environment(), **command.environment},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_it_listens(process, port, log)
        yield Running(process.pid, port)
    finally:
        _end(process)


def inherited_environment() -> dict[str, str]:
    """This process's, less the gateway's settings, plus the checkout: the folder is elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY")}
    path = os.environ.get("PYTHONPATH")
    kept["PYTHONPATH"] = os.pathsep.join([str(_CHECKOUT), *([path] if path else [])])
    return kept


def _wait_until_it_listens(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_DEADLINE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(_POLL_S)
        else:
            return
    tail = log.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:]
    raise ServerFailed(f"{' '.join(map(str, process.args))}\n{tail}")  # type: ignore[arg-type]


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(_STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
