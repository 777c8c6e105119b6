"""Starts a real nginx in front of a running gateway, on a free port."""

import grp
import os
import pwd
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import free_port
from tests.support.server import Server
from tests.support.waiting import eventually

_CONFIG = """
daemon off;
user {user} {group};
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {content}
}}
"""
DEBIAN_HTTP = """
    sendfile on;
    tcp_nopush on;
    types_hash_max_size 2048;
    types { text/html html; application/javascript js; }
    default_type application/octet-stream;
    ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;
    ssl_prefer_server_ciphers on;
    gzip on;
"""
"""What Debian's nginx.conf says for all servers, before it includes conf.d/*.conf."""
_SERVER = "access_log off; server {{ listen 127.0.0.1:{port}; {locations} }}"


@contextmanager
def nginx_before(
    server: Server,
    nginx: str,
    folder: Path,
    locations: str,
    upstreams: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """A `Server` whose port is nginx's; `locations` goes into its one server block."""
    port = free_port()
    blocks = "\n".join(
        f"upstream {name} {{ {lines} }}" for name, lines in (upstreams or {}).items()
    )
    content = blocks + _SERVER.format(port=port, locations=locations)
    with nginx_with(nginx, folder, content, port) as process:
        yield Server(process, port, server.output)


@contextmanager
def nginx_with(
    nginx: str, folder: Path, content: str, port: int
) -> "Iterator[subprocess.Popen[str]]":
    """`content` goes into the block http; it has a server on `port`."""
    folder.mkdir(parents=True)
    config = folder / "nginx.conf"
    # Another user could not read pytest's folders, which are private.
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    config.write_text(_CONFIG.format(folder=folder, content=content, user=user, group=group))
    process = subprocess.Popen([nginx, "-c", str(config), "-p", str(folder)], text=True)
    try:
        wait_until_listening(port, process)
        yield process
    finally:
        process.terminate()
        process.wait(10)


def wait_until_listening(port: int, process: "subprocess.Popen[str]") -> None:
    def is_listening() -> bool:
        assert process.poll() is None, f"the proxy for port {port} has ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    eventually(is_listening, bool)
