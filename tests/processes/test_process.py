"""The server as a process: how it starts, refuses to, tells its health, is mounted, and ends."""

import asyncio
import http.client
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway import create_app, load_settings
from tests.support.commands import refuse_to_serve
from tests.support.mounted import URL_PREFIX, serving_mounted
from tests.support.server import STOP_DEADLINE_S, Answer, Server, run_cli, serving, the_line_of
from tests.support.site import ADA, BEN, SECRET, Site, bearer, populated
from tests.support.urls import (
    ENTRY,
    MANIFEST,
    SIGNED_ENVIRONMENT,
    capability,
    own,
    public,
    signed,
)
from tests.support.waiting import eventually
from tests.support.workers import started

pytestmark = pytest.mark.slow

ENDED_BY_SIGTERM = (0, -signal.SIGTERM)
"""Of a server that is not ours: uvicorn raises the signal again."""


# What stops the start


class Start(NamedTuple):
    """A start that must fail; in its texts, `{folder}` and `{port}` (a busy one) stand open."""

    named: tuple[str, ...]
    """What the one line must name."""
    settings: dict[str, str] = {}  # noqa: RUF012 (never changed)
    config: str | None = None
    """Content of a configuration file."""
    arguments: tuple[str, ...] = ("--port", "0")


def _database(name: str) -> dict[str, str]:
    return {"GATEWAY__DATABASE__URL": f"sqlite:///{{folder}}/{name}"}


STARTS: dict[str, Start] = {
    "no database": Start(("database.url", "missing.db"), _database("missing.db")),
    "a folder for a database": Start(("database.url",), _database("")),
    "a text for a database": Start(("database.url", "text.db"), _database("text.db")),
    "an empty database": Start(("database.url", "'plugin'"), _database("empty.db")),
    "no table plugin": Start(("database.url", "'plugin'"), _database("no-plugin.db")),
    "no table module": Start(("database.url", "'module'"), _database("no-module.db")),
    "no column version": Start(("plugin", "version"), _database("no-version.db")),
    "no column name": Start(("module", "name"), _database("no-name.db")),
    "another kind of database": Start(
        ("database.url", "sqlite:///"), {"GATEWAY__DATABASE__URL": "mysql://localhost/x"}
    ),
    "a database that nobody serves": Start(
        ("database.url",), {"GATEWAY__DATABASE__URL": "postgresql://me:pass-word@127.0.0.1:1/x"}
    ),
    "no storage": Start(
        ("storage.root", "nowhere"), {"GATEWAY__STORAGE__ROOT": "{folder}/nowhere"}
    ),
    "a file for storage": Start(("storage.root",), {"GATEWAY__STORAGE__ROOT": "{folder}/a-file"}),
    "an unknown key": Start(("server.prot", "server.port"), config="[server]\nprot = 1"),
    "an unknown section": Start(("sever",), config="[sever]\nport = 1"),
    "a wrong type": Start(("server.workers", "many"), config='[server]\nworkers = "many"'),
    "a number for a list": Start(("http.cors_origins",), config="[http]\ncors_origins = 1"),
    "a section for a key": Start(("server.workers",), config="[server.workers]\nx = 1"),
    "a key for a section": Start(("server",), config="server = 1"),
    "broken TOML": Start(("TOML", ".toml"), config="[server"),
    "an unknown variable": Start(("GATEWAY__SERVER__PROT",), {"GATEWAY__SERVER__PROT": "1"}),
    "a variable of a wrong type": Start(
        ("GATEWAY__SERVER__WORKERS", "many"), {"GATEWAY__SERVER__WORKERS": "many"}
    ),
    "a variable out of bounds": Start(
        ("cache.versions.ttl",), {"GATEWAY__CACHE__VERSIONS__TTL": "-1"}
    ),
    "a busy port": Start(("server.port", "{port}"), arguments=("--port", "{port}")),
    "a host that is none": Start(
        ("host.invalid",), arguments=("--port", "8123", "--host", "host.invalid")
    ),
}


@pytest.fixture(scope="module")
def bad_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the table's paths lead to."""
    folder = tmp_path_factory.mktemp("bad")
    plugin = "CREATE TABLE plugin (id, plugin_slug, version, enabled, user_id);"
    module = "CREATE TABLE module (id, plugin_id, name);"
    for name, script in {
        "no-module.db": plugin,
        "no-plugin.db": module,
        "no-version.db": plugin.replace("version, ", "") + module,
        "no-name.db": plugin + module.replace(", name", ""),
    }.items():
        with closing(sqlite3.connect(folder / name)) as connection:
            connection.executescript(script)
    (folder / "text.db").write_text("This is no database, only a text. " * 100)
    (folder / "empty.db").touch()
    (folder / "a-file").touch()
    return folder


@pytest.fixture(scope="module")
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def filled(text: str, folder: Path, port: int) -> str:
    return text.replace("{folder}", str(folder)).replace("{port}", str(port))


@pytest.mark.parametrize("name", STARTS)
def test_what_is_wrong_stops_the_start_with_one_line_that_names_it(
    site: Site, bad_folder: Path, busy_port: int, name: str
) -> None:
    case = STARTS[name]
    settings = {key: filled(text, bad_folder, busy_port) for key, text in case.settings.items()}
    before: tuple[str, ...] = ()
    if case.config is not None:
        config_file = bad_folder / "wrong.toml"
        config_file.write_text(case.config)
        before = ("--config", str(config_file))
    arguments = [filled(text, bad_folder, busy_port) for text in case.arguments]
    line = refuse_to_serve({**site.environment, **settings}, *before, "serve", *arguments)
    for text in case.named:
        assert filled(text, bad_folder, busy_port).lower() in line.lower()
    assert SECRET not in line
    assert "pass-word" not in line
    # Nothing was made on the way to the refusal.
    assert not (bad_folder / "missing.db").exists()
    assert (bad_folder / "empty.db").stat().st_size == 0
    assert not (bad_folder / "nowhere").exists()


@pytest.mark.parametrize("name", ["no database", "a text for a database", "a busy port"])
def test_a_process_that_refuses_says_one_line_and_ends(
    site: Site, bad_folder: Path, busy_port: int, name: str
) -> None:
    case = STARTS[name]
    settings = {key: filled(text, bad_folder, busy_port) for key, text in case.settings.items()}
    arguments = [filled(text, bad_folder, busy_port) for text in case.arguments]
    result = run_cli({**site.environment, **settings}, "serve", *arguments)
    assert case.named[0] in the_line_of(result)


def test_a_socket_that_cannot_be_made_is_one_line_too(site: Site, bad_folder: Path) -> None:
    for path in (bad_folder / "no" / "gateway.sock", bad_folder / "a-file"):
        result = run_cli(site.environment, "serve", "--uds", str(path))
        assert "server.uds" in the_line_of(result)
    assert (bad_folder / "a-file").is_file()


def test_the_database_is_never_written(site: Site) -> None:
    before = site.database.read_bytes()
    with serving(site.environment) as running:
        for url in (MANIFEST, own("Review"), "/-/ready"):
            running.get(url, bearer(ADA))
    assert site.database.read_bytes() == before


# The end


@contextmanager
def ends_promptly(site: Site, **settings: str) -> Iterator[Server]:
    """A server that gets SIGTERM when the block ends, and must then end by itself.

    It has half of the default drain_timeout, so nobody waits for the whole of it.
    """
    environment = {f"GATEWAY__SERVER__{name.upper()}": text for name, text in settings.items()}
    with serving({**site.environment, **environment}) as running:
        yield running
        assert running.stop() == 0


def assert_nothing_to_complain_of(running: Server) -> None:
    """The process has ended; ResourceWarnings are errors in it, and would be told."""
    said = "".join(running.output)
    assert "Traceback" not in said
    assert "Warning" not in said


def test_sigterm_ends_the_process_by_itself(site: Site) -> None:
    with ends_promptly(site) as running:
        assert running.get(MANIFEST, bearer(ADA)).status == 200
    assert_nothing_to_complain_of(running)


def test_sigterm_ends_a_process_that_was_never_asked_anything(site: Site) -> None:
    with ends_promptly(site) as running:
        pass
    assert_nothing_to_complain_of(running)


def test_an_open_connection_that_is_kept_alive_does_not_hold_up_the_end(site: Site) -> None:
    connection: http.client.HTTPConnection | None = None
    try:
        with ends_promptly(site) as running:
            connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
            connection.request("GET", own("Review"), headers=bearer(ADA))
            assert connection.getresponse().read()
        assert_nothing_to_complain_of(running)
    finally:
        if connection:
            connection.close()


def test_clients_that_stand_still_hold_up_the_end_no_longer_than_they_may(site: Site) -> None:
    """One has sent half a request; the other does not read what it asked for."""
    large = site.version_folder("Review", "1.0.0") / "dist/large.js"
    with large.open("wb") as file:
        file.truncate(64 * 2**20)
    connections: list[socket.socket] = []
    try:
        with ends_promptly(site, drain_timeout="1") as running:
            for path in ("", own("Review", "dist/large.js")):
                connection = socket.create_connection(("127.0.0.1", running.port), timeout=10)
                connections.append(connection)
                credential = bearer(ADA)["Authorization"]
                end = "\r\n\r\n" if path else ""
                connection.sendall(
                    f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {credential}{end}".encode()
                )
            assert connections[-1].recv(1024).startswith(b"HTTP/1.1 200 ")
    finally:
        large.unlink()
        for connection in connections:
            connection.close()


def test_a_request_that_runs_is_answered_before_the_end(site: Site) -> None:
    """It waits for the database's lock when SIGTERM comes, and gets its file all the same."""
    patient = {"GATEWAY__DATABASE__QUERY_TIMEOUT": "60"}
    with (
        serving({**site.environment, **patient}) as running,
        ThreadPoolExecutor(1) as pool,
    ):
        with site.locked():
            waiting = pool.submit(running.get, own("Review"), bearer(BEN))
            eventually(lambda: _established(running.port), lambda connections: connections > 0)
            running.process.send_signal(signal.SIGTERM)
            eventually(lambda: "".join(running.output), lambda said: "no more connections" in said)
        assert b"Review 1.0.1" in waiting.result().body
        assert running.process.wait(STOP_DEADLINE_S) == 0


def _established(port: int) -> int:
    """Connections to a local port whose request has been read (Linux's /proc/net/tcp)."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    return sum(
        local.endswith(f":{port:04X}") and state == "01" and queues.endswith(":00000000")
        for _, local, _, state, queues, *_ in fields
    )


def test_several_workers_serve_and_end_together(site: Site) -> None:
    with serving(site.environment, "--workers", "2") as running:
        started(running, 2)
        answers = [running.get(own("Review"), bearer(user)) for user in (ADA, BEN) * 5]
        assert {answer.body.split()[2] for answer in answers} == {b"1.0.0", b"1.0.1"}
        assert running.stop() == 0
        assert "Traceback" not in "".join(running.output)
        with pytest.raises(OSError, match=r"refused|reset"):
            socket.create_connection(("127.0.0.1", running.port), timeout=1).close()


def test_it_may_be_stopped_at_any_moment_after_its_start(site: Site) -> None:
    """As a short command does: what was just begun in the background is ended in order.

    A thread that fails is an error of the test run; one that stays keeps a process from ending.
    """
    settings = load_settings(environ=site.environment)

    async def live_for(turns: int) -> None:
        async with create_app(settings).running():
            for _ in range(turns):
                await asyncio.sleep(0)

    before = threading.active_count()
    for turns in (*range(30), *range(30, 300, 10)):
        asyncio.run(live_for(turns))
    eventually(threading.active_count, lambda threads: threads <= before)


# Health


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[tuple[Site, Server]]:
    """A site to disturb, and a server that forgets soon."""
    site = populated(tmp_path / "site")
    settings = {
        "GATEWAY__CACHE__VERSIONS__TTL": "0.2",
        "GATEWAY__CACHE__INSTALLATIONS__TTL": "0.2",
        "GATEWAY__CACHE__VERSIONS__STALE_IF_ERROR": "0.5",
        "GATEWAY__DATABASE__QUERY_TIMEOUT": "1",
    }
    with serving({**site.environment, **settings}) as running:
        yield site, running


def test_a_healthy_gateway_is_alive_and_ready(quick: tuple[Site, Server]) -> None:
    _, server = quick
    for url, body in (
        ("/-/live", {"status": "alive"}),
        ("/-/ready", {"status": "ready", "reasons": [], "changes": "off"}),
    ):
        answer = server.get(url)
        assert (answer.status, answer.json) == (200, body)
        assert answer.headers["cache-control"] == "no-store"
        assert server.request("HEAD", url).status == 200
        assert server.request("POST", url).status == 405


def _storage_gone(site: Site) -> Callable[[], object]:
    away = site.plugins.rename(site.folder / "away")
    return lambda: away.rename(site.plugins)


def _shared_gone(site: Site) -> Callable[[], object]:
    away = (site.plugins / "shared").rename(site.folder / "away")
    return lambda: away.rename(site.plugins / "shared")


def _database_locked(site: Site) -> Callable[[], object]:
    connection = sqlite3.connect(site.database)
    connection.execute("BEGIN EXCLUSIVE")
    return connection.close


def _table_renamed(site: Site) -> Callable[[], object]:
    site.execute("ALTER TABLE plugin RENAME TO plugin_later")
    return lambda: site.execute("ALTER TABLE plugin_later RENAME TO plugin")


@pytest.mark.parametrize(
    ("disturb", "reason"),
    [
        (_storage_gone, "storage"),
        (_shared_gone, "storage"),
        (_database_locked, "database"),
        (_table_renamed, "database"),
    ],
)
def test_a_gateway_that_lost_a_source_is_not_ready_and_says_why(
    quick: tuple[Site, Server], disturb: Callable[[Site], Callable[[], object]], reason: str
) -> None:
    site, server = quick
    restore = disturb(site)
    try:
        answer = eventually(lambda: server.get("/-/ready"), lambda answer: answer.status == 503)
        assert answer.json["status"] == "unavailable"
        (told,) = answer.json["reasons"]
        assert reason in told
        assert str(site.folder) not in told
        assert answer.headers["cache-control"] == "no-store"
        assert server.get("/-/live").status == 200
    finally:
        restore()
    eventually(lambda: server.get("/-/ready"), lambda answer: answer.status == 200)


def test_while_the_known_are_still_served_a_gateway_without_its_database_is_degraded(
    site: Site,
) -> None:
    """And ready all the same: to send them elsewhere would only make it worse."""
    settings = {
        "GATEWAY__CACHE__VERSIONS__TTL": "0.2",
        "GATEWAY__DATABASE__QUERY_TIMEOUT": "1",
    }
    with serving({**site.environment, **settings}) as running:
        assert running.get(own("Review"), bearer(ADA)).status == 200
        with site.locked():
            answer = eventually(
                lambda: running.get("/-/ready"), lambda answer: answer.json["status"] != "ready"
            )
            assert (answer.status, answer.json["status"]) == (200, "degraded")
            assert "database" in answer.json["reasons"][0]
            assert running.get(own("Review"), bearer(ADA)).status == 200
        eventually(lambda: running.get("/-/ready"), lambda answer: answer.json["status"] == "ready")


def test_ready_tells_the_truth_about_a_database_file_that_was_removed(
    quick: tuple[Site, Server],
) -> None:
    """Whether it can still be read differs between systems; that readiness agrees does not."""
    site, server = quick
    content = site.database.read_bytes()
    site.database.unlink()

    def ready_and_serving() -> tuple[bool, bool]:
        new_user = f"{time.monotonic_ns():032x}"
        asked = server.get(own("Review"), bearer(new_user)).status
        return server.get("/-/ready").json["status"] == "ready", asked != 503

    eventually(ready_and_serving, lambda pair: pair[0] == pair[1])
    site.database.write_bytes(content)
    eventually(ready_and_serving, lambda pair: pair == (True, True))


def test_a_replaced_database_file_is_what_counts(quick: tuple[Site, Server]) -> None:
    """As when a backup is put in its place: the old file must not go on answering."""
    site, server = quick
    assert b"1.0.0" in server.get(own("Review"), bearer(ADA)).body
    replacement = site.folder / "restored.db"
    replacement.write_bytes(site.database.read_bytes())
    with closing(sqlite3.connect(replacement)) as connection, connection:
        connection.execute("UPDATE plugin SET version = '1.0.1' WHERE user_id = ?", (ADA,))
    replacement.rename(site.database)
    eventually(
        lambda: server.get(own("Review"), bearer(ADA)),
        lambda answer: b"Review 1.0.1" in answer.body,
    )


# Mounted in somebody else's application


@pytest.fixture(scope="module", params=["with_running", "without_running"])
def mounted(site: Site, request: pytest.FixtureRequest) -> Iterator[Server]:
    with serving_mounted(request.param, {**site.environment, **SIGNED_ENVIRONMENT}) as running:
        # The first requests come together; where nobody started the gateway, they do.
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(_below, running, own("Review"), bearer(ADA)) for _ in range(16)]
            assert {answer.result().status for answer in asked} == {200}
        yield running
        assert running.stop() in ENDED_BY_SIGTERM
        assert "Traceback" not in "".join(running.output)


def _below(server: Server, url: str, headers: dict[str, str] | None = None) -> Answer:
    return server.get(URL_PREFIX + url, headers)


def test_mounted_every_route_answers_below_the_prefix(mounted: Server) -> None:
    for url, headers in (
        (own("Review"), bearer(ADA)),
        (own(f"{ADA}_Review"), bearer(ADA)),
        (public(f"{ADA}_Review"), {}),
        (signed(capability(ADA, "Review"), "Review"), {}),
    ):
        for _ in range(2):  # cold, then hot
            answer = _below(mounted, url, headers)
            assert (answer.status, answer.body[:18]) == (200, b"/* Review 1.0.0 */")
    assert _below(mounted, "/-/ready").json["status"] == "ready"


def test_mounted_a_manifests_location_loads(mounted: Server) -> None:
    entry = _below(mounted, MANIFEST, bearer(ADA)).json["Review"]
    answer = _below(mounted, public(entry["database_id"], entry["bundlelocation"]))
    assert (answer.status, answer.body[:18]) == (200, b"/* Review 1.0.0 */")
    assert "immutable" in answer.headers["cache-control"]


def test_mounted_the_host_keeps_its_own_routes(mounted: Server) -> None:
    assert mounted.get("/").body == b"the page of the host"
    assert mounted.get(own("Review"), bearer(ADA)).status == 404


@pytest.mark.parametrize(
    ("url", "headers", "status", "code"),
    [
        (own("Review"), {}, 401, "not_authenticated"),
        (own("Review", "page.html"), bearer(ADA), 403, "type_not_allowed"),
        (own("Review", "../../../x.js"), bearer(ADA), 404, "asset_not_found"),
        (own("Review", "%2e%2e/v1.0.1/dist/1.js"), bearer(ADA), 404, "asset_not_found"),
        (public("Review"), {}, 409, "ambiguous_version"),
        ("/nowhere", {}, 404, "not_found"),
    ],
)
def test_mounted_refusals_are_the_same(
    mounted: Server, url: str, headers: dict[str, str], status: int, code: str
) -> None:
    answer = _below(mounted, url, headers)
    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["cache-control"] == "no-store"


def test_mounted_other_spellings_of_the_prefix_reach_no_other_file(mounted: Server) -> None:
    for prefix in ("/assets/of+plugins", "/assets/../assets/of%20plugins", "/assets//of%20plugins"):
        assert mounted.get(prefix + own("Review"), bearer(ADA)).status == 404
    spelt = mounted.get("/%61ssets/of%20plugins" + own("Review"), bearer(ADA))
    assert spelt.status in (200, 404)
    assert spelt.status == 404 or b"Review 1.0.0" in spelt.body


def test_behind_a_proxy_that_strips_its_prefix(site: Site) -> None:
    """ASGI's root_path from the server, and the mount's own below it."""
    arguments = ("--root-path", "/outer")
    with serving_mounted("with_running", site.environment, *arguments) as running:
        answer = _below(running, own("Review"), bearer(ADA))
        assert (answer.status, answer.body[:18]) == (200, b"/* Review 1.0.0 */")
        missing = _below(running, own("Review", "../x.js"), bearer(ADA))
        assert (missing.status, missing.code) == (404, "asset_not_found")


def test_two_applications_in_one_process_share_nothing(
    site: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Site(tmp_path_factory.mktemp("second"))
    other.publish("Review", "1.0.0", {ENTRY: "of the second site"})
    other.give(ADA, "Review", "1.0.0")
    other_secret = "the secret of the second site, long enough"
    second = {**other.environment, "GATEWAY__IDENTITY__JWT__SECRET": other_secret}
    with serving_mounted("two_sites", site.environment, second=second) as running:
        for _ in range(2):
            first = running.get("/one" + own("Review"), bearer(ADA))
            assert (first.status, first.body[:18]) == (200, b"/* Review 1.0.0 */")
            theirs = running.get("/two" + own("Review"), bearer(ADA, secret=other_secret))
            assert (theirs.status, theirs.body) == (200, b"of the second site")
        assert running.get("/two" + own("Review"), bearer(ADA)).status == 401
        assert running.get("/one" + own("Review"), bearer(ADA, secret=other_secret)).status == 401
        assert running.get("/two" + public(f"{BEN}_Review")).status == 404
        assert running.get("/one" + public(f"{BEN}_Review")).status == 200
        assert running.stop() in ENDED_BY_SIGTERM
