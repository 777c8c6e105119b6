"""Commands find the running gateway of their site, and tell nobody else the admin token."""

import http.server
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import Result

from gateway.disk.cache_folder import CacheFolder
from gateway.disk.running import RunningRecord, new_record, read_records, write_record
from gateway.identity.proof import CHALLENGE_FIELD
from gateway.processes.presence import Presence
from tests.support.commands import line_of, run
from tests.support.server import Server, serving, serving_on_socket
from tests.support.site import Site
from tests.support.waiting import eventually

TOKEN = "an-admin-token-that-is-long-enough-to-be-good"
NOBODY = "no gateway of this site answers"


def environment(site: Site, token: str = TOKEN) -> dict[str, str]:
    return {**site.environment, "GATEWAY__ADMIN__TOKEN": token}


def records(site: Site) -> list[RunningRecord]:
    return read_records(CacheFolder(site.plugins / "cache"))


def cache_show(site: Site, token: str = TOKEN) -> Result:
    return run(environment(site, token), "cache", "show", "--json")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


class Stranger:
    """A server at an address where a gateway was. It writes down what it is sent."""

    def __init__(self, answer: dict[str, object], relay_to: Server | None = None) -> None:
        self.heads: list[str] = []
        self._answer = answer
        self._relay_to = relay_to

    @contextmanager
    def listening(self) -> Iterator[int]:
        stranger = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                stranger.heads.append(f"{self.path} {self.headers}")
                content = json.dumps(stranger.answer_to(self.headers.get(CHALLENGE_FIELD, "")))
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content.encode())

            def log_message(self, *_: object) -> None:
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield server.server_address[1]
            server.shutdown()

    def answer_to(self, challenge: str) -> object:
        if self._relay_to is not None:
            return self._relay_to.get("/-/live", {CHALLENGE_FIELD: challenge}).json
        return self._answer


# Who is found


def test_a_gateway_is_found_wherever_it_listens(site: Site, tmp_path: Path) -> None:
    with serving(environment(site)):
        assert "caches" in json.loads(cache_show(site).stdout)
    with serving(environment(site), "--host", "0.0.0.0"):
        assert cache_show(site).exit_code == 0
    with serving_on_socket(environment(site), tmp_path / "gateway.sock", "--workers", "2"):
        assert cache_show(site).exit_code == 0
    assert NOBODY in line_of(cache_show(site))


def test_its_address_is_there_while_it_runs_for_its_user_alone(site: Site) -> None:
    with serving(environment(site)) as gateway:
        (record,) = records(site)
        assert (record.address, record.pid) == (f"127.0.0.1:{gateway.port}", gateway.process.pid)
        (file,) = (site.plugins / "cache" / "running").iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
        gateway.process.send_signal(signal.SIGHUP)
        eventually(lambda: "all workers are replaced" in "".join(gateway.output), bool)
        assert cache_show(site).exit_code == 0
        assert gateway.stop() == 0
    assert records(site) == []


def test_the_gateway_of_another_site_is_not_found(site: Site, tmp_path: Path) -> None:
    other = Site(tmp_path / "other")
    with serving(environment(other)):
        assert NOBODY in line_of(cache_show(site))


def test_a_file_of_a_killed_gateway_finds_nobody(site: Site) -> None:
    with serving(environment(site)) as gateway:
        gateway.process.kill()
        gateway.process.wait()
        assert len(records(site)) == 1
    eventually(lambda: NOBODY in cache_show(site).output, bool)


# Who is told the token


@pytest.mark.parametrize("proof", [None, "0" * 64, "é", 7, "earlier"])
def test_a_stranger_at_a_gateways_address_is_not_told_the_token(site: Site, proof: object) -> None:
    with serving(environment(site)) as gateway:
        (record,) = records(site)
        if proof == "earlier":
            proof = gateway.get("/-/live", {CHALLENGE_FIELD: "ab" * 32}).json["proof"]
    stranger = Stranger({"status": "alive", "proof": proof})
    with stranger.listening() as port:
        leave(site, RunningRecord(record.machine, record.pid, f"127.0.0.1:{port}", record.secret))
        assert NOBODY in line_of(cache_show(site))
    assert [head.split()[0] for head in stranger.heads] == ["/-/live"]
    assert TOKEN not in "".join(stranger.heads)
    assert record.secret not in "".join(stranger.heads)


def test_a_stranger_who_passes_the_challenge_on_is_not_told_the_token(site: Site) -> None:
    with serving(environment(site)) as gateway:
        (record,) = records(site)
        stranger = Stranger({}, relay_to=gateway)
        with stranger.listening() as port:
            (site.plugins / "cache" / "running").rename(site.folder / "away")
            leave(site, RunningRecord(record.machine, 1, f"127.0.0.1:{port}", record.secret))
            assert NOBODY in line_of(cache_show(site))
    assert stranger.heads
    assert TOKEN not in "".join(stranger.heads)


def test_a_gateway_with_another_token_is_not_told_ours(site: Site) -> None:
    with serving(environment(site)):
        assert NOBODY in line_of(cache_show(site, "another-token-of-another-configuration"))


def test_a_gateway_answers_nothing_but_a_challenge(site: Site) -> None:
    with serving(environment(site)) as gateway:
        for challenge in ("", "x", "AB" * 32, "ab" * 33):
            answer = gateway.get("/-/live", {CHALLENGE_FIELD: challenge})
            assert answer.json == {"status": "alive"}
        first, second = (
            gateway.get("/-/live", {CHALLENGE_FIELD: text * 32}).json["proof"]
            for text in ("ab", "cd")
        )
        assert first != second


def leave(site: Site, record: RunningRecord) -> Path:
    return write_record(CacheFolder(site.plugins / "cache"), record)


# The files


def test_what_is_no_record_is_passed_over(site: Site) -> None:
    folder = site.plugins / "cache" / "running"
    folder.mkdir()
    good = leave(site, new_record("127.0.0.1:1"))
    for name, text in {"a": "", "b": "[]", "c": '{"machine": 1}', "d": "x" * 9000}.items():
        (folder / f"{name}.json").write_text(text)
    (folder / "link.json").symlink_to(good)
    (folder / "folder.json").mkdir()
    os.mkfifo(folder / "fifo.json")
    assert [record.address for record in records(site)] == ["127.0.0.1:1"]
    leave(site, RunningRecord("another-host", 1, "127.0.0.1:2", "secret"))
    assert len(records(site)) == 1
    leave(site, RunningRecord(records(site)[0].machine, 1, "no address", "secret"))
    assert NOBODY in line_of(cache_show(site))


def test_a_gateway_replaces_the_file_of_a_killed_one_at_its_address(site: Site) -> None:
    for _ in range(3):
        leave(site, new_record("127.0.0.1:1"))
    assert len(records(site)) == 1


def test_a_file_that_is_deleted_comes_back_at_sighup(site: Site) -> None:
    with serving(environment(site)) as gateway:
        (site.plugins / "cache" / "running").rename(site.folder / "away")
        assert NOBODY in line_of(cache_show(site))
        gateway.process.send_signal(signal.SIGHUP)
        eventually(lambda: cache_show(site).exit_code, lambda code: code == 0)
        assert gateway.stop() == 0
    assert records(site) == []


def test_a_cache_folder_that_cannot_be_written_costs_one_line(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    (site.plugins / "cache" / "running").write_text("in the way")
    presence = Presence(site.plugins, "127.0.0.1:1")
    presence.show()
    presence.remove()
    (line,) = caplog.messages
    assert line.startswith("commands cannot find this gateway: ")


# proxy-config


def upstream_in(result: Result) -> str:
    return result.stdout.partition("upstream plugin_gateway {")[2].split(";")[0].split()[1]


def test_proxy_config_finds_the_running_gateway(site: Site) -> None:
    with serving(environment(site)) as gateway:
        address = f"127.0.0.1:{gateway.port}"
        found = run(environment(site), "proxy-config", "nginx")
        assert upstream_in(found) == address
        assert found.stderr == f"Note: the gateway runs at {address}, not at 127.0.0.1:8000\n"
        named = run(environment(site), "proxy-config", "nginx", "--port", "8010")
        assert (upstream_in(named), named.stderr) == ("127.0.0.1:8010", "")
        same = {**environment(site), "GATEWAY__SERVER__PORT": str(gateway.port)}
        assert run(same, "proxy-config", "nginx").stderr == ""
        with serving(environment(site)):
            several = run(environment(site), "proxy-config", "nginx")
            assert upstream_in(several) == "127.0.0.1:8000"
            assert "--upstream" in several.stderr
    nobody = run(environment(site), "proxy-config", "nginx")
    assert (upstream_in(nobody), nobody.stderr) == ("127.0.0.1:8000", "")
