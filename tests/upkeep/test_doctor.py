"""`gateway doctor`: what it finds, what it mends, and what it leaves alone."""

import json
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from filelock import FileLock

from gateway.changes import Change
from gateway.disk.builds import look_at
from gateway.disk.cache_folder import CacheFolder
from gateway.disk.storage import PluginStorage
from gateway.disk.users_folder import LockedFile, UsersFolder
from gateway.freshness.change_log import ChangeLog
from gateway.names import Slug, UserId
from gateway.upkeep.findings import KINDS, Code, Severity
from tests.support.commands import line_of, run
from tests.support.killing import count_steps, kill_at, spread
from tests.support.postgres import Postgres, PostgresSite
from tests.support.site import ADA, BEN, CLEO, NOBODY, Site, contents, populate, populated

pytestmark = pytest.mark.slow

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

ALLOW = {"GATEWAY__ACCESS__MISSING_INSTALLATIONS": "allow"}
KEYS = {
    "code", "severity", "text", "hint", "fixable", "fixed", "user", "slug", "version", "path",
}  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return recorded(populated(tmp_path / "site"))


def recorded(site: Site) -> Site:
    """Every version with the record that publishing writes."""
    for folder in (site.plugins / "shared").glob("*/v*"):
        record(folder)
    return site


def record(folder: Path) -> None:
    state = look_at(folder, None)
    assert state is not None
    files = {name: digest.hex() for name, digest in state.digests.items()}
    content = {"build": state.build, "files": files, "published_at": "2026-01-02T03:04:05+00:00"}
    (folder / ".published.json").write_text(json.dumps(content))


def doctor(site: Site, *arguments: str, **environment: str) -> Result:
    result = run({**site.environment, **environment}, "doctor", *arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def findings(site: Site, *arguments: str, **environment: str) -> list[dict[str, Any]]:
    """Every finding; the exit code is 1 if one of them is a problem that remains."""
    result = doctor(site, "--json", *arguments, **environment)
    *lines, last = map(json.loads, result.stdout.splitlines())
    remaining = [line for line in lines if line["severity"] != "note" and not line["fixed"]]
    assert last["summary"]["remaining"] == len(remaining)
    assert last["summary"]["fixed"] == sum(line["fixed"] for line in lines)
    assert result.exit_code == (1 if remaining else 0)
    for line in lines:
        assert set(line) == KEYS
        kind = KINDS[Code(line["code"])]
        is_allowed = line["code"] == "no_installations" and line["severity"] == "note"
        assert line["fixable"] is kind.fixable
        assert line["hint"].startswith("nothing to do") if is_allowed else line["hint"] == kind.hint
    return lines


def files_of(site: Site) -> dict[str, bytes]:
    """Files of users and versions."""
    return contents(site.plugins, "users", "shared")


# What it finds


def test_a_site_without_problems_is_healthy(site: Site) -> None:
    assert findings(site) == []
    result = doctor(site)
    assert (result.exit_code, result.stdout) == (
        0,
        "looked at 3 folders, 3 users, 3 versions: no problems\n",
    )


def test_a_site_of_the_application_lacks_files_and_records_only(tmp_path: Path) -> None:
    site = populated(tmp_path / "site")
    for user in (ADA, BEN, CLEO):
        site.installations_file(user).unlink()
    allowed = {(each["code"], each["severity"]) for each in findings(site, **ALLOW)}
    expected = {("no_installations", "note"), ("no_record", "note"), ("user_without_row", "note")}
    assert allowed == expected - {("user_without_row", "note")}
    denied = {(each["code"], each["severity"]) for each in findings(site)}
    assert denied == {("no_installations", "warning"), ("no_record", "note")}


def test_a_missing_file_is_not_to_be_written_where_the_table_decides(tmp_path: Path) -> None:
    """Whoever wrote it would lose the plugins that the application installs afterwards."""
    site = populated(tmp_path / "site")
    site.installations_file(ADA).unlink()
    assert "--write-missing" in doctor(site).stdout
    allowed = doctor(site, **ALLOW)
    assert "nothing to do" in allowed.stdout
    assert "--write-missing" not in allowed.stdout


def old_file(**entry: Any) -> dict[str, Any]:
    return {"Review": {"installation_metadata": {}, **entry}}


def shared(site: Site) -> Path:
    return site.plugins / "shared"


def leave_temporary_file(site: Site) -> None:
    path = site.installations_file(ADA).with_name(".installed_plugins.json.x7k2")
    path.write_bytes(b'{"Rev')


def leave_staging(site: Site) -> None:
    folder = site.plugins / "cache" / "staging" / "tmpabc"
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(b"x")
    folder.with_suffix(".lock").touch()


def drift(site: Site) -> None:
    folder = site.version_folder("Review", "1.0.0")
    (folder / "dist" / "remoteEntry.js").write_text("other")
    (folder / "dist" / "1.js").unlink()
    (folder / "dist" / "2.js").write_text("new")


CASES: list[tuple[str, Callable[[Site], object], Code, Severity, str]] = [
    (
        "a row whose version has no folder",
        lambda site: site.give(ADA, "Ghost", "1.0.0"),
        Code.VERSION_WITHOUT_FOLDER,
        Severity.ERROR,
        "Ghost 1.0.0: no folder",
    ),
    (
        "a disabled row whose version has no folder",
        lambda site: site.give(ADA, "Ghost", "1.0.0", enabled=0),
        Code.VERSION_WITHOUT_FOLDER,
        Severity.WARNING,
        "Ghost 1.0.0: no folder",
    ),
    (
        "a version that can name no folder",
        lambda site: site.give(ADA, "Ghost", "../1"),
        Code.UNUSABLE_VERSION,
        Severity.ERROR,
        "has the version '../1'",
    ),
    (
        "a slug that can name no folder",
        lambda site: site.add_row(ADA, "", "1.0.0"),
        Code.UNUSABLE_SLUG,
        Severity.ERROR,
        "has the slug ''",
    ),
    (
        "a user id with dashes",
        lambda site: site.add_row("12345678-1234-1234-1234-123456789abc", "Eyes", "2.0.0"),
        Code.UNUSABLE_USER,
        Severity.ERROR,
        "'12345678-1234-1234-1234-123456789abc'",
    ),
    (
        "an id that names another user",
        lambda site: site.execute(
            "UPDATE plugin SET id = ? WHERE user_id = ?", f"{NOBODY}_Review", BEN
        ),
        Code.CONTRADICTING_ID,
        Severity.WARNING,
        f"row {NOBODY}_Review is of user {BEN}",
    ),
    (
        "a module of another user",
        lambda site: site.add_module(f"{ADA}_Review", "Board", BEN),
        Code.CONTRADICTING_MODULE,
        Severity.WARNING,
        f"is of user {BEN}, the plugin of {ADA}",
    ),
    (
        "a module without a plugin",
        lambda site: site.add_module(f"{ADA}_Gone", "Board", ADA),
        Code.MODULE_WITHOUT_PLUGIN,
        Severity.WARNING,
        f"of plugin {ADA}_Gone: there is no such plugin",
    ),
    (
        "a file that cannot be parsed",
        lambda site: site.write_installations(ADA, b'{"Review'),
        Code.BROKEN_INSTALLATIONS,
        Severity.ERROR,
        "not valid JSON",
    ),
    (
        "a user without a file",
        lambda site: site.add_row(NOBODY, "Eyes", "2.0.0"),
        Code.NO_INSTALLATIONS,
        Severity.WARNING,
        f"user {NOBODY} has rows but no installed_plugins.json: they get nothing",
    ),
    (
        "a row that the file does not hold",
        lambda site: site.install(ADA, "Review"),
        Code.ROW_WITHOUT_ENTRY,
        Severity.WARNING,
        "has a row of Eyes",
    ),
    (
        "a disabled row that the file does not hold",
        lambda site: site.install(CLEO),
        Code.ROW_WITHOUT_ENTRY,
        Severity.NOTE,
        "has a row of Eyes",
    ),
    (
        "an entry without a row",
        lambda site: site.install(BEN, "Review", "Ghost"),
        Code.ENTRY_WITHOUT_ROW,
        Severity.WARNING,
        f"the file of user {BEN} has Ghost",
    ),
    (
        "an old value that contradicts the table",
        lambda site: site.write_installations(BEN, old_file(version="1.0.0")),
        Code.CONTRADICTING_VALUE,
        Severity.WARNING,
        'version is "1.0.0" in the file, "1.0.1" in plugin.version',
    ),
    (
        "a file in the old format",
        lambda site: site.write_installations(BEN, old_file(version="1.0.1")),
        Code.OLD_FORMAT,
        Severity.NOTE,
        BEN,
    ),
    (
        "a folder of somebody without rows",
        lambda site: site.install(NOBODY),
        Code.USER_WITHOUT_ROW,
        Severity.NOTE,
        NOBODY,
    ),
    (
        "files that were changed since they were published",
        drift,
        Code.DRIFTED_CONTENT,
        Severity.ERROR,
        "dist/remoteEntry.js differ; dist/1.js are missing; dist/2.js were added",
    ),
    (
        "a damaged record",
        lambda site: (site.version_folder("Review", "1.0.0") / ".published.json").write_text("{"),
        Code.DRIFTED_CONTENT,
        Severity.ERROR,
        "the record of its files is damaged",
    ),
    (
        "a version that nobody recorded",
        lambda site: site.publish("Review", "3.0.0"),
        Code.NO_RECORD,
        Severity.NOTE,
        "v3.0.0 has no record",
    ),
    (
        "a version without its entry",
        lambda site: record(site.publish("Review", "3.0.0", {"dist/1.js": "x"})),
        Code.NO_ENTRY_FILE,
        Severity.WARNING,
        "no entry file dist/remoteEntry.js",
    ),
    (
        "metadata that cannot be parsed",
        lambda site: record(site.publish("Review", "3.0.0", {"package.json": "{"})),
        Code.NO_ENTRY_FILE,
        Severity.WARNING,
        "package.json: not valid JSON",
    ),
    *(
        (
            f"{name} in shared/",
            lambda site, name=name: (shared(site) / name).mkdir(),
            Code.FOREIGN_NAME,
            Severity.WARNING,
            f"{name} is no folder of a version",
        )
        for name in ("Review/1.0.0", "Review/v..", ".git", "a slug")
    ),
    (
        "a file in shared/",
        lambda site: (shared(site) / "Review" / "v9").touch(),
        Code.FOREIGN_NAME,
        Severity.WARNING,
        "v9 is no folder of a version",
    ),
    (
        "a folder of nobody",
        lambda site: (site.plugins / "users" / "ada").mkdir(),
        Code.FOREIGN_NAME,
        Severity.WARNING,
        "ada is no user's folder",
    ),
    (
        "a temporary file of a killed writer",
        leave_temporary_file,
        Code.TEMPORARY_FILE,
        Severity.WARNING,
        ".installed_plugins.json.x7k2",
    ),
    (
        "a staging folder of a killed publisher",
        leave_staging,
        Code.ABANDONED_STAGING,
        Severity.WARNING,
        "staging/tmpabc",
    ),
]


@pytest.mark.parametrize(
    ("spoil", "code", "severity", "said"),
    [pytest.param(*case, id=name) for name, *case in CASES],
)
def test_it_finds(
    site: Site, spoil: Callable[[Site], object], code: Code, severity: Severity, said: str
) -> None:
    spoil(site)
    (finding,) = findings(site)
    assert (finding["code"], finding["severity"]) == (code, severity)
    assert said in finding["text"]
    result = doctor(site)
    assert code in result.stdout
    assert said in " ".join(result.stdout.split())


def test_it_finds_a_slug_that_a_user_has_twice(site: Site) -> None:
    site.loosen()
    site.add_row(ADA, "Review", "1.0.1", id="another")
    site.add_row(BEN, None, "1.0.0", id="nameless")
    site.add_row(BEN, None, "1.0.0", id="nameless too")
    codes = [(each["code"], each["user"]) for each in findings(site)]
    assert codes == [
        ("duplicate_slug", ADA),
        ("unusable_slug", BEN),
        ("unusable_slug", BEN),
    ]


def test_ids_of_another_shape_contradict_nothing(site: Site) -> None:
    site.execute("UPDATE plugin SET id = 'legacy_Review' WHERE user_id = ?", BEN)
    assert findings(site) == []


def test_every_case_of_the_table_is_tested() -> None:
    tested = {case[2] for case in CASES} | {Code.DUPLICATE_SLUG, Code.UNREADABLE_VERSION}
    assert tested == set(Code)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX permissions")
def test_it_finds_a_version_that_cannot_be_read(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = site.version_folder("Review", "1.0.0") / "dist" / "remoteEntry.js"
    entry.chmod(0)
    if os.access(entry, os.R_OK):  # root reads everything

        def look_at(folder: Path, known: object) -> None:
            raise PermissionError(13, "Permission denied", folder)

        monkeypatch.setattr("gateway.upkeep.version_findings.look_at", look_at)
    found = findings(site)
    assert {each["code"] for each in found} == {"unreadable_version"}
    assert "Permission denied" in found[0]["text"]


def test_people_are_shown_ten_of_a_kind_and_machines_all(site: Site) -> None:
    for number in range(12):
        site.add_row(f"{number:032x}", "Eyes", "2.0.0")
    assert len(findings(site)) == 12
    said = doctor(site).stdout
    assert said.count("has rows but no") == 10
    assert "… and 2 more" in said


def test_a_database_without_rows_takes_nothing_from_anybody(site: Site) -> None:
    """The wrong one, most likely: then every entry would be one without a row."""
    site.install(ADA, "Review")
    site.execute("DELETE FROM plugin")
    before = files_of(site)
    assert "right database" in line_of(doctor(site, "--fix"))
    assert files_of(site) == before
    assert doctor(site).exit_code == 1  # a look is free


def test_bad_input_is_exit_code_2(site: Site, tmp_path: Path) -> None:
    assert doctor(site, "--unknown").exit_code == 2
    environment = {**site.environment, "GATEWAY__STORAGE__ROOT": str(tmp_path / "none")}
    assert "storage.root" in line_of(run(environment, "doctor"))


# Changes under way


def test_an_install_that_is_under_way_is_no_finding(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON first, then the commit, under the user's lock: between them it looks like a leftover."""
    storage = PluginStorage(site.plugins)
    locked = UsersFolder.locked
    asked = threading.Event()
    results: list[Result] = []

    def locked_and_told(self: UsersFolder, user: UserId) -> AbstractContextManager[LockedFile]:
        asked.set()
        return locked(self, user)

    record(site.publish("New", "1.0.0"))
    with storage.users.locked(UserId(ADA)):
        site.install(ADA, "Review", "Eyes", "New")
        monkeypatch.setattr(UsersFolder, "locked", locked_and_told)
        thread = threading.Thread(target=lambda: results.append(doctor(site, "--fix")))
        thread.start()
        assert asked.wait(10)
        site.add_row(ADA, "New", "1.0.0")
    thread.join()
    assert results[0].exit_code == 0, results[0].stdout
    assert "fixed" not in results[0].stdout
    assert storage.plugin_exists_for_user(UserId(ADA), Slug("New"))


# Mending


def spoiled(site: Site) -> Site:
    """Everything that can be mended, for three users, and something that cannot."""
    for user, slugs in ((ADA, ["Review", "Eyes"]), (BEN, ["Review"]), (CLEO, ["Eyes"])):
        site.install(user, *slugs, "Ghost")
        path = site.installations_file(user).with_name(".installed_plugins.json.x7k2")
        path.write_bytes(b"{")
    leave_staging(site)
    return site


def test_fix_removes_leftovers_and_keeps_the_originals(site: Site) -> None:
    healthy = files_of(site)
    before = files_of(spoiled(site))
    found = findings(site, "--fix")
    assert {each["code"] for each in found} == {
        "entry_without_row",
        "temporary_file",
        "abandoned_staging",
    }
    assert all(each["fixed"] for each in found)
    assert {name: json.loads(text) for name, text in files_of(site).items() if "users" in name} == {
        name: json.loads(text) for name, text in healthy.items() if "users" in name
    }
    assert not list((site.plugins / "cache" / "staging").iterdir())
    (backup,) = site.backups()
    restored = run(site.environment, "migrate", "--restore", str(backup), "--apply")
    assert restored.exit_code == 0
    assert {name: text for name, text in before.items() if "x7k2" not in name} == files_of(site)


def test_fix_leaves_everything_else_as_it_is(site: Site) -> None:
    site.give(ADA, "Gone", "1.0.0")
    site.add_row(NOBODY, "Eyes", "2.0.0")
    site.add_module(f"{ADA}_Nothing", "Board", ADA)
    site.write_installations(BEN, {"Review": {"version": "1.0.0", "enabled": True}})
    site.write_installations(CLEO, b"{")
    (shared(site) / "Review" / "1.0.0").mkdir()
    drift(site)
    before = files_of(site)
    found = findings(site)
    assert len({each["code"] for each in found}) == 7
    assert findings(site, "--fix") == found
    assert files_of(site) == before
    assert not site.backups()


def test_a_second_fix_finds_nothing_and_makes_no_backup(site: Site) -> None:
    spoiled(site)
    doctor(site, "--fix")
    before, made = files_of(site), site.backups()
    assert findings(site, "--fix") == []
    assert (files_of(site), site.backups()) == (before, made)


def test_nothing_is_changed_without_fix(site: Site) -> None:
    before = files_of(spoiled(site))
    assert not any(each["fixed"] for each in findings(site))
    assert files_of(site) == before
    assert (site.plugins / "cache" / "staging" / "tmpabc").is_dir()
    assert not site.backups()


def test_a_publisher_that_is_at_work_keeps_its_staging_folder(site: Site) -> None:
    leave_staging(site)
    folder = site.plugins / "cache" / "staging" / "tmpabc"
    with FileLock(f"{folder}.lock"):
        assert findings(site, "--fix") == []
        assert (folder / "file").exists()
    assert [each["fixed"] for each in findings(site, "--fix")] == [True]
    assert not folder.exists()


def test_the_workers_of_the_host_hear_of_what_was_mended(site: Site) -> None:
    site.install(BEN, "Review", "Ghost")
    log = ChangeLog(CacheFolder(site.plugins / "cache"))
    log.open()
    try:
        doctor(site)
        assert list(log.read_new()) == []
        doctor(site, "--fix")
        assert list(log.read_new()) == [Change(user=UserId(BEN))]
    finally:
        log.close()


@needs_fork
def test_it_mends_whatever_a_killed_installation_leaves(site: Site) -> None:
    record(site.publish("New", "1.0.0"))
    before = files_of(site)
    given = {name: json.loads(text) for name, text in before.items() if "users" in name}

    def install() -> None:
        result = run(site.environment, "install", "New", "--user", ADA)
        assert result.exit_code == 0, result.output

    leftovers = set()
    steps = count_steps(install, site.plugins)
    # Files change in the last sixth alone, some for 20 steps.
    closely = range(steps * 5 // 6, steps, 6)
    for step in (*spread(steps, 8), *closely):
        run(site.environment, "uninstall", "New", "--user", ADA)
        killed = kill_at(step, install, site.plugins)
        leftovers |= {each["code"] for each in findings(site, "--fix")}
        assert findings(site, "--fix") == []
        installed = PluginStorage(site.plugins).plugin_exists_for_user(UserId(ADA), Slug("New"))
        if not installed:
            now = {
                name: json.loads(text) for name, text in files_of(site).items() if "users" in name
            }
            assert (now, killed) == (given, True)
    assert {"entry_without_row"} <= leftovers <= {"entry_without_row", "temporary_file"}


def test_what_the_gateway_published_is_recorded(site: Site, tmp_path: Path) -> None:
    source = site.version_folder("Review", "1.0.0").rename(tmp_path / "source")
    (source / ".published.json").unlink()
    assert run(site.environment, "publish", str(source)).exit_code == 0
    assert findings(site) == []
    (site.version_folder("Review", "1.0.0") / "dist" / "1.js").write_text("other")
    (finding,) = findings(site)
    assert finding["text"].endswith("is not what was published: dist/1.js differ")


@needs_fork
def test_a_fix_that_is_killed_at_any_step_leaves_old_or_new_and_loses_nothing(
    tmp_path: Path,
) -> None:
    site = recorded(populated(tmp_path / "site"))
    before = files_of(spoiled(site))

    def fixing() -> Result:
        return doctor(site, "--fix")

    assert fixing().exit_code == 0
    after = files_of(site)
    spoil_again(site, before)
    steps = count_steps(fixing, site.plugins)
    reached = set()
    for step in spread(steps, 60):
        spoil_again(site, before)
        kill_at(step, fixing, site.plugins)
        found = files_of(site)
        done = {name for name in after if found[name] == after[name]}
        for name, content in after.items():
            assert found[name] in (before[name], content)
        changed = {name for name in done if before[name] != after[name]}
        assert {
            f"users/user_{user}/installed_plugins.json" for user in site.saved_users()
        } >= changed
        reached.add(len(changed))
        assert fixing().exit_code == 0
        assert files_of(site) == after
        assert not list((site.plugins / "cache" / "staging").iterdir())
    assert reached == {0, 1, 2, 3}


def spoil_again(site: Site, before: dict[str, bytes]) -> None:
    for name, content in before.items():
        (site.plugins / name).write_bytes(content)
    for backup in site.backups():
        backup.unlink()
    if not (site.plugins / "cache" / "staging" / "tmpabc").exists():
        leave_staging(site)


# PostgreSQL, and more than one chunk


def test_it_works_on_postgresql(postgres: Postgres, tmp_path: Path) -> None:
    site = PostgresSite(tmp_path / "site", postgres.new_database())
    recorded(populate(site))
    assert findings(site) == []
    site.add_module(f"{ADA}_Gone", "Board", ADA)
    site.add_module(f"{ADA}_Review", "Board", BEN)
    site.add_row(NOBODY, "Eyes", "9.9.9")
    site.install(BEN, "Review", "Ghost")
    config = {"theme": "dark"}
    site.write_installations(CLEO, {"Eyes": {"version": "1", "user_config": config}})
    codes = [each["code"] for each in findings(site, "--fix")]
    assert codes == [
        "entry_without_row",
        "contradicting_value",
        "contradicting_value",
        "no_installations",
        "version_without_folder",
        "module_without_plugin",
        "contradicting_module",
    ]
    assert set(json.loads(site.installations_file(BEN).read_bytes())) == {"Review"}


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_everybody_is_looked_at_whatever_the_size_of_a_chunk(
    site: Site, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr("gateway.upkeep.population.CHUNK", chunk)
    for number in range(7):
        site.add_row(f"{number:032x}", "Eyes", "2.0.0")
        site.install(f"{number + 100:032x}", "Eyes")
        site.add_module(f"{number:032x}_Gone", "Board", ADA)
        site.add_module(f"{number:032x}_Gone", "Chart", ADA, id="same")
    record(site.publish("New", "1.0.0"))
    found = findings(site)
    codes = [each["code"] for each in found]
    assert codes.count("no_installations") == codes.count("entry_without_row") == 7
    assert codes.count("module_without_plugin") == len(found) - 14 == 14
