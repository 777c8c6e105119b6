"""The commands as an operator types them: what they do, what they say, and their exit codes."""

import gc
import json
import os
import re
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import click
import jwt
import pytest
from click.testing import Result
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

import gateway
from benchmarks.processes import free_port
from gateway.cli import load_command, main
from gateway.settings import load_settings
from gateway.upkeep import new_site
from gateway.upkeep.new_site import default_config
from tests.conftest import require_program
from tests.support.background import in_background
from tests.support.commands import line_of, refuse_to_serve, run, words
from tests.support.privileges import open_folder, without_privileges
from tests.support.server import (
    START_DEADLINE_S,
    Server,
    run_cli,
    server_of,
    serving,
    the_line_of,
)
from tests.support.site import (
    ADA,
    BEN,
    CLEO,
    NOBODY,
    SECRET,
    USERS_CHANGE,
    Site,
    bearer,
    contents,
    populated,
    with_refusals,
)
from tests.support.terminal import terminal
from tests.support.urls import ENTRY, MANIFEST, SIGNED_ENVIRONMENT, own, pin_of

DORA = "e" * 32
"""Whose plugins are all refused."""
COMMANDS = sorted(main.commands)
TABLES = {
    "plugin": {
        "id", "plugin_slug", "name", "description", "version", "type", "plugin_type", "enabled",
        "icon", "category", "status", "official", "author", "last_updated", "compatibility",
        "downloads", "scope", "bundle_method", "bundle_location", "is_local", "long_description",
        "source_type", "source_url", "update_check_url", "last_update_check", "update_available",
        "latest_version", "installation_type", "permissions", "config_fields", "messages",
        "dependencies", "required_services_runtime", "endpoints_file", "route_prefix",
        "backend_dependencies", "created_at", "updated_at", "user_id",
    },
    "module": {
        "id", "plugin_id", "name", "display_name", "description", "icon", "category", "enabled",
        "priority", "props", "config_fields", "messages", "required_services", "dependencies",
        "layout", "tags", "created_at", "updated_at", "user_id",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return with_refusals(populated(tmp_path_factory.mktemp("site")), DORA)


server = server_of(SIGNED_ENVIRONMENT)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No configuration but what a test gives; not the checkout's."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def assert_refused(result: Result, *named: str) -> None:
    """Exit code 2 and one line that names what is wrong."""
    line = line_of(result)
    for text in named:
        assert text in line


# Help and bad input


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_has_help(command: str, option: str) -> None:
    result = run({}, command, option)
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: gateway {command}")


@pytest.mark.parametrize("command", COMMANDS)
def test_everything_has_help(command: str) -> None:
    known = load_command(command)
    assert known.help
    assert known.get_short_help_str() == main.commands[command].get_short_help_str()
    for parameter in known.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_the_help_of_all_has_every_command_in_the_order_of_use_with_its_first_sentence() -> None:
    for arguments in ((), ("--help",)):
        _, *groups = re.split(r"(?m)^(?=\S.*:$)", run({}, *arguments).output)
        assert [group.partition(":")[0] for group in groups] == [
            "Options",
            "First steps",
            "Every day",
            "For developers of plugins",
            "For operators",
        ]
        lines = [re.split("  +", line.strip()) for line in "".join(groups[1:]).splitlines()]
        listed = [line for line in lines if len(line) == 2]
        assert [name for name, _ in listed[:6]] == [
            "demo",
            "init",
            "publish",
            "install",
            "serve",
            "token",
        ]
        assert sorted(name for name, _ in listed) == COMMANDS
        assert listed == [[name, load_command(name).get_short_help_str(100)] for name, _ in listed]


def all_commands() -> Iterator[tuple[str, ...]]:
    for name in COMMANDS:
        yield (name,)
        command = load_command(name)
        if isinstance(command, click.Group):
            yield from ((name, below) for below in command.commands)


@pytest.mark.parametrize("command", list(all_commands()), ids=" ".join)
def test_the_help_of_a_command_ends_with_an_example_of_it(command: tuple[str, ...]) -> None:
    """The examples stand in docs/reference/commands.md too, whose commands are all run."""
    *_, title, example = run({}, *command, "--help").output.splitlines()
    assert title.strip() == "Example:"
    assert f"gateway {' '.join(command)} " in f"{example} "


def test_the_help_of_all_imports_no_command() -> None:
    """Shells ask for it at each completion."""
    program = "import sys; from gateway.cli import main; main(['--help'], standalone_mode=False); "
    heavy = "print({'gateway.application', 'pydantic', 'rich', 'sqlalchemy'} & {*sys.modules})"
    command = [sys.executable, "-c", program + heavy]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")


def test_a_command_collects_garbage_but_not_its_modules() -> None:
    gc.disable()
    try:
        run({}, "token", "--help")
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.enable()
        gc.unfreeze()


def test_the_version_is_the_packages() -> None:
    result = run({}, "--version")
    assert (result.exit_code, gateway.__version__ in result.output) == (0, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("unheard-of",),
        ("--unheard-of",),
        ("serve", "--unheard-of"),
        ("serve", "surplus"),
        ("serve", "--port", "many"),
        ("serve", "--port", "65536"),
        ("serve", "--port", "-1"),
        ("serve", "--workers", "0"),
        ("--config", "missing.toml", "check"),
        ("--config", ".", "check"),
        ("token",),
        ("token", "--user", "../x"),
        ("token", "--user", ""),
        ("token", "--user", ADA, "--ttl", "0"),
        ("token", "--user", ADA, "--ttl", "soon"),
        ("sign", "--user", ADA),
        ("sign", "Review"),
        ("sign", "--user", ADA, "../x"),
        ("sign", "--user", ADA, ""),
        ("sign", "--user", ADA, "Review", "--ttl", "0"),
        ("explain", "--user", ADA, "Review"),
        ("explain", "Review", ENTRY),
        ("list", "--user", "a/b"),
        ("init", "one", "two"),
    ],
    ids=" ".join,
)
def test_bad_input_is_exit_code_2(site: Site, arguments: tuple[str, ...]) -> None:
    line = line_of(run(site.environment, *arguments))
    assert re.search(r" \(gateway( [a-z-]+)* --help\)$", line), line


def test_a_mistyped_command_or_option_is_answered_with_what_was_meant(site: Site) -> None:
    assert "--prot" in line_of(run({}, "serve", "--prot", "1"))
    assert "'--port'" in line_of(run({}, "serve", "--prot", "1"))
    assert "nginx, caddy" in line_of(run({}, "proxy-config"))
    assert "Did you mean 'uninstall'?" in line_of(run({}, "remove", "Review"))
    assert "Did you mean 'serve'?" in line_of(run({}, "start"))
    assert "Did you mean 'list'?" in line_of(run({}, "lst"))
    purge = line_of(run(site.environment, "cache", "purge", "--version", "1"))
    assert "(gateway cache purge --help)" in purge


@pytest.mark.slow
def test_bad_input_of_a_real_process_is_one_line_and_no_traceback(site: Site) -> None:
    settings = {**site.environment, "GATEWAY__SERVER__PROT": "1"}
    assert "GATEWAY__SERVER__PROT" in the_line_of(run_cli(settings, "check"))


# Configuration


def test_the_configuration_is_named_or_found(
    site: Site, tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--config, else GATEWAY_CONFIG, else ./config.toml; paths in it count from its folder."""
    config = (
        f'[database]\nurl = "sqlite:///braindrive.db"\n[identity.jwt]\nsecret = "{SECRET}"\n'
        '[storage]\nroot = "plugins"\n'
    )
    config_file = site.folder / "here.toml"
    config_file.write_text(config)
    assert ADA in run({}, "--config", str(config_file), "list").output
    assert ADA in run({"GATEWAY_CONFIG": str(config_file)}, "list").output
    (site.folder / "config.toml").write_text(config)
    assert run({}, "list").exit_code == 2
    monkeypatch.chdir(site.folder)
    assert ADA in run({}, "list").output
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[nothing]\n")
    assert_refused(run({"GATEWAY_CONFIG": str(wrong)}, "list"), "nothing")
    assert ADA in run({"GATEWAY_CONFIG": str(wrong)}, "--config", str(config_file), "list").output
    assert_refused(run({"GATEWAY_CONFIG": str(elsewhere / "no.toml")}, "list"), "no.toml")


@pytest.mark.parametrize(
    "arguments",
    [("publish", "Hello"), ("install", "Hello", "--user", ADA), ("list",), ("serve",), ("check",)],
    ids=" ".join,
)
@pytest.mark.parametrize("folder", ["any", "checkout"])
def test_a_command_in_the_wrong_folder_says_so_and_makes_no_site_there(
    elsewhere: Path, folder: str, arguments: tuple[str, ...]
) -> None:
    (elsewhere / "Hello" / "dist").mkdir(parents=True)
    (elsewhere / "Hello" / "plugin.json").write_text('{"slug": "Hello", "version": "1.0.0"}')
    (elsewhere / "Hello" / "dist" / "remoteEntry.js").write_text("window.Hello = {};")
    if folder == "checkout":
        (elsewhere / "config.toml").write_bytes(default_config())
    before = contents(elsewhere)
    line = refuse_to_serve({}, *arguments)
    assert "no site here: " in line
    assert f"config.toml in {elsewhere}" in line
    assert "--config" in line
    assert "gateway init" in line
    assert contents(elsewhere) == before
    assert run({}, "lint", "Hello").exit_code == 0, "lint needs no site"


# init


def parts_of_the_site(result: Result) -> list[str]:
    """A line about each part that `init` made or kept."""
    parts, _, next_steps = result.output.partition("\n\n")
    assert "Next:\n" in next_steps
    return parts.splitlines()


def test_init_makes_a_site_that_serves(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "new"
    result = run({}, "init", str(folder))
    assert result.exit_code == 0
    assert all(line.startswith("made ") for line in parts_of_the_site(result))
    for name in ("config.toml", "gateway.db", "plugins/shared", "plugins/users", "plugins/cache"):
        assert (folder / name).exists()
    settings = {"GATEWAY__IDENTITY__JWT__SECRET": SECRET}
    config = ("--config", str(folder / "config.toml"))
    assert run(settings, *config, "check").exit_code == 0
    with serving({**settings, "GATEWAY_CONFIG": config[1]}) as running:
        assert running.get("/-/ready").status == 200
        assert running.get(MANIFEST, bearer(ADA)).json == {}


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_what_init_makes_with_secrets_in_it_is_for_its_owner_alone(
    tmp_path: Path, journal: str
) -> None:
    folder, previous = tmp_path / "site", os.umask(0)
    try:
        assert run({}, "init", str(folder)).exit_code == 0
        with closing(sqlite3.connect(folder / "gateway.db")) as connection:
            connection.execute(f"PRAGMA journal_mode = {journal}")
            connection.execute("DELETE FROM plugin")  # begins, and is not committed
            found = modes(folder)
    finally:
        os.umask(previous)
    del found["plugins"]
    assert len(found) > 2
    assert set(found.values()) == {0o600}


def test_the_database_of_init_is_private_before_anything_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    async def look(*_: object) -> None:
        seen.append(modes(tmp_path))

    monkeypatch.setattr("gateway.upkeep.new_site.execute_in_transaction", look)
    run({}, "init", str(tmp_path))
    assert [(found["gateway.db"], found["config.toml"]) for found in seen] == [(0o600, 0o600)]


def test_init_says_where_no_database_can_be_made(tmp_path: Path) -> None:
    settings = {"GATEWAY__DATABASE__URL": "sqlite:///nowhere/gateway.db"}
    assert_refused(run(settings, "init", str(tmp_path)), "database.url")


def test_init_makes_the_applications_two_tables(tmp_path: Path) -> None:
    run({}, "init", str(tmp_path))
    with closing(sqlite3.connect(tmp_path / "gateway.db")) as connection:
        tables = {
            name: {row[1] for row in connection.execute(f"PRAGMA table_info({name})")}
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
        }
    assert tables == TABLES


def test_init_again_does_no_harm(tmp_path: Path) -> None:
    assert run({}, "init", str(tmp_path)).exit_code == 0
    config_file, database = tmp_path / "config.toml", tmp_path / "gateway.db"
    config_file.write_text(config_file.read_text() + "# mine\n")
    (tmp_path / "plugins/users/mine").write_text("mine")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO module (id, plugin_id, name, user_id) VALUES (1, 1, 1, 1)")
    before = {path: path.read_bytes() for path in (config_file, database)}

    result = run({}, "init", str(tmp_path))
    assert result.exit_code == 0
    assert all(line.startswith("kept ") for line in parts_of_the_site(result))
    assert {path: path.read_bytes() for path in before} == before
    assert (tmp_path / "plugins/users/mine").read_text() == "mine"


def test_init_without_a_folder_means_this_one(elsewhere: Path) -> None:
    assert run({}, "init").exit_code == 0
    assert (elsewhere / "config.toml").is_file()
    assert (elsewhere / "gateway.db").is_file()


def test_inits_configuration_holds_every_default(tmp_path: Path) -> None:
    run({}, "init", str(tmp_path))
    made = load_settings(tmp_path / "config.toml", environ={}).model_dump()
    assert made["access"].pop("changes") == "users"  # the tables are new, and no application's
    defaults = load_settings(environ={}).model_dump()
    assert defaults["access"].pop("changes") == "off"
    assert made == defaults


def test_init_leaves_an_applications_database_alone(site: Site, tmp_path: Path) -> None:
    before = site.database.read_bytes()
    assert run(site.environment, "init", str(tmp_path)).exit_code == 0
    assert site.database.read_bytes() == before
    made = load_settings(tmp_path / "config.toml", environ={})
    assert made.access.changes == "off"


def test_init_refuses_a_database_of_something_else(tmp_path: Path) -> None:
    database = tmp_path / "gateway.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE something (x)")
        connection.commit()
    before = database.read_bytes()
    assert_refused(run({}, "init", str(tmp_path)), "database.url")
    assert database.read_bytes() == before


def test_init_refuses_a_configuration_that_is_wrong_and_keeps_it(tmp_path: Path) -> None:
    config_file = tmp_path / "config.toml"
    config_file.write_text("[server]\nprot = 1\n")
    assert_refused(run({}, "init", str(tmp_path)), "server.prot")
    assert config_file.read_text() == "[server]\nprot = 1\n"


def test_init_with_secret_makes_a_site_that_serves_as_it_is(tmp_path: Path) -> None:
    result = run({}, "init", str(tmp_path), "--with-secret")
    assert parts_of_the_site(result)[-2:] == [
        "made   identity.jwt.secret",
        "made   identity.signed.secret",
    ]
    assert "To be set first" not in result.output
    config_file = tmp_path / "config.toml"
    assert stat.S_IMODE(config_file.stat().st_mode) == 0o600
    identity = load_settings(config_file, environ={}).identity
    keys = {identity.jwt.secret, identity.signed.secret}
    assert min(map(len, keys)) >= 43
    assert len(keys) == 2
    assert not any(key in result.output for key in keys)
    config = ("--config", str(config_file))
    checked = run({"GATEWAY__SERVER__PORT": "0"}, *config, "check")
    assert (checked.exit_code, "warning" in words(checked)) == (0, False)
    assert run({}, *config, "token", "--user", ADA).exit_code == 0


def test_each_site_gets_secrets_of_its_own(tmp_path: Path) -> None:
    for name in ("one", "two"):
        run({}, "init", str(tmp_path / name), "--with-secret")
    one, two = (
        load_settings(tmp_path / name / "config.toml", environ={}).identity.jwt.secret
        for name in ("one", "two")
    )
    assert one != two


def test_init_with_secret_keeps_a_secret_that_exists(tmp_path: Path) -> None:
    """One of its own, one that somebody wrote, and one of the environment."""
    config_file = tmp_path / "config.toml"
    run({}, "init", str(tmp_path))
    mine = config_file.read_text().replace('#secret = ""', f'secret = "{SECRET}"', 1)
    config_file.write_text(mine)
    result = run({}, "init", str(tmp_path), "--with-secret")
    assert parts_of_the_site(result)[-2:] == [
        "kept   identity.jwt.secret",
        "made   identity.signed.secret",
    ]
    assert load_settings(config_file, environ={}).identity.jwt.secret == SECRET
    before = config_file.read_bytes()
    run({}, "init", str(tmp_path), "--with-secret")
    assert config_file.read_bytes() == before
    settings = {"GATEWAY__IDENTITY__JWT__SECRET": SECRET}
    run(settings, "init", str(tmp_path / "other"), "--with-secret")
    assert load_settings(tmp_path / "other" / "config.toml", environ={}).identity.jwt.secret == ""


def test_init_with_secret_fills_the_configuration_that_init_made_before(tmp_path: Path) -> None:
    config_file = tmp_path / "config.toml"
    said = run({}, "init", str(tmp_path)).output
    assert "identity.jwt.secret" in said
    assert "gateway init --with-secret" in said
    config_file.write_text(config_file.read_text() + "# mine\n")
    assert run({}, "init", str(tmp_path), "--with-secret").exit_code == 0
    assert len(load_settings(config_file, environ={}).identity.jwt.secret) >= 43
    assert config_file.read_text().endswith("# mine\n")


def test_init_writes_no_secret_where_others_could_read_it(tmp_path: Path) -> None:
    config_file = tmp_path / "config.toml"
    run({}, "init", str(tmp_path))
    config_file.chmod(0o640)
    before = config_file.read_bytes()
    assert_refused(run({}, "init", str(tmp_path), "--with-secret"), str(config_file), "chmod 600")
    assert config_file.read_bytes() == before


def test_init_writes_no_secret_into_the_checkout_and_makes_no_site_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "config.toml"
    shipped.write_bytes(default_config())
    shipped.chmod(0o644)
    monkeypatch.setattr(new_site, "SHIPPED_CONFIG", shipped)
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    assert_refused(run({}, "init", "--with-secret"), str(shipped), "init --with-secret FOLDER")
    assert contents(tmp_path) == before
    assert not (tmp_path / "plugins").exists()
    assert run({}, "init", "site", "--with-secret").exit_code == 0


def test_init_says_that_a_configuration_has_no_place_for_a_secret(tmp_path: Path) -> None:
    config_file = tmp_path / "config.toml"
    config_file.write_text("[server]\nport = 8001\n")
    config_file.chmod(0o600)
    refused = run({}, "init", str(tmp_path), "--with-secret")
    assert_refused(refused, "identity.", str(config_file))
    assert config_file.read_text() == "[server]\nport = 8001\n"


@pytest.mark.slow
@pytest.mark.parametrize("socket_name", ["", "s p/gateway.sock"], ids=["port", "socket"])
def test_what_init_says_comes_next_works_as_it_is_printed(tmp_path: Path, socket_name: str) -> None:
    """In two terminals, from the folder in which `init` was called."""
    require_program("curl")
    here = tmp_path / "s p"
    here.mkdir()
    address = {"GATEWAY__SERVER__PORT": str(free_port())}
    if socket_name:
        address = {"GATEWAY__SERVER__UDS": str(tmp_path / socket_name)}
    environment = {**terminal(tmp_path), **address}
    said = run_cli(environment, "init", "a site", "--with-secret", cwd=here).stdout
    commands = re.findall(r"(?m)^    (\S.*)$", said.partition("Next:\n")[2])
    *before, serve, in_second_terminal, curl = commands
    assert (serve, in_second_terminal[0]) == ("gateway serve", "#")
    bash = ["bash", "-euc"]
    subprocess.run([*bash, "\n".join(before)], env=environment, cwd=here, check=True)
    with in_background([*bash, "gateway serve"], here / "a site", environment) as server:
        server.wait_for("gateway running on", START_DEADLINE_S)
        answer = subprocess.run(
            [*bash, f"{curl} --include --silent"],
            env=environment, cwd=here / "a site", capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    assert answer.startswith("HTTP/1.1 200 OK")
    assert "NetworkReview" in answer


def test_after_init_on_an_applications_site_nothing_is_published(
    site: Site, tmp_path: Path
) -> None:
    said = run(site.environment, "init", str(tmp_path)).output.partition("Next:")[2]
    assert "gateway check\n" in said
    assert "publish" not in said
    assert said.rstrip().endswith("curl http://127.0.0.1:8000/-/ready")


def test_after_init_without_tokens_of_our_own_the_curl_needs_none(tmp_path: Path) -> None:
    settings = {"GATEWAY__IDENTITY__CHAIN": "proxy"}
    said = run(settings, "init", str(tmp_path)).output
    assert "To be set first" not in said
    assert said.rstrip().endswith("curl http://127.0.0.1:8000/-/ready")


def test_what_comes_next_names_a_configuration_that_is_not_found_by_itself(tmp_path: Path) -> None:
    config_file = tmp_path / "site.toml"
    said = run({}, "--config", str(make_empty(config_file)), "init").output
    assert f"gateway --config {config_file} serve" in said
    assert f"$(gateway --config {config_file} token --user ada)" in said


def make_empty(path: Path) -> Path:
    path.touch()
    return path


# check


def check(site: Site, settings: Mapping[str, str] = {}, *arguments: str) -> Result:
    free_port = {"GATEWAY__SERVER__PORT": "0"}
    return run({**free_port, **site.environment, **settings}, "check", *arguments)


def test_check_is_content_with_a_site_that_serves(tmp_path: Path) -> None:
    site = populated(tmp_path / "site")
    result = check(site)
    assert result.exit_code == 0
    assert "4 plugin rows of 3 users" in words(result)
    assert "3 published versions" in words(result)
    for word in ("warning", "error"):
        assert word not in words(result)


def test_check_counts_users_without_a_file_and_says_what_to_do(tmp_path: Path) -> None:
    site = populated(tmp_path / "site")
    for user in (NOBODY, DORA):
        site.add_row(user, "Review", "1.0.0")
    result = check(site)
    assert result.exit_code == 0  # it serves, only not to them
    assert "warning" in words(result)
    assert "2 of 5 users" in words(result)
    assert "installed_plugins.json" in words(result)
    assert "missing_installations" in words(result)

    allow = {"GATEWAY__ACCESS__MISSING_INSTALLATIONS": "allow"}
    lenient = check(site, allow)
    assert "2 of 5 users" in words(lenient)
    assert "warning" not in words(lenient)


def test_check_names_versions_that_rows_ask_for_and_the_disk_lacks(site: Site) -> None:
    result = check(site)
    assert result.exit_code == 0
    assert "Unbuilt 9.9.9" in words(result)
    assert "Off 1.0.0" not in words(result)  # disabled: nobody asks for it
    assert "1 enabled rows hold no usable version" in words(result)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"GATEWAY__IDENTITY__JWT__SECRET": ""}, "identity.jwt.secret"),
        ({"GATEWAY__STORAGE__ROOT": "nowhere"}, "storage.root"),
        ({"GATEWAY__DATABASE__URL": "sqlite:///nothing.db"}, "database.url"),
    ],
)
def test_check_fails_for_what_would_stop_the_start(
    site: Site, elsewhere: Path, settings: dict[str, str], named: str
) -> None:
    result = check(site, settings)
    assert result.exit_code == 1
    assert "error" in words(result)
    assert named in words(result)
    assert not (elsewhere / "nothing.db").exists()


def test_check_fails_where_nothing_can_be_shared(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    (site.plugins / "shared").rmdir()
    result = check(site)
    assert (result.exit_code, "error" in words(result)) == (1, True)


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ("short", "has 5 bytes"),
        ("x" * 31, "has 31 bytes"),
        ("x" * 40, "repeats 1 characters"),
        ("changeme" * 5, "repeats 7 characters"),
    ],
)
@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("identity.jwt.secret", "GATEWAY__IDENTITY__JWT__SECRET"),
        ("identity.signed.secret", "GATEWAY__IDENTITY__SIGNED__SECRET"),
        ("admin.token", "GATEWAY__ADMIN__TOKEN"),
    ],
)
def test_check_warns_of_a_secret_that_can_be_guessed(
    tmp_path: Path, name: str, variable: str, secret: str, problem: str
) -> None:
    site = populated(tmp_path / "site")
    result = check(site, {variable: secret})
    assert result.exit_code == 0
    assert words(result).count("warning") == 1
    assert f"{name} {problem}" in words(result)
    assert secret not in result.output


def test_check_is_content_with_long_random_secrets(tmp_path: Path) -> None:
    site = populated(tmp_path / "site")
    good = {
        "GATEWAY__IDENTITY__SIGNED__SECRET": "0f5d3c9be1a84276" * 2,
        "GATEWAY__ADMIN__TOKEN": "J9Kc2vTqk0WmZ5sXb8RrYt1LhNf4uPeD",
    }
    assert "warning" not in words(check(site, good))


def test_a_line_of_check_is_never_cut(tmp_path: Path) -> None:
    """A terminal has 80 columns, and the output of a pipe has none."""
    site = populated(tmp_path / "a-folder-with-a-long-name" / ("x" * 100))
    result = check(site)
    assert any(
        line.endswith(f"in {site.plugins / 'shared'}") for line in result.stdout.splitlines()
    )
    assert "…" not in result.stdout


def test_check_can_say_it_as_json(site: Site) -> None:
    for settings, exit_code in (({}, 0), ({"GATEWAY__STORAGE__ROOT": "nowhere"}, 1)):
        result = check(site, settings, "--json")
        *lines, last = map(json.loads, result.stdout.splitlines())
        counts = Counter(f"{line['severity']}s" for line in lines)
        assert last == {"summary": {"errors": 0, "warnings": 0, "notes": 0} | counts}
        assert result.exit_code == exit_code == (counts["errors"] > 0)
        for line in lines:
            assert set(line) == {"severity", "subject", "text", "hint"}


def unwritable(folder: Path) -> None:
    """Nobody, not even root, can make a file there."""
    folder.rmdir()
    folder.touch()


def test_check_tries_to_write_what_serve_writes(tmp_path: Path) -> None:
    site = populated(tmp_path / "site")
    assert f"{site.plugins / 'cache'} can be written" in words(check(site))
    unwritable(site.plugins / "cache")
    result = check(site)
    assert result.exit_code == 0  # it serves
    assert f"warning storage {site.plugins / 'cache'} cannot be written" in words(result)
    assert "make the folder, and give it to the user who will serve" in words(result)
    assert check(site, USERS_CHANGE).exit_code == 1  # but nobody can change what they have


def test_check_tries_what_changes_over_http_write_and_changes_nothing(tmp_path: Path) -> None:
    site = populated(tmp_path / "site")
    before = contents(site.folder)
    result = check(site, USERS_CHANGE)
    assert result.exit_code == 0
    assert f"{site.plugins / 'users'} can be written" in words(result)
    assert "database it can be written" in words(result)
    assert contents(site.folder) == before
    assert "users can be written" not in words(check(site))

    shutil.rmtree(site.plugins / "users")
    (site.plugins / "users").touch()
    result = check(site, USERS_CHANGE)
    assert result.exit_code == 1
    assert f"error storage {site.plugins / 'users'} cannot be written" in words(result)


def test_check_says_that_changes_would_not_be_recorded(tmp_path: Path) -> None:
    site = populated(tmp_path / "site")
    audit = site.plugins / "audit"
    assert f"ok storage {audit} can be written" in words(check(site, USERS_CHANGE))
    audit.touch()
    result = check(site, USERS_CHANGE)
    assert result.exit_code == 0  # changes are made
    assert f"warning storage {audit} cannot be written" in words(result)
    assert str(audit) not in words(check(site))  # nobody changes anything


@pytest.fixture
def open_site() -> Iterator[Site]:
    """A site that every user can read."""
    with open_folder() as folder:
        yield populated(folder / "site")


@contextmanager
def mode_of(path: Path, mode: int) -> Iterator[None]:
    """The path has this mode, and whoever asks has no privileges."""
    before = stat.S_IMODE(path.stat().st_mode)
    path.chmod(mode)
    try:
        with without_privileges():
            yield
    finally:
        path.chmod(before)


def test_check_says_that_the_database_cannot_be_written(open_site: Site) -> None:
    assert check(open_site, USERS_CHANGE).exit_code == 0
    for path, mode, reason in (
        (open_site.database, 0o444, "attempt to write a readonly database"),
        (open_site.folder, 0o555, ""),  # root's tests cannot write the file either
    ):
        with mode_of(path, mode):
            result = check(open_site, USERS_CHANGE)
            assert "database it cannot be written: " in words(result)
            assert reason in words(result)
            assert result.exit_code == 1
            assert check(open_site).exit_code == 0


def test_check_says_what_cannot_be_read(open_site: Site) -> None:
    site = open_site
    file, folder = site.installations_file(ADA), site.installations_file(BEN).parent
    with mode_of(file, 0):
        assert "of 1 of 3 users cannot be read" in words(check(site))
    with mode_of(folder, 0):
        assert "of 1 of 3 users cannot be read" in words(check(site))
    with mode_of(site.version_folder("Eyes", "2.0.0"), 0):
        said = words(check(site))
        assert "Eyes 2.0.0 has enabled rows, but its folder cannot be read" in said
    with mode_of(site.plugins / "shared", 0):
        result = check(site)
        assert result.exit_code == 1
        assert "error storage cannot be read: " in words(result)


def test_commands_name_the_site_that_their_user_cannot_read(open_site: Site) -> None:
    site = open_site
    with mode_of(site.database, 0):
        result = check(site)
        assert f"database.url: {site.database} cannot be read: Permission denied" in words(result)
        assert result.exit_code == 1
    with mode_of(site.folder, 0):
        closed = "cannot be read: Permission denied in a folder above it"
        assert f"error configuration storage.root: {site.plugins} {closed}" in words(check(site))
        assert f"storage.root: {site.plugins} {closed}" in words(run(site.environment, "doctor"))
        assert f"database.url: {site.database} {closed}" in words(run(site.environment, "list"))


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_check_tries_to_listen(tmp_path: Path, kind: str) -> None:
    site = populated(tmp_path / "site")
    path = tmp_path / "socket"
    if kind == "tcp":
        other = socket.create_server(("127.0.0.1", 0))
        settings = {"GATEWAY__SERVER__PORT": str(other.getsockname()[1])}
    else:
        other = socket.socket(socket.AF_UNIX)
        other.bind(str(path))
        other.listen()
        settings = {"GATEWAY__SERVER__UDS": str(path)}
    with other:
        result = check(site, settings)
        assert result.exit_code == 1
        assert "error address server." in words(result)
        assert ("choose another port (--port)" in words(result)) is (kind == "tcp")
    assert "is free" in words(check(site, settings))
    assert not path.exists()


def test_check_knows_the_gateway_that_listens_already(site: Site, server: Server) -> None:
    result = check(site, {"GATEWAY__SERVER__PORT": str(server.port)})
    assert result.exit_code == 0
    assert "ok address a gateway answers there already" in words(result)


def test_check_and_serve_say_that_this_is_development(site: Site) -> None:
    development = {"GATEWAY__DEV__ENABLED": "true"}
    assert "development" in words(check(site, development))
    assert "development" not in words(check(site))
    with serving(site.environment, "--dev") as running:
        assert running.get("/-/live").status == 200
    assert any("INFO" in line and "development:" in line for line in running.output)


# list


def test_list_tells_who_has_what(site: Site) -> None:
    result = run(site.environment, "list")
    assert result.exit_code == 0
    lines = {tuple(line.split()) for line in result.stdout.splitlines()[1:]}
    assert lines == {
        (ADA, "Review", "1.0.0", "yes", "yes", "yes"),
        (ADA, "Eyes", "2.0.0", "yes", "yes", "yes"),
        (BEN, "Review", "1.0.1", "yes", "yes", "yes"),
        (CLEO, "Eyes", "2.0.0", "no", "yes", "yes"),
        (DORA, "Unlisted", "1.0.0", "yes", "no", "no"),
        (DORA, "Off", "1.0.0", "no", "yes", "no"),
        (DORA, "Unbuilt", "9.9.9", "yes", "yes", "no"),
        (DORA, "Climbing", "unusable", "yes", "yes", "no"),
    }


def test_list_can_be_of_one_user(site: Site) -> None:
    dashed = "-".join((BEN[:8], BEN[8:12], BEN[12:16], BEN[16:20], BEN[20:]))
    for user in (BEN, dashed):
        result = run(site.environment, "list", "--user", user)
        assert [line.split()[1] for line in result.stdout.splitlines()] == ["plugin", "Review"]


def test_list_of_nobody_says_so(site: Site) -> None:
    result = run(site.environment, "list", "--user", NOBODY)
    assert (result.exit_code, result.stdout) == (0, "")
    assert NOBODY in result.stderr


def test_list_can_say_it_as_json(site: Site) -> None:
    *lines, last = map(json.loads, run(site.environment, "list", "--json").stdout.splitlines())
    assert last == {"summary": {"rows": 8}}
    facts = {"enabled": True, "installed": True, "published": True}
    assert {"user": BEN, "plugin": "Review", "version": "1.0.1", **facts} in lines
    facts["published"] = False
    assert {"user": DORA, "plugin": "Climbing", "version": None, **facts} in lines
    nobody = run(site.environment, "list", "--json", "--user", NOBODY)
    assert (nobody.stdout, nobody.stderr) == ('{"summary":{"rows":0}}\n', "")


@pytest.mark.parametrize("arguments", [("list",), ("explain", "--user", ADA, "Review", ENTRY)])
def test_a_command_that_knows_no_credential_needs_no_key(
    site: Site, arguments: tuple[str, ...]
) -> None:
    settings = {**site.environment, "GATEWAY__IDENTITY__JWT__SECRET": ""}
    result = run(settings, *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == run(site.environment, *arguments).stdout


# token


def test_a_token_works_against_the_server(site: Site, server: Server) -> None:
    result = run(site.environment, "token", "--user", BEN)
    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    answer = server.get(own("Review"), {"Authorization": f"Bearer {line}"})
    assert b"Review 1.0.1" in answer.body


def test_a_token_lives_as_long_as_asked(site: Site) -> None:
    for arguments, ttl_s in (((), 3600), (("--ttl", "60"), 60)):
        line = run(site.environment, "token", "--user", BEN, *arguments).stdout.strip()
        claims = jwt.decode(line, SECRET, ["HS256"])
        assert claims["sub"] == BEN
        assert abs(claims["exp"] - time.time() - ttl_s) < 10


def test_without_a_key_for_tokens_the_refusal_says_what_makes_one(tmp_path: Path) -> None:
    run({}, "init", str(tmp_path))
    line = line_of(run({}, "--config", str(tmp_path / "config.toml"), "token", "--user", BEN))
    assert "gateway init --with-secret makes one" in line


def test_a_token_carries_the_audience_and_issuer_that_are_wanted(site: Site) -> None:
    settings = {
        "GATEWAY__IDENTITY__JWT__AUDIENCE": "us",
        "GATEWAY__IDENTITY__JWT__ISSUER": "https://them.example",
    }
    line = run({**site.environment, **settings}, "token", "--user", BEN).stdout.strip()
    claims = jwt.decode(line, SECRET, ["HS256"], audience="us", issuer="https://them.example")
    assert claims["sub"] == BEN


def test_a_token_is_made_with_a_private_key_and_not_with_a_public_one(
    site: Site, tmp_path: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    settings = {**site.environment, "GATEWAY__IDENTITY__JWT__ALGORITHMS": "ES256"}
    settings["GATEWAY__IDENTITY__JWT__SECRET"] = ""

    def token(key_file: Path) -> Result:
        named = {"GATEWAY__IDENTITY__JWT__KEY_FILE": str(key_file)}
        return run({**settings, **named}, "token", "--user", BEN)

    claims = jwt.decode(token(private).stdout.strip(), key.public_key(), ["ES256"])
    assert claims["sub"] == BEN
    assert_refused(token(public), "identity.jwt")


# sign


def test_a_signed_url_works_against_the_server(site: Site, server: Server) -> None:
    result = run({**site.environment, **SIGNED_ENVIRONMENT}, "sign", "--user", BEN, "Review")
    assert result.exit_code == 0
    (prefix,) = result.stdout.splitlines()
    assert prefix.endswith("/plugins/Review/")
    for path in (ENTRY, "dist/1.js"):
        answer = server.get(prefix + path)
        assert (answer.status, b"Review 1.0.1" in answer.body) == (200, True)
    assert server.get(prefix.replace("Review", "Eyes") + ENTRY).status == 401


def test_sign_warns_of_what_the_user_does_not_have(site: Site) -> None:
    settings = {**site.environment, **SIGNED_ENVIRONMENT}
    for user, slug in ((NOBODY, "Review"), (BEN, "Eyes")):
        result = run(settings, "sign", "--user", user, slug)
        assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1)
        assert result.stderr == f"warning: {user} has no row of {slug}: the URL answers 404\n"
    assert run(settings, "sign", "--user", BEN, "Review").stderr == ""
    without = {**settings, "GATEWAY__DATABASE__URL": "sqlite:///nothing.db"}
    result = run(without, "sign", "--user", BEN, "Review")
    assert (result.exit_code, result.stderr) == (0, "")


def test_a_signed_url_of_a_short_life_works(site: Site, server: Server) -> None:
    settings = {**site.environment, **SIGNED_ENVIRONMENT}
    prefix = run(settings, "sign", "--user", ADA, "Eyes", "--ttl", "60").stdout.strip()
    assert server.get(prefix + ENTRY).status == 200


def test_a_signed_url_begins_with_the_configured_prefix(site: Site) -> None:
    settings = {**site.environment, **SIGNED_ENVIRONMENT, "GATEWAY__HTTP__API_PREFIX": "/x/y"}
    assert run(settings, "sign", "--user", ADA, "Eyes").stdout.startswith("/x/y/signed/")


def test_sign_refuses_what_it_cannot_sign(site: Site) -> None:
    arguments = ("sign", "--user", ADA, "Review")
    assert_refused(run(site.environment, *arguments), "identity.signed.secret")
    settings = {**site.environment, **SIGNED_ENVIRONMENT, "GATEWAY__IDENTITY__SIGNED__MAX_TTL": "9"}
    assert run(settings, *arguments).exit_code == 0
    assert_refused(run(settings, *arguments, "--ttl", "10"), "9 seconds")


# explain


def test_explain_shows_every_step_of_what_is_served(site: Site) -> None:
    result = run(site.environment, "explain", "--user", ADA, "Review", ENTRY)
    assert result.exit_code == 0
    said = words(result)
    for fact in (
        f"user_{ADA}",
        "Review 1.0.0",
        str(site.version_folder("Review", "1.0.0") / ENTRY),
        "200: dist/remoteEntry.js of Review 1.0.0",
    ):
        assert fact in said


@pytest.mark.parametrize(
    ("user", "plugin", "path", "status", "code"),
    [
        (ADA, "Review", ENTRY, 200, ""),
        (ADA, f"{ADA}_Review", ENTRY, 200, ""),
        (ADA, f"{BEN}_Review", ENTRY, 404, "not_installed"),
        (NOBODY, "Review", ENTRY, 404, "not_installed"),
        (DORA, "Unlisted", ENTRY, 404, "not_installed"),
        (DORA, "Ghost", ENTRY, 404, "unknown_plugin"),
        (DORA, "Off", ENTRY, 404, "plugin_disabled"),
        (DORA, "Unbuilt", ENTRY, 404, "version_not_published"),
        (DORA, "Climbing", ENTRY, 404, "version_not_published"),
        (ADA, "Review", "dist/missing.js", 404, "asset_not_found"),
        (ADA, "Review", "../x.js", 404, "asset_not_found"),
        (ADA, "Review", ".env.js", 404, "asset_not_found"),
        (ADA, "Review", "dist/50%.js", 404, "asset_not_found"),
        (ADA, "Review", "lifecycle_manager.py", 403, "type_not_allowed"),
        (ADA, "Review", "dist/", 403, "type_not_allowed"),
        (ADA, "Review", "@1.0.0~0123456789abcdef/x.js", 410, "version_retired"),
    ],
)
def test_explain_says_what_the_server_answers(
    site: Site, server: Server, user: str, plugin: str, path: str, status: int, code: str
) -> None:
    answer = server.get(own(plugin, path.replace("%", "%25")), bearer(user))
    assert (answer.status, answer.code if status != 200 else "") == (status, code)
    result = run(site.environment, "explain", "--user", user, plugin, path)
    assert result.exit_code == (0 if status == 200 else 1)
    assert f"{status}{f' {code}' if code else ''}:" in words(result)


def test_explain_names_a_file_only_if_there_is_one(site: Site) -> None:
    site.add_row(NOBODY, "Review", "1.0.0")
    arguments = ("explain", "--user", NOBODY, "Review", ENTRY)
    try:
        denied = words(run(site.environment, *arguments))
        assert f"installed no no file in users/user_{NOBODY}" in denied
        allow = {"GATEWAY__ACCESS__MISSING_INSTALLATIONS": "allow"}
        allowed = words(run({**site.environment, **allow}, *arguments))
        assert 'installed yes no file, access.missing_installations = "allow"' in allowed
        assert f"users/user_{NOBODY}" not in allowed
    finally:
        site.execute("DELETE FROM plugin WHERE user_id = ?", NOBODY)


def test_explain_takes_pinned_paths(site: Site, server: Server) -> None:
    pinned = f"{pin_of(server, ADA, 'Review')}/{ENTRY}"
    result = run(site.environment, "explain", "--user", BEN, "Review", pinned)
    assert (result.exit_code, "of Review 1.0.0" in words(result)) == (0, True)


def test_explain_of_a_name_with_brackets_says_it_as_it_is(site: Site) -> None:
    """Rich reads `[red]` as a colour; a file may be called so."""
    site.publish("Review", "1.0.0", {"dist/[red].js": "x", "dist/[/].js": "x"})
    for name in ("[red]", "[/]"):
        result = run(site.environment, "explain", "--user", ADA, "Review", f"dist/{name}.js")
        assert (result.exit_code, f"dist/{name}.js" in words(result)) == (0, True)


def test_commands_need_a_database_and_make_none(site: Site, elsewhere: Path) -> None:
    settings = {**site.environment, "GATEWAY__DATABASE__URL": "sqlite:///nothing.db"}
    for arguments in (("list",), ("explain", "--user", ADA, "Review", ENTRY)):
        assert_refused(run(settings, *arguments), "nothing.db")
    assert not (elsewhere / "nothing.db").exists()
