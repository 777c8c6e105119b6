"""`gateway check --application`: one file, two servers, and the proxy in front of both."""

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from click.testing import Result

from gateway.upkeep import asking
from tests.conftest import require_program
from tests.support.braindrive import BrainDrive, serving_braindrive
from tests.support.commands import line_of, run, words
from tests.support.proxies import DELIVERY, proxy_before
from tests.support.server import Server, serving, serving_on_socket
from tests.support.site import ADA, BEN, CLEO, Site, populated, token
from tests.support.urls import public

pytestmark = pytest.mark.slow

ADMIN_TOKEN = "an-admin-token-that-is-long-enough-to-be-good"
ORIGIN = "https://app.example"


def environment(site: Site) -> dict[str, str]:
    return {**site.environment, "GATEWAY__ADMIN__TOKEN": ADMIN_TOKEN}


@pytest.fixture(scope="module")
def running(site: Site) -> Iterator[Server]:
    """The gateway of the site, which commands find by themselves."""
    with serving(environment(site)) as server:
        yield server


@pytest.fixture
def application(site: Site, running: Server) -> Iterator[BrainDrive]:
    with serving_braindrive(site) as application:
        yield application


def check(
    site: Site, application: str, *options: str, settings: Mapping[str, str] | None = None
) -> Result:
    free_port = {"GATEWAY__SERVER__PORT": "0"}
    variables = {**free_port, **environment(site), **(settings or {})}
    return run(variables, "check", "--application", application, *options)


def test_both_answers_are_compared(site: Site, application: BrainDrive) -> None:
    result = check(site, application.url)
    assert result.exit_code == 0, result.output
    said = words(result)
    assert "dist/remoteEntry.js: both answer 200 with the same bytes" in said
    assert "both refuse a manifest without a token: 401" in said
    assert "both manifests" not in said
    assert {head.split()[0] for head in application.heads} == {"GET"}


def test_each_line_is_a_result_of_json(site: Site, application: BrainDrive) -> None:
    result = check(site, application.url, "--json")
    *lines, summary = (json.loads(line) for line in result.stdout.splitlines())
    assert [line["subject"] for line in lines].count("application") == 4
    assert summary["summary"]["errors"] == 0


def test_the_chosen_file_is_one_that_the_gateway_serves(
    site: Site, application: BrainDrive
) -> None:
    # Cleo's only row is disabled.
    assert f"/{BEN}_Review/" in words(check(site, application.url, "--user", BEN))
    without = check(site, application.url, "--user", CLEO)
    assert "warning application no file is compared" in words(without)
    assert without.exit_code == 0


def test_a_user_without_plugins_compares_nothing(site: Site, application: BrainDrive) -> None:
    said = words(check(site, application.url, "--user", "nobody"))
    assert "warning application both manifests have no plugins: nothing is compared" in said
    assert "gateway list shows who has what" in said


def test_a_file_can_be_named(site: Site, application: BrainDrive) -> None:
    (site.version_folder("Review", "1.0.0") / "dist" / "x.js.map").write_text("{}")
    path = public(f"{ADA}_Review", "dist/x.js.map")
    said = words(check(site, application.url, "--url", path))
    assert f"{path}: both answer 200" in said
    assert "it is application/json for the gateway, text/plain;charset=utf-8" in said

    refused = check(site, application.url, "--url", public(f"{ADA}_Review", "dist/no.js"))
    assert "the gateway answers 404" in words(refused)
    assert "the application 404 (File not found)" in words(refused)


def test_a_file_that_the_application_has_elsewhere_is_an_error(
    site: Site, running: Server, tmp_path: Path
) -> None:
    other = populated(tmp_path / "other")
    other.publish("Review", "1.0.0", {"dist/remoteEntry.js": "another build"})
    with serving_braindrive(other) as application:
        result = check(site, application.url, "--user", ADA, "--url", public(f"{ADA}_Review"))
    assert result.exit_code == 1
    assert "the bytes differ" in words(result)


# Tokens


def test_a_users_manifests_are_compared(
    site: Site, application: BrainDrive, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(f"Bearer {token(ADA)}\n")
    for options in (("--user", ADA), ("--token-file", str(file))):
        result = check(site, application.url, *options)
        assert result.exit_code == 0, result.output
        assert "at the same versions: Eyes 2.0.0, Review 1.0.0" in words(result)


def test_another_secret_than_the_applications_is_an_error(
    site: Site, running: Server, tmp_path: Path
) -> None:
    secret = "another-secret-of-another-application-that-is-long"
    file = tmp_path / "token"
    file.write_text(token(ADA, secret))
    with serving_braindrive(site, secret) as application:
        for options in (("--user", ADA), ("--token-file", str(file))):
            result = check(site, application.url, *options)
            assert result.exit_code == 1
            assert "expected identity.jwt.secret to be the application's SECRET_KEY" in (
                words(result)
            )


def test_plugins_without_a_json_file_are_missed(site: Site, application: BrainDrive) -> None:
    site.add_row(BEN, "Eyes", "2.0.0")
    with site.rows_restored():
        result = check(site, application.url, "--user", BEN)
        assert "the gateway's manifest lacks plugins of the application's: Eyes 2.0.0" in (
            words(result)
        )
    site.execute("DELETE FROM plugin WHERE id = ?", f"{BEN}_Eyes")


def test_nobody_is_told_the_admin_token(
    site: Site, application: BrainDrive, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(ADMIN_TOKEN)
    assert "expected the token of a user" in line_of(
        check(site, application.url, "--token-file", str(file))
    )
    check(site, application.url, "--user", ADA, "--proxy", application.url)
    assert len(application.heads) > 5
    assert ADMIN_TOKEN not in "".join(application.heads)


@pytest.mark.parametrize("content", ["", "\n", "two\nlines", "caf\xe9"])
def test_what_is_no_token_is_refused(
    site: Site, application: BrainDrive, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    line = line_of(check(site, application.url, "--token-file", str(file)))
    assert "--token-file: expected a token" in line
    assert application.heads == []


# Origins


def test_pages_of_another_origin_are_asked_for(site: Site, application: BrainDrive) -> None:
    application.origins = {ORIGIN}
    result = check(site, application.url, "--origin", ORIGIN)
    assert result.exit_code == 1
    assert f'expected "{ORIGIN}" in http.cors_origins' in words(result)


# Servers that do not answer


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """The URL of a server that sends this on each connection, and keeps it open."""
    connections = []

    def accept() -> None:
        while True:
            try:
                connections.append(listener.accept()[0])
                connections[-1].sendall(answer)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    for connection in connections:
        connection.close()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "no answer within 0 s"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nless", "no answer within 0 s"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "it does not speak HTTP/1.1 (BadStatusLine)"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200, "it does not speak HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + b"x" * 99_999, "it sent more than"),
    ],
)
def test_an_application_that_does_not_answer_is_one_error(
    site: Site, running: Server, monkeypatch: pytest.MonkeyPatch, answer: bytes, reason: str
) -> None:
    monkeypatch.setattr(asking, "_TIMEOUT_S", 0.3)
    monkeypatch.setattr(asking, "_MAX_BODY_BYTES", 20_000)
    with answering(answer) as url:
        result = check(site, url, "--gateway", f"http://127.0.0.1:{running.port}")
    assert result.exit_code == 1
    assert words(result).count("error") == 1
    assert f"error application the application at {url} does not answer: {reason}" in words(result)


def test_a_server_that_sends_a_byte_now_and_then_is_left(
    site: Site, running: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "_DEADLINE_S", 0.3)
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nless") as url:
        result = check(site, url)
    assert "does not answer: it ended the connection before the end" in words(result)


def test_nobody_at_the_address_is_one_error(site: Site, running: Server) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    result = check(site, f"http://127.0.0.1:{port}")
    assert result.exit_code == 1
    assert words(result).count("error") == 1
    assert "does not answer: Connection refused" in words(result)


def test_a_gateway_that_does_not_run_is_an_error(tmp_path: Path) -> None:
    site = populated(tmp_path / "site")
    with serving_braindrive(site) as application:
        result = check(site, application.url)
        assert application.heads == []
    assert result.exit_code == 1
    assert "error gateway no gateway of this site answers on this host" in words(result)


def test_a_site_that_cannot_serve_asks_nobody(tmp_path: Path) -> None:
    site = populated(tmp_path / "site")
    site.database.unlink()
    with serving_braindrive(site) as application:
        result = check(site, application.url)
        assert application.heads == []
    assert "warning application not asked, because of the errors" in words(result)


# Where the gateway is


def test_the_gateway_can_be_named(site: Site, application: BrainDrive, running: Server) -> None:
    gateway = f"http://127.0.0.1:{running.port}"
    assert check(site, application.url, "--gateway", gateway).exit_code == 0
    result = check(site, application.url, "--gateway", application.url)
    assert result.exit_code == 0  # nothing tells it from a gateway but what it answers


def test_a_gateway_on_a_socket_is_found_and_can_be_named(tmp_path: Path) -> None:
    site = populated(tmp_path / "site")
    path = tmp_path / "socket"
    with serving_on_socket(environment(site), path), serving_braindrive(site) as application:
        for options in ((), ("--gateway", str(path))):
            result = check(site, application.url, *options)
            assert result.exit_code == 0, result.output
            assert "both answer 200 with the same bytes" in words(result)


def test_a_gateway_is_no_application(site: Site, running: Server) -> None:
    result = check(site, f"http://127.0.0.1:{running.port}")
    assert result.exit_code == 1
    assert "a gateway answers there, not the application" in words(result)


# Options


@pytest.mark.parametrize(
    ("option", "value"),
    [("--application", "http://127.0.0.1:1/path"), ("--application", "ftp://127.0.0.1"),
     ("--application", "http://127.0.0.1:99999"), ("--application", "http://a:b@127.0.0.1"),
     ("--proxy", "127.0.0.1"), ("--url", "no/slash"), ("--url", "/a b"), ("--url", "/a\r\nX: y"),
     ("--origin", "null"), ("--origin", "/socket")],
)  # fmt: skip
def test_bad_options_are_refused_in_one_line(site: Site, option: str, value: str) -> None:
    assert f"'{option}'" in line_of(check(site, "http://127.0.0.1:1", option, value))


def test_options_of_the_comparison_need_an_application(site: Site) -> None:
    line = line_of(run(environment(site), "check", "--user", ADA))
    assert "--application" in line
    both = ("--user", ADA, "--token-file", "-")
    assert "not both" in line_of(check(site, "http://127.0.0.1:1", *both))


# The proxy


@pytest.mark.parametrize("proxy", [*(f"nginx {mode}" for mode in DELIVERY), "caddy proxy"])
def test_a_printed_proxy_gives_each_what_is_its_own(tmp_path: Path, proxy: str) -> None:
    name, mode = proxy.split()
    program = require_program(name)
    site = populated(tmp_path / "site")
    settings = {"GATEWAY__DELIVERY__MODE": DELIVERY[mode]}
    variables = {**environment(site), **settings}
    with serving(variables) as gateway, serving_braindrive(site) as application:
        options = (variables, program, name, mode)
        with proxy_before(
            gateway, *options, tmp_path / "one", "--application", application.url
        ) as front:
            asked = ("--proxy", f"http://127.0.0.1:{front.port}", "--user", ADA)
            result = check(site, application.url, *asked, settings=settings)
            assert result.exit_code == 0, result.output
            assert "both answer 200 with the same bytes" in words(result)
            assert "the application answers /api/v1/plugins/updates/available" in words(result)
        without = words(check(site, application.url, settings=settings))
        assert ("leaves the bytes to the proxy" in without) == (mode == "accel")
        with proxy_before(gateway, *options, tmp_path / "whole") as front:
            url = f"http://127.0.0.1:{front.port}"
            result = check(site, application.url, "--proxy", url, settings=settings)
            assert result.exit_code == 1
            assert "error proxy the gateway answers /api/v1/plugins/updates" in words(result)


def test_a_proxy_that_knows_no_gateway_is_an_error(site: Site, application: BrainDrive) -> None:
    result = check(site, application.url, "--proxy", application.url)
    assert result.exit_code == 1
    said = words(result)
    assert "error proxy the application answers a request for a plugin file" in said
    assert "error proxy the application answers a request for the manifest" in said
