"""Servers and commands as subprocesses, each on the cores that it is given."""

import asyncio
import multiprocessing
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from benchmarks.machine import CannotMeasure, pinned_to

T = TypeVar("T")

HOST = "127.0.0.1"
_START_DEADLINE_S = 30.0
_STOP_DEADLINE_S = 10.0
# For a million users the longest commands take minutes.
_COMMAND_DEADLINE_S = 900.0
_POLL_S = 0.02
_LOG_TAIL_CHARACTERS = 2000
_CHECKOUT = Path(__file__).parents[1]


class ServerFailed(CannotMeasure):
    """A server that did not start or ended by itself; a command that failed."""


@dataclass(frozen=True, slots=True)
class Command:
    """How a process is started."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


MakeCommand = Callable[[int], Command]
"""The command of a server that listens on a port."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that accepts connections."""

    pid: int
    port: int
    behind: tuple["Running", ...] = ()
    """Servers that it asks, part of what is measured."""


def uvicorn_command(
    factory: str, port: int, environment: Mapping[str, str], *options: str
) -> Command:
    """An ASGI application under the options that `gateway serve` gives uvicorn."""
    return Command(
        (
            *(sys.executable, "-m", "uvicorn", "--factory", factory),
            *("--host", HOST, "--port", str(port), "--log-level", "warning"),
            *("--loop", "uvloop", "--http", "httptools"),
            *("--no-access-log", "--no-proxy-headers", "--no-server-header"),
            *options,
        ),
        environment,
    )


@contextmanager
def running(
    make_command: MakeCommand, *, core: int | Sequence[int], folder: Path
) -> Iterator[Running]:
    """The server on a free port, pinned to `core`; `folder` is where it runs and has its log.

    It ends with the block. Raises: ServerFailed, with the end of its log.
    """
    port = free_port()
    log = folder / f"server-{port}.log"
    cores = [core] if isinstance(core, int) else core
    process = start(make_command(port), cores, log)
    try:
        _wait_until_it_listens(process, port, log)
        yield Running(process.pid, port)
    finally:
        end(process)


def start(
    command: Command, cores: Sequence[int], log: Path, *, errors_only: bool = False
) -> "subprocess.Popen[bytes]":
    """Runs the command in the folder of its log, on these cores from its first instruction on."""
    with log.open("wb") as output, pinned_to(*cores):
        return subprocess.Popen(  # noqa: S603 (commands of our own)
            command.arguments,
            env={**_inherited_environment(), **command.environment},
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if errors_only else output,
            stderr=output,
        )


def output_of(command: Command) -> str:
    """What the command prints. Raises: ServerFailed, if it fails."""
    ended = subprocess.run(  # noqa: S603 (commands of our own)
        command.arguments,
        env={**_inherited_environment(), **command.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise ServerFailed(ended.stderr)
    return ended.stdout


class Servers(ExitStack):
    """Starts servers on one core, or on others; they end with its block."""

    def __init__(self, core: int, folder: Path) -> None:
        super().__init__()
        self._core = core
        self.folder = folder

    def start(self, make_command: MakeCommand, *cores: int) -> Running:
        """Raises: ServerFailed."""
        server = running(make_command, core=cores or self._core, folder=self.folder)
        return self.enter_context(server)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a command took until its end."""

    seconds: float
    cpu_seconds: float
    memory_mib: float
    """At the most."""


def usage_of(command: Command, cores: Sequence[int], folder: Path) -> Usage:
    """Runs the command in `folder`. Raises: ServerFailed, if it fails or takes too long.

    Exit code 1 is no failure: `gateway check` has found something to say about the site.
    """
    log = folder / "command.log"
    started = time.perf_counter()
    process = start(command, cores, log, errors_only=True)
    deadline = threading.Timer(_COMMAND_DEADLINE_S, process.kill)
    deadline.start()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    deadline.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    said = log.read_text(errors="replace").strip()
    if process.returncode not in (0, 1) or "Traceback" in said:
        raise ServerFailed(said.rpartition("\n")[2] or f"exit code {process.returncode}")
    return Usage(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def free_port() -> int:
    """A port on which nobody listens, for a server that is about to start.

    It is below 32,768. Linux gives the ports from there on to connections that go out, and one of
    these could take the port before the server listens.
    """
    while True:
        port = 10_000 + secrets.randbelow(22_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("", port))
            return port


def _inherited_environment() -> dict[str, str]:
    """This process's environment without the gateway's settings, and with the checkout's path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY")}
    path = os.environ.get("PYTHONPATH")
    kept["PYTHONPATH"] = os.pathsep.join([str(_CHECKOUT), *([path] if path else [])])
    return kept


def run_in_loop(measuring: Coroutine[Any, Any, T]) -> T:
    """Runs the coroutine in the event loop that `gateway serve` has."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measuring)


def in_fresh_process(
    core: int, function: Callable[..., Coroutine[Any, Any, T]], *arguments: Any
) -> T:
    """What the coroutine function returns, run on `core` in a process of its own. Blocking.

    Its memory was not used before, and its hooks end with it. Function, arguments and result
    travel by pickle. Raises: what the function raises.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool, pinned_to(core):
        return pool.submit(_run_function, function, arguments).result()


def _run_function(function: Callable[..., Coroutine[Any, Any, T]], arguments: tuple[Any, ...]) -> T:
    return run_in_loop(function(*arguments))


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


def end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(_STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
