"""Starts real reverse proxies, configured by `gateway proxy-config`, in front of a gateway."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import free_port
from tests.support.commands import run
from tests.support.nginx import nginx_with, wait_until_listening
from tests.support.server import Server

DELIVERY = {"proxy": "direct", "accel": "accel", "authorize": "authorize"}
"""The `delivery.mode` that each mode of a proxy needs."""


def printed(environment: Mapping[str, str], proxy: str, mode: str, *arguments: str) -> str:
    """What `gateway proxy-config` prints, without a warning."""
    delivery = {"GATEWAY__DELIVERY__MODE": DELIVERY[mode]}
    result = run({**environment, **delivery}, "proxy-config", proxy, "--mode", mode, *arguments)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


@contextmanager
def proxy_before(
    behind: Server,
    environment: Mapping[str, str],
    program: str,
    proxy: str,
    mode: str,
    folder: Path,
    *arguments: str,
) -> Iterator[Server]:
    """A `Server` whose port is the proxy's. `arguments`: of `gateway proxy-config`."""
    port = free_port()
    upstream = ("--upstream", f"127.0.0.1:{behind.port}")
    listen = ("--listen", f"127.0.0.1:{port}", *upstream, *arguments)
    if proxy == "nginx":
        kept = ("--permissions-folder", str(folder / "permissions"))
        site = printed(environment, proxy, mode, *listen, *kept, "--site")
        with nginx_with(program, folder, site, port) as process:
            yield Server(process, port, behind.output)
    else:
        folder.mkdir()
        config = folder / "Caddyfile"
        config.write_text("{\n    admin off\n}\n" + printed(environment, proxy, mode, *listen))
        with caddy_with(program, config, port) as process:
            yield Server(process, port, behind.output)


@contextmanager
def caddy_with(program: str, config: Path, port: int) -> "Iterator[subprocess.Popen[str]]":
    state = {name: str(config.parent) for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "HOME")}
    process = subprocess.Popen(
        [program, "run", "--adapter", "caddyfile", "--config", str(config)],
        env={**os.environ, **state},
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        wait_until_listening(port, process)
        yield process
    finally:
        process.terminate()
        process.wait(10)
