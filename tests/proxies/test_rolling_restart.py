"""Two nodes behind a real proxy, restarted in turn as deployment.md says: no request fails."""

import http.client
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from benchmarks.processes import free_port
from tests.conftest import require_program
from tests.support.load import Client, under_load
from tests.support.nginx import nginx_with
from tests.support.proxies import caddy_with, printed
from tests.support.server import Server, serving
from tests.support.site import ADA, Site, bearer
from tests.support.upstream import Recorder, recording
from tests.support.urls import MANIFEST, own
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

DEPLOY = Path(__file__).parents[2] / "deploy"
NODES = 2
ROUNDS = 3
CONNECT_TIMEOUT_S = 0.9
"""A little less than the second for which both proxies wait for a connection."""

Front = Callable[[Site, list[int], Path], AbstractContextManager[int]]
"""Starts a proxy before the nodes on these ports; the value is the port of the proxy."""


@contextmanager
def documented_nginx(_site: Site, ports: list[int], folder: Path) -> Iterator[int]:
    block = (DEPLOY / "nginx.conf").read_text()
    for number, port in enumerate(ports, 11):
        block = block.replace(f"10.213.47.{number}:8000", f"127.0.0.1:{port}")
    assert "10.213.47" not in block
    front = free_port()
    block = block.replace("listen 80;", f"listen 127.0.0.1:{front};")
    with nginx_with(require_program("nginx"), folder, block, front):
        yield front


@contextmanager
def printed_nginx(site: Site, ports: list[int], folder: Path) -> Iterator[int]:
    front = free_port()
    config = _printed(site, "nginx", ports[0], "--listen", f"127.0.0.1:{front}", "--site")
    first, second = (f"127.0.0.1:{port}" for port in ports)
    config = re.sub(
        rf"(?m)^ *server {first}.*\n", lambda line: line[0] + line[0].replace(first, second), config
    )
    assert config.count(second) == 2
    with nginx_with(require_program("nginx"), folder, config, front):
        yield front


@contextmanager
def printed_caddy(site: Site, ports: list[int], folder: Path) -> Iterator[int]:
    front = free_port()
    printed_site = _printed(site, "caddy", ports[0], "--listen", f"127.0.0.1:{front}")
    nodes = " ".join(f"127.0.0.1:{port}" for port in ports)
    first = f"reverse_proxy 127.0.0.1:{ports[0]}"
    printed_site = printed_site.replace(first, f"reverse_proxy {nodes}")
    assert nodes in printed_site
    # Debian's Caddy 2.6.2 knows only the older name, newer ones only the newer name.
    caddy = require_program("caddy")
    version = subprocess.run([caddy, "version"], capture_output=True, text=True, check=True).stdout
    buffering = "buffer_requests" if "2.6.2" in version else "request_buffers 64KB"
    printed_site = printed_site.replace("# request_buffers 64KB", buffering)
    folder.mkdir()
    config = folder / "Caddyfile"
    config.write_text("{\n    admin off\n}\n" + printed_site)
    with caddy_with(caddy, config, front):
        yield front


def _printed(site: Site, proxy: str, port: int, *arguments: str) -> str:
    environment = {**site.environment, "GATEWAY__SERVER__PORT": str(port)}
    return printed(environment, proxy, "proxy", *arguments)


FRONTS: list[Front] = [documented_nginx, printed_nginx, printed_caddy]
each_front = pytest.mark.parametrize("front", FRONTS, ids=lambda front: front.__name__)


class Nodes:
    """Gateways that keep their ports."""

    def __init__(self, site: Site, stack: ExitStack) -> None:
        self.ports = [free_port() for _ in range(NODES)]
        self._site = site
        self._stack = stack
        self.running = [self._start(port) for port in self.ports]

    def restart(self, number: int) -> None:
        """Returns when the node is ready again."""
        assert self.running[number].stop() == 0
        self.running[number] = node = self._start(self.ports[number])
        eventually(lambda: node.get("/-/ready").status, lambda status: status == 200)

    def _start(self, port: int) -> Server:
        node = serving(self._site.environment, "--port", str(port))
        return self._stack.enter_context(node)


@each_front
def test_nodes_that_restart_in_turn_fail_no_request(
    site: Site, tmp_path: Path, front: Front
) -> None:
    """Each next node stops as soon as the last one is ready, and `drain_delay` is 0."""
    path, headers = own("Review"), bearer(ADA)
    with ExitStack() as stack:
        nodes = Nodes(site, stack)
        port = stack.enter_context(front(site, nodes.ports, tmp_path / "proxy"))
        proxy = Server(nodes.running[0].process, port, [])
        clients = [
            Client(proxy.connection, path, headers, pause_s=0.01),
            Client(proxy.connection, path, headers, keeps_alive=False, pause_s=0.01),
            Client(proxy.connection, f"{path}?", headers, pause_s=0.3),
            Client(proxy.connection, MANIFEST, headers, pause_s=0.05),
        ]
        with under_load(*clients) as load:
            for _ in range(ROUNDS):
                for number in range(NODES):
                    nodes.restart(number)
            load.goes_on()
    refused = {body: count for body, count in load.answers.items() if body.isdigit()}
    assert (load.failures, refused) == ([], {})


@contextmanager
def before_recorders(
    site: Site, front: Front, folder: Path
) -> Iterator[tuple[Callable[[str, int], int], Recorder, Recorder]]:
    """A proxy before two servers, of which the first ends its connections without an answer. The
    function sends a request with a number, and returns the status.
    """
    with (
        recording(b"") as dying,
        recording() as answering,
        front(site, [dying.port, answering.port], folder) as port,
    ):

        def ask(method: str, number: int) -> int:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as client:
                body = b"{}" if method not in ("GET", "HEAD") else None
                client.request(method, f"{own('Review')}?number={number};", body)
                return client.getresponse().status

        yield ask, dying, answering


@each_front
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_read_is_repeated_at_another_node_if_the_first_one_dies(
    site: Site, tmp_path: Path, front: Front, method: str
) -> None:
    with before_recorders(site, front, tmp_path / "proxy") as (ask, dying, answering):
        assert [ask(method, number) for number in range(8)] == [200] * 8
        assert dying.requests
        assert len(answering.requests) == 8


@each_front
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_change_that_a_node_has_received_is_sent_to_no_other(
    site: Site, tmp_path: Path, front: Front, method: str
) -> None:
    with before_recorders(site, front, tmp_path / "proxy") as (ask, dying, answering):
        statuses = [ask(method, number) for number in range(8)]
        received = [*dying.requests, *answering.requests]
        for number in range(8):
            assert sum(b"?number=%d;" % number in request for request in received) == 1
        assert statuses.count(502) == len(dying.requests) > 0
        assert statuses.count(200) == len(answering.requests) > 0


@each_front
def test_a_change_whose_connection_is_refused_goes_to_another_node(
    site: Site, tmp_path: Path, front: Front
) -> None:
    with recording() as node, front(site, [free_port(), node.port], tmp_path / "proxy") as port:
        for _ in range(8):
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as client:
                client.request("POST", own("Review"), b'{"version": "1.0.0"}')
                assert client.getresponse().status == 200
        assert len(node.requests) == 8
        assert all(request.endswith(b'{"version": "1.0.0"}') for request in node.requests)


@each_front
def test_a_node_that_is_switched_off_delays_few_requests(
    site: Site, tmp_path: Path, front: Front
) -> None:
    """Nobody answers its SYN. Every request that tries it waits for `proxy_connect_timeout`."""
    with (
        recording() as node,
        silent() as port_of_silent,
        front(site, [port_of_silent, node.port], tmp_path / "proxy") as port,
    ):
        eventually(lambda: seconds_of_a_read(port), lambda seconds: seconds > CONNECT_TIMEOUT_S)
        durations = [seconds_of_a_read(port) for _ in range(20)]
    assert sum(seconds > CONNECT_TIMEOUT_S for seconds in durations) <= 2


def seconds_of_a_read(port: int) -> float:
    began = time.monotonic()
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as client:
        client.request("GET", own("Review"))
        assert client.getresponse().status == 200
    return time.monotonic() - began


@contextmanager
def silent() -> Iterator[int]:
    """A port on which nobody answers: the queue of its listener is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])
