"""The end of a server, and of its workers one by one: what it costs those who ask meanwhile."""

import http.client
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from tests.conftest import require_program
from tests.support.leaping import LEAP_S, leaping
from tests.support.load import Client, Connect, under_load
from tests.support.nginx import nginx_before
from tests.support.processes import children
from tests.support.scrapes import scrape
from tests.support.server import (
    STOP_DEADLINE_S,
    Server,
    UnixServer,
    clean_environment,
    run_cli,
    serving,
    serving_on_socket,
    the_line_of,
)
from tests.support.site import ADA, BEN, SECRET, Site, bearer, populated
from tests.support.urls import MANIFEST, own
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

A_LONG_DELAY = {"GATEWAY__SERVER__DRAIN_DELAY": str(LEAP_S)}
LARGE = "dist/large.js"
LARGE_BYTES = 32 * 2**20


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = populated(tmp_path_factory.mktemp("site"))
    with (site.version_folder("Review", "1.0.0") / LARGE).open("wb") as file:
        file.truncate(LARGE_BYTES)
    return site


def tell(server: Server, number: int) -> None:
    server.process.send_signal(number)


def said(server: Server) -> str:
    return "".join(server.output)


def status_of(connection: http.client.HTTPConnection, path: str = "/-/ready") -> tuple[int, str]:
    """Status, and the field Connection, of one more answer on a connection that is kept."""
    connection.request("GET", path, headers=bearer(ADA))
    response = connection.getresponse()
    response.read()
    return response.status, response.headers.get("connection", "")


# Draining


def test_a_node_that_is_to_end_says_so_first_and_serves_on(site: Site) -> None:
    with (
        serving({**site.environment, **A_LONG_DELAY}, "--workers", "2") as running,
        closing(running.connection()) as kept,
    ):
        assert status_of(kept) == (200, "")
        tell(running, signal.SIGTERM)
        eventually(  # of both workers
            lambda: {running.get("/-/ready").status for _ in range(16)}, lambda all_: all_ == {503}
        )
        with under_load(Client(running.connection, own("Review"), bearer(ADA))) as load:
            load.goes_on()
        assert load.failures == []
        assert load.closes == load.total
        assert load.answers.keys() == {b"/* Review 1.0.0 */ window.Review = {};"}
        answer = running.get("/-/ready")
        assert answer.json["status"] == "draining"
        assert answer.json["reasons"] == ["the server is about to end"]
        assert running.get("/-/live").status == 200
        # A connection from before is used once more.
        assert status_of(kept, MANIFEST) == (200, "close")
        tell(running, signal.SIGTERM)
        assert running.process.wait(STOP_DEADLINE_S) == 0


def test_after_the_delay_it_ends_by_itself(site: Site) -> None:
    with leaping({**site.environment, **A_LONG_DELAY}) as running:
        tell(running, signal.SIGTERM)
        eventually(lambda: running.get("/-/ready").status, lambda status: status == 503)
        running.leap()
        assert running.process.wait(STOP_DEADLINE_S) == 0
    assert "Traceback" not in said(running)


def test_ctrl_c_does_not_wait_for_a_load_balancer(site: Site) -> None:
    with serving({**site.environment, **A_LONG_DELAY}) as running:
        tell(running, signal.SIGINT)
        assert running.process.wait(STOP_DEADLINE_S) == 0


@contextmanager
def slow_download(server: Server) -> Iterator[http.client.HTTPResponse]:
    """Of more than the buffers of both sides take; its first bytes have come."""
    connection = server.connection()
    try:
        connection.request("GET", own("Review", LARGE), headers=bearer(ADA))
        response = connection.getresponse()
        assert response.status == 200
        assert response.read(1000) == bytes(1000)
        with response:
            yield response
    finally:
        connection.close()


def refuses_connections(server: Server) -> bool:
    try:
        server.get("/-/live")
    except OSError:
        return True
    return False


def test_a_download_that_runs_is_finished_although_nobody_else_gets_in(site: Site) -> None:
    with serving(site.environment, "--workers", "2") as running:
        with slow_download(running) as response:
            tell(running, signal.SIGTERM)
            eventually(lambda: refuses_connections(running), bool)
            assert running.process.poll() is None
            assert len(response.read()) == LARGE_BYTES - 1000
        assert running.process.wait(STOP_DEADLINE_S) == 0


def test_a_download_that_takes_too_long_is_cut_off(site: Site) -> None:
    with (
        serving({**site.environment, "GATEWAY__SERVER__DRAIN_TIMEOUT": "0.5"}) as running,
        slow_download(running) as response,
    ):
        tell(running, signal.SIGTERM)
        assert running.process.wait(STOP_DEADLINE_S) == 0
        with pytest.raises((OSError, http.client.IncompleteRead)):
            response.read()
    assert "cut off" in said(running)
    assert "Traceback" not in said(running)


def test_asked_a_second_time_it_waits_for_nobody(site: Site) -> None:
    with (
        serving({**site.environment, **A_LONG_DELAY}, "--workers", "2") as running,
        slow_download(running),
    ):
        tell(running, signal.SIGTERM)
        eventually(lambda: running.get("/-/ready").status, lambda status: status == 503)
        tell(running, signal.SIGINT)
        assert running.process.wait(STOP_DEADLINE_S) == 0
    assert "Traceback" not in said(running)


def test_signals_that_reach_all_processes_at_once_are_obeyed_once(site: Site) -> None:
    """As a terminal sends Ctrl-C, and systemd SIGTERM unless it is told otherwise."""
    with (
        serving(site.environment, "--workers", "2") as running,
        slow_download(running) as response,
    ):
        for pid in (*children(running.process.pid), running.process.pid):
            os.kill(pid, signal.SIGTERM)
        assert len(response.read()) == LARGE_BYTES - 1000
        assert running.process.wait(STOP_DEADLINE_S) == 0


# Workers that die


def test_a_worker_that_dies_is_replaced(site: Site) -> None:
    with serving(site.environment, "--workers", "2") as running:
        first, second = children(running.process.pid)
        os.kill(first, signal.SIGKILL)
        after = eventually(
            lambda: children(running.process.pid),
            lambda pids: len(pids) == 2 and first not in pids,
        )
        assert second in after
        assert f"worker {first} died" in said(running)
        assert running.get(own("Review"), bearer(ADA)).status == 200


def test_a_worker_that_stands_still_is_replaced(site: Site, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import gateway.processes.supervisor as it\nit._MOST_SILENCE_S = 3.0\n"
    )
    with serving({**site.environment, "PYTHONPATH": str(tmp_path)}) as running:
        (worker,) = children(running.process.pid)
        os.kill(worker, signal.SIGSTOP)
        eventually(
            lambda: children(running.process.pid),
            lambda pids: len(pids) == 1 and pids != [worker],
        )
        assert f"worker {worker} does not answer" in said(running)
        found = scrape(running.get)
        assert found.total("gateway_worker_restarts_total", cause="hung") == 1
        assert running.get(own("Review"), bearer(ADA)).status == 200


def test_workers_whose_supervisor_was_killed_end_by_themselves(site: Site) -> None:
    with serving(site.environment, "--workers", "2") as running:
        workers = children(running.process.pid)
        running.process.kill()
        running.process.wait()
        eventually(lambda: [pid for pid in workers if is_running(pid)], lambda alive: alive == [])
        with socket.create_server(("127.0.0.1", running.port)):
            pass  # the port is free again


def is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def failing_where(marker: Path, folder: Path) -> dict[str, str]:
    """Workers end before they serve where there is a file `marker`, which no look shows."""
    (folder / "sitecustomize.py").write_text(
        "import gateway.processes.worker as it, pathlib\n"
        "work = it.WorkerServer.startup\n"
        "async def startup(*arguments, **options):\n"
        f"    if pathlib.Path({str(marker)!r}).exists(): raise SystemExit(3)\n"
        "    await work(*arguments, **options)\n"
        "it.WorkerServer.startup = startup\n"
    )
    return {"PYTHONPATH": str(folder)}


def test_workers_that_cannot_start_end_the_server(site: Site, tmp_path: Path) -> None:
    failing = failing_where(tmp_path, tmp_path)
    result = run_cli({**site.environment, **failing}, "serve", "--port", "0")
    assert result.returncode == 3, result.stderr
    assert "did not start" in result.stderr


# SIGHUP

Serve = Callable[[Site, Path], AbstractContextManager[tuple[Server, Connect]]]


@contextmanager
def on_port(site: Site, _folder: Path) -> Iterator[tuple[Server, Connect]]:
    with serving(site.environment, "--workers", "2") as running:
        yield running, running.connection


@contextmanager
def alone(site: Site, _folder: Path) -> Iterator[tuple[Server, Connect]]:
    with serving(site.environment) as running:
        yield running, running.connection


@contextmanager
def on_socket(site: Site, folder: Path) -> Iterator[tuple[Server, Connect]]:
    with serving_on_socket(site.environment, folder / "gw.sock", "--workers", "2") as running:
        yield running, running.connection


PROXY = """
        location / {{
            proxy_pass http://gateway;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_next_upstream off;
        }}
"""


@contextmanager
def behind_nginx(site: Site, folder: Path) -> Iterator[tuple[Server, Connect]]:
    """Over the Unix socket, with connections that are kept, and without a second try."""
    nginx = require_program("nginx")
    # Not below pytest's folders: they are private, and nginx's user must get there.
    with (
        tempfile.TemporaryDirectory(prefix="gateway-") as name,
        on_socket(site, Path(name)) as (running, _),
    ):
        assert isinstance(running, UnixServer)
        Path(name).chmod(0o755)
        upstream = f"server unix:{running.path};\n        keepalive 16;"
        running.path.chmod(0o666)
        with nginx_before(
            running, nginx, folder / "nginx", PROXY.format(), {"gateway": upstream}
        ) as front:
            yield running, front.connection


@pytest.mark.parametrize("serve", [on_port, alone, on_socket, behind_nginx])
def test_replacing_all_workers_under_load_fails_no_request(
    site: Site, tmp_path: Path, serve: Serve
) -> None:
    with serve(site, tmp_path) as (running, connect):
        before = children(running.process.pid)
        path, headers = own("Review"), bearer(ADA)
        with under_load(
            Client(connect, path, headers),
            Client(connect, path, headers),
            Client(connect, path, headers, keeps_alive=False),
            Client(connect, path, headers, keeps_alive=False),
            Client(connect, path, headers, pause_s=0.3),
            Client(connect, MANIFEST, headers, keeps_alive=False, pause_s=0.05),
        ) as load:
            tell(running, signal.SIGHUP)
            eventually(lambda: said(running), lambda text: "all workers are replaced" in text)
            load.goes_on()
        assert load.failures == []
        assert all(not body.isdigit() for body in load.answers)
        eventually(
            lambda: children(running.process.pid),
            lambda after: len(after) == len(before) and not set(after) & set(before),
        )
        for complaint in ("Traceback", " died ", "does not answer", "cut off"):
            assert complaint not in said(running)


def write_config(site: Site, config: Path, more: str = "") -> None:
    config.write_text(
        f'database.url = "sqlite:///{site.database}"\nstorage.root = "{site.plugins}"\n'
        f'identity.jwt.secret = "{SECRET}"\n{more}\n'
    )


def test_new_workers_read_the_settings_anew_unless_something_is_wrong_with_them(
    site: Site, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    write_config(site, config)
    with serving({}, "--workers", "2", config=config) as running:
        before = children(running.process.pid)
        for wrong, named in (
            ("http.unpinned_max_agee = 60", "http.unpinned_max_agee"),
            ("[identity.jwt", "TOML"),
            ('identity.jwt.algorithms = ["RS256"]', "identity.jwt"),
        ):
            write_config(site, config, wrong)
            lines = len(running.output)
            tell(running, signal.SIGHUP)
            (line,) = eventually(lambda: running.output[lines:], bool)  # noqa: B023
            assert "go on" in line
            assert named in line
        assert children(running.process.pid) == before
        answer = running.get(own("Review"), bearer(ADA))
        assert answer.headers["cache-control"] == "no-cache"

        write_config(site, config, "http.unpinned_max_age = 60\nserver.workers = 1")
        tell(running, signal.SIGHUP)
        eventually(lambda: said(running), lambda text: "all workers are replaced" in text)
        for _ in range(10):
            answer = running.get(own("Review"), bearer(ADA))
            assert "max-age=60" in answer.headers["cache-control"]
        assert len(children(running.process.pid)) == 2  # the command line wins


def test_a_worker_that_replaces_a_dead_one_has_the_settings_of_its_fellows(
    site: Site, tmp_path: Path
) -> None:
    """Nobody has looked at what stands in the file since the last SIGHUP."""
    config = tmp_path / "config.toml"
    write_config(site, config)
    with serving({}, config=config) as running:
        (first,) = children(running.process.pid)
        write_config(site, config, "http.unpinned_max_age = 60")
        os.kill(first, signal.SIGKILL)
        eventually(
            lambda: children(running.process.pid), lambda pids: len(pids) == 1 and first not in pids
        )
        answer = running.get(own("Review"), bearer(ADA))
        assert answer.headers["cache-control"] == "no-cache"


def test_new_workers_that_cannot_start_leave_the_old_ones_in_place(
    site: Site, tmp_path: Path
) -> None:
    marker = tmp_path / "fail"
    failing = failing_where(marker, tmp_path)
    with serving({**site.environment, **failing}, "--workers", "2") as running:
        before = children(running.process.pid)
        marker.touch()
        tell(running, signal.SIGHUP)
        eventually(lambda: said(running), lambda text: "the old ones go on" in text)
        assert children(running.process.pid) == before
        assert running.get(own("Review"), bearer(BEN)).status == 200
        marker.unlink()
        tell(running, signal.SIGHUP)
        eventually(lambda: said(running), lambda text: "all workers are replaced" in text)


# The Unix socket


def test_the_socket_is_for_its_owner_and_group_and_goes_with_the_server(
    site: Site, tmp_path: Path
) -> None:
    path = tmp_path / "gateway.sock"
    with serving_on_socket(site.environment, path, "--workers", "2") as running:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        line = the_line_of(run_cli(site.environment, "serve", "--uds", str(path)))
        assert f"server.uds: another server listens on {path}" in line
        assert running.get(own("Review"), bearer(ADA)).status == 200
        assert running.stop() == 0
    assert not path.exists()


def test_the_file_of_a_server_that_was_killed_is_replaced(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    with serving_on_socket(site.environment, path) as killed:
        for pid in (killed.process.pid, *children(killed.process.pid)):
            os.kill(pid, signal.SIGKILL)
        killed.process.wait()
    assert path.is_socket()
    with serving_on_socket(site.environment, path) as running:
        assert running.get(own("Review"), bearer(ADA)).status == 200


def test_a_path_too_long_for_a_socket_is_one_line(site: Site, tmp_path: Path) -> None:
    path = tmp_path / ("long" * 30)
    assert "server.uds" in the_line_of(run_cli(site.environment, "serve", "--uds", str(path)))


def test_a_server_does_not_remove_the_socket_of_its_successor(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    with serving_on_socket(site.environment, path) as first:
        path.unlink()
        with serving_on_socket(site.environment, path) as second:
            assert first.stop() == 0
            assert second.get(own("Review"), bearer(ADA)).status == 200


def test_a_server_that_is_asked_to_end_while_it_starts_has_not_failed(site: Site) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve", "--port", "0"],
        env={**clean_environment(), **site.environment},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()  # of a worker that starts
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
    assert process.returncode == 0, rest
