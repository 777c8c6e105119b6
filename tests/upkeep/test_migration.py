"""`gateway migrate`: what it drops, what it refuses to drop, and what a kill leaves behind."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from gateway.changes import Change
from gateway.disk.cache_folder import CacheFolder
from gateway.disk.storage import PluginStorage
from gateway.errors import StorageError
from gateway.freshness.change_log import ChangeLog
from gateway.names import Slug, UserId
from gateway.upkeep.backups import Backup
from tests.support.commands import line_of, run
from tests.support.killing import count_steps, kill_at, spread
from tests.support.postgres import Postgres, PostgresSite
from tests.support.site import ADA, BEN, CLEO, NOBODY, Site, contents, populated

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def old_entry(slug: str, version: str, **more: Any) -> dict[str, Any]:
    return {
        "version": version,
        "shared_path": f"/srv/plugins/shared/{slug}/v{version}",
        "installed_at": "2025-06-16T10:11:12.131415",
        "enabled": True,
        "user_config": {},
        "installation_metadata": {"installation_type": "migrated"},
        **more,
    }


def minimal(*slugs: str) -> dict[str, Any]:
    held = {"installation_type": "migrated", "installed_at": "2025-06-16T10:11:12.131415"}
    return {slug: {"installation_metadata": held} for slug in slugs}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return old_site(populated(tmp_path / "site"))


def old_site(site: Site) -> Site:
    """ADA's file is old and agrees, BEN's contradicts, CLEO's is broken; NOBODY has none."""
    ada = {"Review": old_entry("Review", "1.0.0"), "Eyes": old_entry("Eyes", "2.0.0")}
    site.write_installations(ADA, ada)
    site.write_installations(BEN, {"Review": old_entry("Review", "1.0.0")})
    site.write_installations(CLEO, b'{"Eyes": ')
    site.add_row(NOBODY, "Eyes", "2.0.0", source_url="https://example.org/Eyes")
    return site


def migrate(site: Site, *arguments: str) -> Result:
    result = run(site.environment, "migrate", *arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def lines_of(result: Result) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """JSON lines by user, and the summary."""
    *lines, last = map(json.loads, result.stdout.splitlines())
    return {line["user"]: line for line in lines}, last["summary"]


def written(site: Site, user: str) -> Any:
    return json.loads(site.installations_file(user).read_bytes())


@pytest.mark.parametrize("arguments", [(), ("--apply",)])
def test_no_missing_file_is_written_where_the_table_decides(
    site: Site, arguments: tuple[str, ...]
) -> None:
    allow = {"GATEWAY__ACCESS__MISSING_INSTALLATIONS": "allow"}
    before = contents(site.plugins)
    result = run({**site.environment, **allow}, "migrate", "--write-missing", *arguments)
    assert "access.missing_installations" in line_of(result)
    assert contents(site.plugins) == before


def test_a_dry_run_says_what_would_be_done_and_does_nothing(site: Site) -> None:
    before = contents(site.plugins / "users")
    result = migrate(site, "--write-missing")
    assert f"user {ADA}: would be made minimal" in result.stdout
    assert "Review: drops version, shared_path, enabled, user_config" in result.stdout
    assert "Review: moves installed_at into installation_metadata" in result.stdout
    assert f"user {BEN}: refused" in result.stdout
    assert 'Review: version is "1.0.0" in the file, "1.0.1" in plugin.version' in result.stdout
    assert f"user {CLEO}: left alone: {site.installations_file(CLEO)}: not valid" in result.stdout
    assert f"user {NOBODY}: would be written from the table" in result.stdout
    assert result.exit_code == 1
    assert contents(site.plugins / "users") == before
    assert not site.backups()
    assert not list((site.plugins / "cache").iterdir())


def test_what_agrees_becomes_minimal_and_the_rest_is_left_alone(site: Site) -> None:
    before = contents(site.plugins / "users")
    result = migrate(site, "--apply")
    assert result.exit_code == 1
    assert written(site, ADA) == minimal("Review", "Eyes")
    after = contents(site.plugins / "users")
    assert [name for name in before if before[name] != after[name]] == [
        f"user_{ADA}/installed_plugins.json"
    ]
    assert not site.installations_file(NOBODY).exists()


def test_a_second_run_changes_nothing_and_makes_no_backup(site: Site) -> None:
    migrate(site, "--apply", "--write-missing")
    before, made = contents(site.plugins / "users"), site.backups()
    users, summary = lines_of(migrate(site, "--apply", "--write-missing", "--json"))
    assert set(users) == {BEN, CLEO}
    assert summary["backup"] is None
    assert (contents(site.plugins / "users"), site.backups()) == (before, made)


def test_nothing_refused_is_exit_code_0(site: Site) -> None:
    assert migrate(site, "--user", ADA, "--apply").exit_code == 0
    assert migrate(site, "--user", ADA, "--apply").exit_code == 0
    assert written(site, ADA) == minimal("Review", "Eyes")


def test_only_the_user_who_is_named_is_looked_at(site: Site) -> None:
    users, summary = lines_of(migrate(site, "--user", BEN, "--apply", "--write-missing", "--json"))
    assert set(users) == {BEN}
    assert summary["users"] == {"refused": 1}


def test_preferring_the_database_drops_what_contradicts_it_and_says_so(site: Site) -> None:
    result = migrate(site, "--apply", "--prefer", "database", "--json")
    users, summary = lines_of(result)
    assert users[BEN]["state"] == "made_minimal"
    assert users[BEN]["contradictions"][0] == {
        "slug": "Review",
        "key": "version",
        "value": "1.0.0",
        "kept_in": "plugin.version",
        "kept": "1.0.1",
    }
    assert written(site, BEN) == minimal("Review")
    assert summary["users"] == {"made_minimal": 2, "left_alone": 1}


def test_configuration_is_held_against_the_modules_of_the_plugin(site: Site) -> None:
    config = {"theme": "dark"}
    site.write_installations(
        ADA,
        {
            "Review": old_entry("Review", "1.0.0", user_config=config),
            "Eyes": old_entry("Eyes", "2.0.0", user_config=config),
        },
    )
    fields = '{"theme": {"type": "text", "value": "dark"}}'
    site.add_module(f"{ADA}_Review", "Board", ADA, config_fields=fields)
    users, _ = lines_of(migrate(site, "--user", ADA, "--json"))
    (only,) = users[ADA]["contradictions"]
    assert (only["slug"], only["key"], only["kept"]) == ("Eyes", "user_config.theme", None)


def test_missing_files_are_written_from_the_table(site: Site) -> None:
    site.add_row(NOBODY, "Review", "9.9.9", enabled=0, installation_type="remote", created_at=None)
    site.add_row(NOBODY, "../climbing", "1.0.0")
    users, _ = lines_of(migrate(site, "--apply", "--write-missing", "--json"))
    assert users[NOBODY]["wrote"] == ["Eyes", "Review"]
    assert written(site, NOBODY) == {
        "Eyes": {
            "installation_metadata": {
                "source_url": "https://example.org/Eyes",
                "installed_at": "2026-01-02T03:04:05",
                "installed_by": "migrate",
            }
        },
        "Review": {
            "installation_metadata": {"installation_type": "remote", "installed_by": "migrate"}
        },
    }


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'"x"', b"null", b"\xff", b'{"Review": {}'], ids=repr
)
def test_a_file_that_is_no_object_is_named_and_left_alone(site: Site, content: bytes) -> None:
    site.write_installations(ADA, content)
    result = migrate(site, "--apply", "--user", ADA, "--prefer", "database")
    assert result.exit_code == 1
    assert str(site.installations_file(ADA)) in result.stdout
    assert site.installations_file(ADA).read_bytes() == content


@pytest.mark.parametrize(
    "arguments",
    [
        ("--prefer", "file"),
        ("--user", ".."),
        ("--restore", "nowhere.jsonl"),
        ("--restore", "BACKUP", "--write-missing"),
    ],
    ids=" ".join,
)
def test_bad_input_is_exit_code_2(site: Site, arguments: tuple[str, ...]) -> None:
    migrate(site, "--apply")
    named = [str(site.backups()[0]) if word == "BACKUP" else word for word in arguments]
    result = migrate(site, *named)
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_site_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    environment = {
        "GATEWAY__STORAGE__ROOT": str(tmp_path / "plugins"),
        "GATEWAY__DATABASE__URL": f"sqlite:///{tmp_path}/none.db",
    }
    assert "storage.root" in line_of(run(environment, "migrate"))
    (tmp_path / "plugins").mkdir()
    assert "database.url" in line_of(run(environment, "migrate"))


# Taking it back


def test_restore_puts_every_original_back(site: Site) -> None:
    before = contents(site.plugins / "users")
    migrate(site, "--apply", "--write-missing", "--prefer", "database")
    (backup,) = site.backups()
    changed = contents(site.plugins / "users")
    dry = migrate(site, "--restore", str(backup))
    assert (dry.exit_code, contents(site.plugins / "users")) == (0, changed)
    assert f"user {ADA}: would be restored" in dry.stdout
    users, summary = lines_of(migrate(site, "--restore", str(backup), "--apply", "--json"))
    assert {user: line["state"] for user, line in users.items()} == dict.fromkeys(
        (ADA, BEN, NOBODY), "restored"
    )
    assert summary["users"] == {"restored": 3}
    assert contents(site.plugins / "users") == before
    _, summary = lines_of(migrate(site, "--restore", str(backup), "--apply", "--json"))
    assert summary["users"] == {"as_before": 3}


def test_restore_leaves_a_file_alone_that_was_changed_since(site: Site) -> None:
    migrate(site, "--apply", "--prefer", "database")
    (backup,) = site.backups()
    site.install(ADA, "Review")
    before = site.installations_file(ADA).read_bytes()
    result = migrate(site, "--restore", str(backup), "--apply")
    assert result.exit_code == 1
    assert f"user {ADA}: left alone: changed since the migration" in result.stdout
    assert site.installations_file(ADA).read_bytes() == before
    assert "version" in written(site, BEN)["Review"]


def test_the_last_line_of_a_user_is_the_one_that_is_restored(site: Site) -> None:
    """A file that changed between comparison and write has two lines; the first was not done."""
    migrate(site, "--apply")
    (backup,) = site.backups()
    line = json.loads(backup.read_bytes())
    stale = {**line, "before": "{}", "after": "0" * 64}
    backup.write_text("".join(json.dumps(each) + "\n" for each in (stale, line)))
    assert migrate(site, "--restore", str(backup), "--apply").exit_code == 0
    assert "version" in written(site, ADA)["Review"]


def test_a_line_that_was_not_finished_changed_nothing(site: Site) -> None:
    migrate(site, "--apply")
    (backup,) = site.backups()
    with backup.open("ab") as file:
        file.write(b'{"user": "bbbb')
    _, summary = lines_of(migrate(site, "--restore", str(backup), "--apply", "--json"))
    assert summary["users"] == {"restored": 1}


@pytest.mark.parametrize("line", ["x", "[]", "{}", '{"user": "../..", "before": "", "after": ""}'])
def test_a_file_that_is_no_backup_is_refused(site: Site, tmp_path: Path, line: str) -> None:
    file = tmp_path / "backup.jsonl"
    file.write_text(line + "\n")
    refusal = line_of(run(site.environment, "migrate", "--restore", str(file), "--apply"))
    assert f"{file}: line 1: expected a line of a backup" in refusal


# Others at work


def test_a_change_between_comparison_and_write_is_not_lost(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = PluginStorage(site.plugins)
    add = Backup.add

    def add_while_others_install(backup: Backup, originals: Any) -> None:
        add(backup, originals)
        if not storage.plugin_exists_for_user(UserId(ADA), Slug("New")):
            storage.register_user_plugin(UserId(ADA), Slug("New"), {"installed_at": "now"})

    monkeypatch.setattr(Backup, "add", add_while_others_install)
    assert migrate(site, "--apply", "--user", ADA).exit_code == 0
    entry = {"installation_type": "production", "installed_by": "gateway", "installed_at": "now"}
    assert written(site, ADA) == {
        **minimal("Review", "Eyes"),
        "New": {"installation_metadata": entry},
    }
    (backup,) = site.backups()
    assert migrate(site, "--restore", str(backup), "--apply").exit_code == 0
    assert set(written(site, ADA)) == {"Review", "Eyes", "New"}
    assert "version" in written(site, ADA)["Review"]


def test_installs_of_other_programs_during_a_migration_are_all_there_afterwards(
    tmp_path: Path,
) -> None:
    site = many_users(tmp_path / "site", 60)
    storage = PluginStorage(site.plugins)
    users = sorted(storage.users.ids())
    failures: list[StorageError] = []

    def install_for_all() -> None:
        for user in users:
            try:
                storage.register_user_plugin(user, Slug("New"))
            except StorageError as error:
                failures.append(error)

    installer = threading.Thread(target=install_for_all)
    installer.start()
    result = migrate(site, "--apply")
    installer.join()
    assert (result.exit_code, failures) == (0, [])
    for user in users:
        document = written(site, user)
        assert set(document) == {"Review", "Eyes", "New"}
        assert all(set(entry) == {"installation_metadata"} for entry in document.values())


# Killed


def many_users(folder: Path, count: int) -> Site:
    """Users with old files that agree with their rows; every third has no file."""
    site = Site(folder)
    give_old_files(site, count)
    return site


def give_old_files(site: Site, count: int) -> None:
    for number in range(count):
        user = f"{number:032x}"
        site.add_row(user, "Review", "1.0.0")
        site.add_row(user, "Eyes", "2.0.0")
        entries = {"Review": old_entry("Review", "1.0.0"), "Eyes": old_entry("Eyes", "2.0.0")}
        site.write_installations(user, entries)


def same_again(site: Site, before: dict[str, bytes]) -> None:
    """The users' folders as they were, and no backups."""
    users = site.plugins / "users"
    for path in [*users.rglob("*"), *site.backups()]:
        if path.is_file():
            path.unlink()
    for name, content in before.items():
        (users / name).write_bytes(content)


def applying(site: Site, *arguments: str) -> Callable[[], object]:
    return lambda: migrate(site, "--apply", "--write-missing", *arguments)


@pytest.mark.slow
@needs_fork
def test_a_kill_at_any_step_leaves_old_files_or_new_and_the_next_run_goes_on(
    tmp_path: Path,
) -> None:
    site = many_users(tmp_path / "site", 20)  # more than are written at once
    site.add_row(NOBODY, "Eyes", "2.0.0")
    before = contents(site.plugins / "users")
    missing = f"user_{NOBODY}/installed_plugins.json"
    migrate(site, "--apply", "--write-missing")
    after = contents(site.plugins / "users")
    assert set(after) == {*before, missing}
    same_again(site, before)
    steps = count_steps(applying(site), site.plugins)
    states = set()
    for step in spread(steps, 60):
        same_again(site, before)
        killed = kill_at(step, applying(site), site.plugins)
        found = contents(site.plugins / "users")
        for name, content in after.items():
            assert found.get(name) in (before.get(name), content)
        states.add(tuple(name for name in after if found.get(name) == after[name]))
        saved = site.saved_users()
        assert {f"user_{user}/installed_plugins.json" for user in saved} >= {
            name for name in after if found.get(name) == after[name]
        }
        made = len(site.backups())
        assert migrate(site, "--apply", "--write-missing").exit_code == 0
        assert contents(site.plugins / "users") == after
        assert len(site.backups()) <= made + killed
        for backup in reversed(site.backups()):
            assert migrate(site, "--restore", str(backup), "--apply").exit_code == 0
        assert contents(site.plugins / "users") == before
    assert len(states) > 3


@pytest.mark.slow
@needs_fork
def test_a_restore_that_is_killed_goes_on_when_it_is_run_again(tmp_path: Path) -> None:
    site = many_users(tmp_path / "site", 3)
    site.add_row(NOBODY, "Eyes", "2.0.0")
    before = contents(site.plugins / "users")
    migrate(site, "--apply", "--write-missing")
    after = contents(site.plugins / "users")
    (backup,) = site.backups()

    def restoring() -> Result:
        return migrate(site, "--restore", str(backup), "--apply")

    steps = count_steps(restoring, site.plugins)
    for step in spread(steps, 25):
        for name, content in after.items():
            (site.plugins / "users" / name).write_bytes(content)
        kill_at(step, restoring, site.plugins)
        found = contents(site.plugins / "users")
        for name, content in after.items():
            assert found.get(name) in (before.get(name), content)
        assert restoring().exit_code == 0
        assert contents(site.plugins / "users") == before


# PostgreSQL, and more users than one chunk


def test_it_works_on_postgresql(postgres: Postgres, tmp_path: Path) -> None:
    site = PostgresSite(tmp_path / "site", postgres.new_database())
    for user, slug, version in (
        (ADA, "Review", "1.0.0"),
        (ADA, "Eyes", "2.0.0"),
        (BEN, "Review", "1.0.1"),
        (CLEO, "Eyes", "2.0.0"),
    ):
        site.add_row(user, slug, version)
    old_site(site)
    fields = '{"theme": {"type": "text", "value": "dark"}}'
    site.add_module(f"{ADA}_Review", "Board", ADA, config_fields=fields)
    entries = {
        "Review": old_entry("Review", "1.0.0", user_config={"theme": "dark"}),
        "Eyes": old_entry("Eyes", "2.0.0"),
    }
    site.write_installations(ADA, entries)
    users, _ = lines_of(migrate(site, "--apply", "--write-missing", "--json"))
    assert {user: line["state"] for user, line in users.items()} == {
        ADA: "made_minimal",
        BEN: "refused",
        CLEO: "left_alone",
        NOBODY: "written",
    }
    assert written(site, ADA) == minimal("Review", "Eyes")
    assert set(written(site, NOBODY)) == {"Eyes"}


@pytest.mark.parametrize("chunk", [1, 2, 3, 7])
def test_users_are_all_reached_whatever_the_size_of_a_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr("gateway.upkeep.population.CHUNK", chunk)
    site = many_users(tmp_path / "site", 6)
    for number in range(6, 11):
        site.add_row(f"{number:032x}", "Eyes", "2.0.0")
    users, summary = lines_of(migrate(site, "--apply", "--write-missing", "--json"))
    assert len(users) == 11
    assert summary["users"] == {"made_minimal": 6, "written": 5}


def test_the_workers_of_the_host_hear_of_each_user(site: Site) -> None:
    log = ChangeLog(CacheFolder(site.plugins / "cache"))
    log.open()
    try:
        migrate(site, "--apply")
        assert list(log.read_new()) == [Change(user=UserId(ADA))]
        migrate(site, "--apply")
        assert list(log.read_new()) == []
        migrate(site, "--apply", "--restore", str(site.backups()[0]))
        assert list(log.read_new()) == [Change(user=UserId(ADA))]
    finally:
        log.close()
