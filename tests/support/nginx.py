"""A real nginx in front of a running gateway, on a free port."""

import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.server import Server

_CONFIG = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {upstreams}
    server {{
        listen 127.0.0.1:{port};
        {locations}
    }}
}}
"""
_START_DEADLINE_S = 10.0


@contextmanager
def nginx_before(
    server: Server,
    nginx: str,
    folder: Path,
    locations: str,
    upstreams: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """A `Server` whose port is nginx's; `locations` goes into its one server block."""
    folder.mkdir(parents=True)
    port = free_port()
    config = folder / "nginx.conf"
    blocks = "\n".join(
        f"upstream {name} {{ {lines} }}" for name, lines in (upstreams or {}).items()
    )
    config.write_text(
        _CONFIG.format(folder=folder, port=port, locations=locations, upstreams=blocks)
    )
    process = subprocess.Popen([nginx, "-c", str(config), "-p", str(folder)], text=True)
    try:
        _wait_until_listening(port, process)
        yield Server(process, port, server.output)
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_until_listening(port: int, process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + _START_DEADLINE_S
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"nginx does not listen on {port}")
