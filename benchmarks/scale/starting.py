"""How long a server takes from its start to its first answer, and a command to its end."""

import http.client
import subprocess
import sys
import time
from pathlib import Path

import click

from benchmarks.cores import pinned_to
from benchmarks.population import PopulatedSite
from benchmarks.processes import HOST, ServerFailed, free_port, inherited_environment
from gateway.cli import main as gateway_command
from gateway.upkeep.site import CONFIG_NAME

_POLL_S = 0.005
_START_DEADLINE_S = 60.0
# At a million users the longest take minutes.
COMMAND_DEADLINE_S = 900.0


def start_seconds(site: PopulatedSite, core: int) -> float:
    """Until `/-/ready` is answered by 200: the interpreter's start and all imports included.

    Raises: ServerFailed.
    """
    port = free_port()
    started = time.perf_counter()
    with pinned_to(core):
        process = _gateway(site, "serve", "--host", HOST, "--port", str(port))
    try:
        while time.perf_counter() - started < _START_DEADLINE_S:
            if process.poll() is not None:
                break
            if _is_ready(port):
                return time.perf_counter() - started
            time.sleep(_POLL_S)
        raise ServerFailed("the gateway was not ready")
    finally:
        process.terminate()
        process.communicate()


def has_command(name: str) -> bool:
    with click.Context(gateway_command) as context:
        return gateway_command.get_command(context, name) is not None


def command_seconds(site: PopulatedSite, core: int, *arguments: str) -> float:
    """Until the command has ended. Raises: ServerFailed, if it fails or takes too long."""
    started = time.perf_counter()
    with pinned_to(core):
        process = _gateway(site, *arguments)
    try:
        _, errors = process.communicate(timeout=COMMAND_DEADLINE_S)
    except subprocess.TimeoutExpired:
        raise ServerFailed(f"not done after {COMMAND_DEADLINE_S:g} s") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    # 1: the command has found something to say about the site.
    if process.returncode not in (0, 1) or b"Traceback" in errors:
        said = errors.decode(errors="replace").strip().rpartition("\n")[2]
        raise ServerFailed(said or f"exit code {process.returncode}")
    return time.perf_counter() - started


def import_seconds(core: int) -> float:
    """What the interpreter and the imports take, with no site at all."""
    started = time.perf_counter()
    with pinned_to(core):
        subprocess.run([sys.executable, "-c", "import gateway.cli"], check=True)
    return time.perf_counter() - started


def _gateway(site: PopulatedSite, *arguments: str) -> "subprocess.Popen[bytes]":
    config = str(Path(site.folder / CONFIG_NAME).absolute())
    return subprocess.Popen(  # noqa: S603 (a command of our own)
        [sys.executable, "-m", "gateway", "--config", config, *arguments],
        env={**inherited_environment(), **site.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
