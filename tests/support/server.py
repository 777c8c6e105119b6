"""Runs `gateway` as a subprocess, as operators do, and sends it HTTP requests."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.support.processes import children
from tests.support.site import Site
from tests.support.sockets import converse

START_DEADLINE_S = 20.0
STOP_DEADLINE_S = 15.0
"""Half of the default drain_timeout: a server that ends sooner has not waited for it."""
_STRICT = ("-W", "error::ResourceWarning")
_FREE_PORT = ("--port", "0")
_LISTENING = re.compile(
    r"running on (?:http://[^ ]*:(\d+)|unix socket )|(?:demo|dev) runs at http://[^ ]*:(\d+)"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, as received."""

    status: int
    fields: list[tuple[str, str]]
    """Names in lower case, in order, repeated ones kept."""
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.fields)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The machine word of a refusal."""
        return str(self.json["code"])


class Server:
    """A running gateway."""

    def __init__(self, process: "subprocess.Popen[str]", port: int, output: list[str]) -> None:
        self.process = process
        self.port = port
        self.output = output

    def connection(self) -> http.client.HTTPConnection:
        """A new connection, which the caller closes."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)

    def request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """Sends `path` exactly as given, on a new connection."""
        return _answer_on(self.connection(), method, path, headers, body)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.request("GET", path, headers)

    def get_from(self, address: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """`address`: the client's, one of this machine, such as 127.0.0.2."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=10, source_address=(address, 0)
        )
        return _answer_on(connection, "GET", path, headers)

    def raw(self, request: bytes) -> bytes:
        """Everything that the server sends on one connection. The request must ask to close it."""
        return converse(self.port, [request], keep_all=True)

    def stop(self) -> int:
        """SIGTERM; the exit code. Raises: subprocess.TimeoutExpired, if it does not end."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_DEADLINE_S)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(str(self._path))


class UnixServer(Server):
    """A running gateway that listens on a Unix socket."""

    def __init__(self, server: Server, path: Path) -> None:
        super().__init__(server.process, 0, server.output)
        self.path = path

    def connection(self) -> http.client.HTTPConnection:
        return UnixConnection(self.path)


@contextmanager
def serving_on_socket(
    environment: Mapping[str, str], path: Path, *arguments: str
) -> Iterator[UnixServer]:
    """`gateway serve` on a Unix socket, until the block ends."""
    command = ("-m", "gateway", "serve", "--uds", str(path), *arguments)
    with listening(environment, *command) as server:
        yield UnixServer(server, path)


@contextmanager
def serving(
    environment: Mapping[str, str],
    *arguments: str,
    command: str = "serve",
    config: Path | None = None,
    under: Sequence[str] = (),
) -> Iterator[Server]:
    """`gateway serve` on a free port, until the block ends.

    `under`: a command that starts it, such as prlimit with its options.
    """
    options = () if config is None else ("--config", str(config))
    words = ("-m", "gateway", *options, command, *_FREE_PORT, *arguments)
    with listening(environment, *words, under=under) as server:
        yield server
        if command == "dev" and server.process.poll() is None:
            server.stop()  # a kill would leave its temporary folder


def server_of(
    settings: Mapping[str, str] | None = None,
    *arguments: str,
    scope: Literal["module", "package"] = "module",
) -> Any:
    """A fixture: `gateway serve` over the fixture `site`, under these settings."""

    @pytest.fixture(scope=scope)
    def server(site: Site) -> Iterator[Server]:
        with serving({**site.environment, **(settings or {})}, *arguments) as running:
            yield running

    return server


@contextmanager
def listening(
    environment: Mapping[str, str],
    *arguments: str,
    program: Sequence[str] = (sys.executable, *_STRICT),
    under: Sequence[str] = (),
    cwd: Path | None = None,
) -> Iterator[Server]:
    """Runs `program` (by default Python), which prints its port, until the block ends."""
    process = subprocess.Popen(
        [*under, *program, *arguments],
        env={**clean_environment(), **environment, "PYTHONUNBUFFERED": "1"},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output: list[str] = []
    try:
        yield Server(process, _wait_for_port(process, output), output)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_DEADLINE_S)
        finally:
            _kill_with_workers(process)
            if process.stdout:
                process.stdout.close()


def _kill_with_workers(process: "subprocess.Popen[str]") -> None:
    """A worker that a test has paused holds the output open, and could not be waited for."""
    left = children(process.pid) if process.poll() is None else []
    process.kill()
    process.wait()
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def run_cli(
    environment: Mapping[str, str], *arguments: str, cwd: Any = None
) -> "subprocess.CompletedProcess[str]":
    """Runs `gateway …` to its end. It is killed after 30 s, and then has exit code -9."""
    command = ["timeout", "-s", "KILL", "30", sys.executable, "-m", "gateway", *arguments]
    return subprocess.run(
        command,
        env={**clean_environment(), **environment},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def the_line_of(result: "subprocess.CompletedProcess[str]") -> str:
    """The one line of a command that refused with exit code 2, without a traceback."""
    said = f"exit code {result.returncode}\n{result.stdout}\n{result.stderr}"
    assert result.returncode == 2, said
    assert result.stdout == "", said
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: "), said
    return line


def _answer_on(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: Mapping[str, str] | None,
    body: bytes = b"",
) -> Answer:
    """Closes the connection."""
    with closing(connection):
        connection.request(method, path, body or None, dict(headers or {}))
        response = connection.getresponse()
        fields = [(name.lower(), value) for name, value in response.getheaders()]
        return Answer(response.status, fields, response.read())


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY")}


def _wait_for_port(process: "subprocess.Popen[str]", output: list[str]) -> int:
    """Reads the server's lines in a thread, for as long as it runs, until it names its port."""
    is_known = threading.Event()
    ports: list[int] = []

    def read() -> None:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                output.append(line)
                if not ports and (match := _LISTENING.search(line)):
                    ports.append(int(match[1] or match[2] or 0))
                    is_known.set()
        except ValueError:  # closed at the end of the test
            pass
        is_known.set()

    threading.Thread(target=read, daemon=True).start()
    if not is_known.wait(START_DEADLINE_S) or not ports:
        raise AssertionError("the server did not start:\n" + "".join(output))
    return ports[0]
