"""`gateway audit` as an operator types it, and the records that commands leave."""

import json
import os
import pwd
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.disk.audit_log import Author, Record
from gateway.disk.storage import PluginStorage
from tests.support.accounts import publish
from tests.support.commands import run
from tests.support.site import ADA, BEN, Site

ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def site(empty_site: Site) -> Site:
    for version in ("1.0.0", "1.0.1"):
        publish(empty_site, version)
        publish(empty_site, version, slug="Eyes")
    return empty_site


def records(site: Site, *arguments: str) -> list[dict[str, Any]]:
    result = run(site.environment, "audit", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_without_records_there_is_nothing_to_show(site: Site) -> None:
    assert run(site.environment, "audit").output == ""
    assert records(site) == []


def test_commands_are_recorded_with_the_user_of_the_system(site: Site) -> None:
    run(site.environment, "install", "Review", "--version", "1.0.0", "--user", ADA)
    run(site.environment, "update", "Review", "--user", ADA)
    run(site.environment, "update", "Eyes", "--user", BEN)
    lines = run(site.environment, "audit").stdout.splitlines()
    assert lines[0].split() == [
        "time", "by", "via", "action", "user", "plugin", "from", "to", "result",
    ]  # fmt: skip
    assert [line.split()[1:] for line in lines[1:]] == [
        [ME, "command", "install", ADA, "Review", "-", "1.0.0", "done"],
        [ME, "command", "update", ADA, "Review", "1.0.0", "1.0.1", "done"],
        [ME, "command", "update", BEN, "Eyes", "-", "-", "unknown_plugin"],
    ]


def test_users_and_plugins_are_chosen(site: Site) -> None:
    for slug, user in (("Review", ADA), ("Eyes", ADA), ("Review", BEN)):
        run(site.environment, "install", slug, "--user", user)
    assert [record["plugin"] for record in records(site, "--user", ADA)] == ["Review", "Eyes"]
    assert [record["user"] for record in records(site, "--plugin", "Review")] == [ADA, BEN]
    assert len(records(site, "--plugin", "Review", "--user", BEN)) == 1
    dashed = f"{ADA[:8]}-{ADA[8:12]}-{ADA[12:16]}-{ADA[16:20]}-{ADA[20:]}"
    assert len(records(site, "--user", dashed)) == 2


@pytest.mark.parametrize(
    ("since", "count"),
    [
        ("2026-03-10", 2), ("2026-03-10T09:00:00Z", 2), ("2026-03-10T12:00:01", 1),
        ("2026-03-10T13:00:00+01:00", 2), ("2026-03-10T12:00:01+00:00", 1), ("2026-03-12", 0),
        ("2026-03-10T12:00", 2), ("2026-01-01", 3),
    ],
)  # fmt: skip
def test_since_takes_a_moment_of_utc_or_of_its_zone(site: Site, since: str, count: int) -> None:
    write(site, "2026-03-01T00:00:00.000000Z", "2026-03-10T12:00:00.000000Z",
          "2026-03-11T11:59:45.000000Z")  # fmt: skip
    assert len(records(site, "--since", since)) == count


@pytest.mark.parametrize(
    ("since", "count"),
    [("0s", 0), ("600s", 0), ("2h", 1), ("90m", 1), ("1d", 1), ("3d", 2), ("2w", 3), ("100d", 3)],
)
def test_since_takes_a_duration(site: Site, since: str, count: int) -> None:
    now = datetime.now(UTC)
    ages = (timedelta(days=10), timedelta(days=2), timedelta(minutes=30))
    write(site, *((now - age).isoformat() for age in ages))
    assert len(records(site, "--since", since)) == count


def write(site: Site, *times: str) -> None:
    folder = site.plugins / "audit"
    folder.mkdir()
    lines = [json.dumps({"time": time, "by": "x", "action": "update"}) for time in times]
    (folder / "changes.jsonl").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("since", ["yesterday", "2", "h", "-2h", "2.5h", "9999999d", "999999w", ""])
def test_another_since_is_refused(site: Site, since: str) -> None:
    result = run(site.environment, "audit", "--since", since)
    assert (result.exit_code, "Traceback" in result.output) == (2, False)
    assert "--since" in result.stderr


def test_a_line_of_text_means_nothing_to_a_terminal(site: Site) -> None:
    text = "\x1b[31m\r\n\x9b\u2028\u202e"
    PluginStorage(site.plugins).audit.append(Record(Author("eve", "http"), "update", ADA, text))
    for arguments in (("audit",), ("audit", "--json")):
        output = run(site.environment, *arguments).stdout
        assert not set(text) & set(output) - {"[", "3", "1", "m", "\n"}
        assert output.count("\n") == (1 if "--json" in arguments else 2)


def test_what_changes_the_site_for_all_is_recorded(site: Site, tmp_path: Path) -> None:
    source = site.publish("New", "3.0.0").rename(tmp_path / "source")
    for _ in range(2):
        assert run(site.environment, "publish", str(source)).exit_code == 0
    settings = {**site.environment, "GATEWAY__LIFECYCLE__RETENTION_DAYS": "0"}
    assert run(settings, "gc", "--apply").exit_code == 0
    found = [(line["action"], line["plugin"], line["from"], line["to"]) for line in records(site)]
    assert found[0] == ("publish", "New", None, "3.0.0")
    assert ("gc", "Eyes", "1.0.0", None) in found[1:]
    assert {line["by"] for line in records(site)} == {ME}


def test_commands_that_change_many_files_leave_one_line_and_name_their_backup(site: Site) -> None:
    for user in (ADA, BEN):
        site.give(user, "Review", "1.0.0")
        site.write_installations(user, {"Review": {"version": "1.0.0"}, "Gone": {}})
    assert run(site.environment, "doctor").exit_code == 1
    assert run(site.environment, "migrate").exit_code == 0
    assert records(site) == []
    run(site.environment, "doctor", "--fix")
    run(site.environment, "migrate", "--apply", "--user", ADA)
    backup = site.backups()[-1]
    run(site.environment, "migrate", "--restore", str(backup))
    run(site.environment, "migrate", "--restore", str(backup), "--apply")
    doctored, migrated, restored = records(site)
    assert (doctored["action"], doctored["user"]) == ("doctor", None)
    assert (migrated["action"], migrated["user"]) == ("migrate", ADA)
    assert restored["action"] == "restore"
    assert [line["backup"] for line in (doctored, migrated)] == [p.name for p in site.backups()]
    assert restored["backup"] == backup.name
