"""The printed systemd unit: valid, and with access to what serving writes, and to no more."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from gateway.cli import load_command
from tests.conftest import require_program
from tests.support.accounts import module, publish
from tests.support.commands import line_of, run
from tests.support.sandbox import as_the_unit, read_unit
from tests.support.server import Server, serving
from tests.support.site import ADA, USERS_CHANGE, Site, bearer, contents, populated
from tests.support.urls import API, ENTRY_URL, MANIFEST, public
from tests.support.waiting import eventually

Unit = Mapping[str, list[str]]
MODES = {"off": {}, "users": USERS_CHANGE}


def printed(site: Site, settings: Mapping[str, str] = {}, *options: str) -> str:
    result = run({**site.environment, **settings}, "service-unit", *options)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def unit_of(site: Site, settings: Mapping[str, str] = {}, *options: str) -> Unit:
    return read_unit(printed(site, settings, *options))


def paths(unit: Unit, key: str = "ReadWritePaths") -> set[Path]:
    return {Path(path) for value in unit.get(key, []) for path in value.split()}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return populated(tmp_path / "site")


# What it may write


def test_serving_alone_writes_to_the_cache_folder(site: Site) -> None:
    unit = unit_of(site)
    assert paths(unit) == {site.plugins / "cache"}
    assert paths(unit, "ReadOnlyPaths") == set()


def test_changes_write_files_of_users_the_audit_log_and_the_database(site: Site) -> None:
    unit = unit_of(site, USERS_CHANGE)
    folders = {site.plugins / name for name in ("cache", "users", "audit")}
    assert paths(unit) == {*folders, site.folder}
    # shared/ is below the folder of the database.
    assert site.plugins in paths(unit, "ReadOnlyPaths")


def test_a_configuration_beside_the_database_stays_read_only(site: Site) -> None:
    config = site.folder / "config.toml"
    config.write_text('database.url = "sqlite:///braindrive.db"\naccess.changes = "users"\n')
    result = run({}, "--config", str(config), "service-unit")
    unit = read_unit(result.stdout)
    assert {config, site.plugins} <= paths(unit, "ReadOnlyPaths")
    assert unit["WorkingDirectory"] == [str(site.folder)]
    assert f"--config {config} serve" in unit["ExecStart"][0]


def test_postgresql_needs_no_folder(site: Site) -> None:
    settings = {**USERS_CHANGE, "GATEWAY__DATABASE__URL": "postgresql://gateway:x@db/site"}
    unit = unit_of(site, settings)
    assert paths(unit) == {site.plugins / name for name in ("cache", "users", "audit")}
    assert unit["After"] == ["network-online.target postgresql.service"]
    assert "postgresql.service" not in unit_of(site)["After"][0]


def test_missing_folders_are_made_for_the_user_before_they_are_mounted(site: Site) -> None:
    unit = unit_of(site, USERS_CHANGE, "--user", "web", "--group", "www")
    commands = unit["ExecStartPre"]
    assert len(commands) == 3
    for command, (name, mode) in zip(
        commands, [("cache", 755), ("users", 755), ("audit", 700)], strict=True
    ):
        path = site.plugins / name
        made = f"test -d {path} || /usr/bin/install -d -m {mode} -o web -g www {path}"
        assert command == f"+/bin/sh -c '{made}'"


def test_the_commands_that_make_folders_do_so(site: Site) -> None:
    (site.plugins / "cache").rmdir()
    user, group = os.getuid(), os.getgid()
    unit = unit_of(site, {}, "--user", str(user), "--group", str(group))
    shell = unit["ExecStartPre"][0].removeprefix("+")
    for _ in range(2):
        subprocess.run(shell, shell=True, check=True)
        assert (site.plugins / "cache").is_dir()


# Where it listens


def test_a_socket_in_run_gets_a_folder_from_systemd(site: Site) -> None:
    unit = unit_of(site, {}, "--uds", "/run/gateway/gateway.sock", "--workers", "4")
    assert unit["RuntimeDirectory"] == ["gateway"]
    assert unit["ExecStart"][0].endswith(" serve --uds /run/gateway/gateway.sock --workers 4")
    assert paths(unit) == {site.plugins / "cache"}


def test_a_socket_elsewhere_needs_its_folder(site: Site) -> None:
    socket = site.folder / "sockets" / "gateway.sock"
    unit = unit_of(site, {"GATEWAY__SERVER__UDS": str(socket)})
    assert socket.parent in paths(unit)
    assert "RuntimeDirectory" not in unit


def test_a_socket_needs_a_folder_of_its_own(site: Site) -> None:
    line = line_of(run(site.environment, "service-unit", "--uds", "/run/gateway.sock"))
    assert "expected a folder of its own" in line


def test_a_port_of_root_takes_the_right_to_it(site: Site) -> None:
    assert unit_of(site, {}, "--port", "80")["AmbientCapabilities"] == ["CAP_NET_BIND_SERVICE"]
    ordinary = unit_of(site)
    assert "AmbientCapabilities" not in ordinary
    assert ordinary["CapabilityBoundingSet"] == [""]


def test_there_is_time_to_end(site: Site) -> None:
    settings = {"GATEWAY__SERVER__DRAIN_DELAY": "7.5", "GATEWAY__SERVER__DRAIN_TIMEOUT": "60"}
    assert int(unit_of(site, settings)["TimeoutStopSec"][0]) > 67.5


# What hides folders


@pytest.mark.parametrize(
    ("root", "home", "temporary"),
    [("/srv/site/plugins", "yes", "yes"),
     ("/home/ada/BrainDrive-Core/backend/plugins", "read-only", "yes"),
     ("/root/site/plugins", "read-only", "yes"),
     ("/tmp/site/plugins", "yes", "no")],
)  # fmt: skip
def test_what_it_needs_is_not_hidden(
    root: str, home: str, temporary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    for name in ("prefix", "base_prefix"):
        monkeypatch.setattr(f"sys.{name}", "/usr")
    result = run({"GATEWAY__STORAGE__ROOT": root}, "service-unit")
    unit = read_unit(result.stdout)
    assert (unit["ProtectHome"], unit["PrivateTmp"]) == ([home], [temporary])


def test_an_interpreter_at_home_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    monkeypatch.setattr("sys.base_prefix", "/root/python")
    result = run({"GATEWAY__STORAGE__ROOT": "/srv/plugins"}, "service-unit")
    assert read_unit(result.stdout)["ProtectHome"] == ["read-only"]


# Secrets and strange names


def test_secrets_are_named_and_never_printed(site: Site) -> None:
    secret = {"GATEWAY__ADMIN__TOKEN": "the-token-that-nobody-may-see"}
    text = printed(site, secret)
    assert "nobody-may-see" not in text
    assert site.environment["GATEWAY__IDENTITY__JWT__SECRET"] not in text
    assert "GATEWAY__ADMIN__TOKEN, GATEWAY__DATABASE__URL" in text


@pytest.mark.parametrize("folder", ["a b", "50%", "$HOME", 'x"y', "x'y", "a;b", "a\nExecStart=x"])
def test_a_path_that_systemd_would_read_differently_is_refused(folder: str) -> None:
    line = line_of(run({"GATEWAY__STORAGE__ROOT": f"/srv/{folder}"}, "service-unit"))
    assert "cannot be written into a unit" in line


@pytest.mark.parametrize("option", ["--user", "--group", "--environment-file"])
def test_a_name_that_systemd_would_read_differently_is_refused(site: Site, option: str) -> None:
    line = line_of(run(site.environment, "service-unit", option, "a\nExecStart=b"))
    assert "cannot be written into a unit" in line


# With the real programs


@pytest.mark.parametrize("changes", MODES)
def test_systemd_accepts_it(site: Site, tmp_path: Path, changes: str) -> None:
    program = require_program("systemd-analyze")
    file = tmp_path / "gateway.service"
    file.write_text(printed(site, MODES[changes]))
    result = subprocess.run([program, "verify", file], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    command = [program, "security", "--offline=true", "--threshold=20", str(file)]
    exposure = subprocess.run(command, capture_output=True, text=True, check=False)
    assert exposure.returncode == 0, exposure.stdout  # 2.0 of 10


@pytest.fixture(params=MODES)
def changes(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def restricted(site: Site, changes: str) -> Iterator[Server]:
    """A server that may write what its unit allows."""
    for version in ("1.0.0", "1.0.1"):
        shutil.rmtree(site.version_folder("Review", version))
        publish(site, version, modules=[module("Board")])
    settings = MODES[changes]
    under = as_the_unit(unit_of(site, settings, "--user", "root"))
    with serving({**site.environment, **settings}, "--workers", "2", under=under) as server:
        yield server


def change(server: Server, method: str, path: str, body: bytes = b"{}") -> int:
    return server.request(method, f"{API}/plugins/{path}", bearer(ADA), body).status


CHANGES = [
    ("PUT", "Review/update", b"{}"),
    ("POST", "Review/rollback", b"{}"),
    ("PATCH", f"{ADA}_Review", b'{"enabled": false}'),
    ("PATCH", f"{ADA}_Review", b'{"enabled": true}'),
    ("DELETE", "Review/uninstall", b""),
    ("POST", "Review/install", b"{}"),
]


@pytest.mark.slow
@pytest.mark.parametrize("changes", ["users"], indirect=True)
def test_every_change_works_with_what_the_unit_may_write(restricted: Server, site: Site) -> None:
    for method, path, body in CHANGES:
        assert change(restricted, method, path, body) in (200, 201), (method, path)
    audit = (site.plugins / "audit" / "changes.jsonl").read_text()
    assert audit.count('"result": "done"') == len(CHANGES)
    assert restricted.get(ENTRY_URL, bearer(ADA)).status == 200
    assert not any("ERROR" in line or "WARNING" in line for line in restricted.output)


@pytest.mark.slow
def test_serving_works_with_what_the_unit_may_write(
    restricted: Server, site: Site, changes: str
) -> None:
    assert restricted.get(MANIFEST, bearer(ADA)).status == 200
    assert restricted.get(public(f"{ADA}_Review")).status == 200
    assert restricted.get("/-/ready").status == 200
    assert (site.plugins / "cache" / "running").is_dir()
    # What the application commits shows, though it writes where the gateway cannot.
    site.execute("UPDATE plugin SET version = '1.0.1' WHERE id = ?", f"{ADA}_Review")
    eventually(
        lambda: restricted.get(MANIFEST, bearer(ADA)).json["Review"]["version"],
        lambda version: version == "1.0.1",
    )
    assert restricted.stop() in (0, -15)
    assert not any("ERROR" in line or "WARNING" in line for line in restricted.output)


@pytest.mark.slow
def test_the_unit_gives_no_access_to_files_of_plugins(site: Site, changes: str) -> None:
    """What is read-only for the service is so for whatever it runs."""
    under = as_the_unit(unit_of(site, MODES[changes], "--user", "root"))
    before = contents(site.plugins, "shared")
    script = (
        f"echo x > {site.plugins}/shared/Review/v1.0.0/dist/remoteEntry.js;"
        f"mkdir {site.plugins}/shared/Evil; mkdir {site.plugins}/Evil; echo x > {site.plugins}/y"
    )
    subprocess.run([*under, "sh", "-c", script], capture_output=True, check=False)
    assert contents(site.plugins, "shared") == before
    assert {path.name for path in site.plugins.iterdir()} <= {
        "shared", "users", "cache", "audit"
    }  # fmt: skip
    with closing(sqlite3.connect(site.database)) as connection:
        rows = connection.execute("SELECT count(*) FROM plugin").fetchone()
    write = ("import sqlite3, sys; c = sqlite3.connect(sys.argv[1]);"
             "c.execute('DELETE FROM plugin'); c.rollback()")  # fmt: skip
    command = [*under, shutil.which("python3") or "", "-c", write, str(site.database)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (changes == "users"), done.stderr
    with closing(sqlite3.connect(site.database)) as connection:
        assert connection.execute("SELECT count(*) FROM plugin").fetchone() == rows


def test_it_takes_the_options_of_serve() -> None:
    serve, unit = (
        {option for parameter in load_command(name).params for option in parameter.opts}
        for name in ("serve", "service-unit")
    )
    assert serve - unit == {"--dev"}
