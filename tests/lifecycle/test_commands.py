"""The commands of the lifecycle as an operator types them: what they say, and their exit codes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.accounts import Account, module, publish
from tests.support.commands import line_of, run
from tests.support.site import ADA, NOBODY, Site

USER = ("--user", ADA)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration but what a test gives; not the checkout's."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def site(empty_site: Site) -> Site:
    for version in ("1.0.0", "1.0.1"):
        publish(empty_site, version, modules=[module("Board")])
    return empty_site


NOTE = "note: an application owns this database; this changed its rows\n"


def said(site: Site, *arguments: str) -> str:
    """What a command that succeeded said, and nothing on the error output but the note."""
    result = run(site.environment, *arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr in ("", NOTE)
    return result.stdout


def test_a_command_says_that_it_changed_rows_of_an_application(site: Site) -> None:
    assert run(site.environment, "install", "Review", *USER).stderr == NOTE
    assert run(site.environment, "install", "Review", *USER).stderr == ""  # nothing to do


def test_tables_of_a_new_site_are_no_applications(site: Site, tmp_path: Path) -> None:
    own = {**site.environment, "GATEWAY__DATABASE__URL": f"sqlite:///{tmp_path / 'own.db'}"}
    assert run(own, "init", str(tmp_path)).exit_code == 0
    assert run(own, "install", "Review", *USER).stderr == ""


def test_each_command_says_what_it_did(site: Site) -> None:
    for arguments, expected in (
        (("install", "Review", "--version", "1.0.0"), f"installed Review 1.0.0 for {ADA}"),
        (
            ("install", "Review"),
            f"nothing was changed: {ADA} has Review 1.0.0, gateway update moves them to 1.0.1",
        ),
        (
            ("install", "Review", "--version", "1.0.0"),
            f"nothing to do: {ADA} already has Review 1.0.0",
        ),
        (("update", "Review"), f"updated Review of {ADA} from 1.0.0 to 1.0.1"),
        (("update", "Review"), f"nothing to do: {ADA} already has Review 1.0.1"),
        (("install", "Review"), f"nothing to do: {ADA} already has Review 1.0.1"),
        (("rollback", "Review"), f"rolled Review of {ADA} back from 1.0.1 to 1.0.0"),
        (("disable", "Review"), f"disabled Review 1.0.0 of {ADA}"),
        (("disable", "Review"), f"nothing to do: {ADA} already has Review 1.0.0, disabled"),
        (("enable", "Review"), f"enabled Review 1.0.0 of {ADA}"),
        (("uninstall", "Review"), f"uninstalled Review 1.0.0 of {ADA}"),
    ):
        assert said(site, *arguments, *USER) == f"{expected}\n"
    assert Account(site).plugins() == {}


def test_the_source_is_noted_and_a_dashed_user_is_the_same(site: Site) -> None:
    dashed = f"{ADA[:8]}-{ADA[8:12]}-{ADA[12:16]}-{ADA[16:20]}-{ADA[20:]}"
    source = "https://example.org/review"
    said(site, "install", "Review", "--user", dashed, "--source-url", source)
    assert Account(site).metadata()["source_url"] == source


def test_an_entry_without_a_row_is_uninstalled_without_a_version(site: Site) -> None:
    site.write_installations(ADA, {"Review": {}})
    assert said(site, "uninstall", "Review", *USER) == f"uninstalled Review of {ADA}\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("update", "Review"), "no row of"),
        (("update", "Review"), "gateway install gives"),
        (("rollback", "Review"), "no row of"),
        (("enable", "Review"), "no row of"),
        (("uninstall", "Review"), "neither row nor JSON entry"),
        (("install", "Nothing"), "no version of Nothing is published"),
        (("install", "review"), "no version of review is published (did you mean Review?)"),
        (("install", "Reviev"), "no version of Reviev is published (did you mean Review?)"),
        (("install", "Review", "--version", "9.9.9"), "Review 9.9.9 is not published"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    site: Site, arguments: tuple[str, ...], named: str
) -> None:
    assert named in line_of(run(site.environment, *arguments, *USER))


def test_refusals_name_the_way_out(site: Site) -> None:
    said(site, "install", "Review", *USER, "--version", "1.0.0")
    refused = run(site.environment, "install", "Review", *USER, "--version", "1.0.1")
    assert "has Review 1.0.0; gateway update moves it" in line_of(refused)
    assert "--version" in line_of(run(site.environment, "rollback", "Review", *USER))


@pytest.mark.parametrize("command", ["install", "update", "rollback", "uninstall"])
def test_a_broken_file_is_named(site: Site, command: str) -> None:
    site.write_installations(ADA, b"{broken")
    line = line_of(run(site.environment, command, "Review", *USER))
    assert str(site.installations_file(ADA)) in line
    assert "not valid JSON" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ("install",), ("install", "Review"), ("install", "../x", *USER), ("install", "", *USER),
        ("install", "Review", "--user", "../x"), ("install", "Review", "--user", ""),
        ("update", "Review", *USER, "--version", "../1.0.0"), ("rollback", "a/b", *USER),
        ("uninstall", "Review", *USER, "surplus"), ("enable", "Review", *USER, "--version", "1"),
        ("gc", "surplus"), ("install", "Review", *USER, "--source-url", "http://\udcff"),
        ("install", "Review", *USER, "--source-url", "javascript:alert(1)"),
        ("install", "Review", *USER, "--version", "v1.0.0"),
    ],
)  # fmt: skip
def test_bad_input_is_exit_code_2(site: Site, arguments: tuple[str, ...]) -> None:
    line_of(run(site.environment, *arguments))
    assert Account(site).plugins() == {}


def test_a_database_that_is_not_there_is_one_line_and_is_not_made(site: Site) -> None:
    site.database.unlink()
    for arguments in (("install", "Review", *USER), ("enable", "Review", *USER), ("gc",)):
        assert str(site.database) in line_of(run(site.environment, *arguments))
    assert not site.database.exists()


def test_other_users_are_not_touched(site: Site) -> None:
    said(site, "install", "Review", *USER)
    before = Account(site).everything()
    line_of(run(site.environment, "uninstall", "Review", "--user", NOBODY))
    assert Account(site).everything() == before


def test_gc_can_say_it_as_json(site: Site) -> None:
    said(site, "install", "Review", *USER)
    at_once = {**site.environment, "GATEWAY__LIFECYCLE__RETENTION_DAYS": "0"}

    def lines(*arguments: str) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
        result = run(at_once, "gc", "--json", *arguments)
        *versions, last = map(json.loads, result.stdout.splitlines())
        return {version["version"]: version for version in versions}, last["summary"]

    versions, summary = lines()
    size = versions["1.0.0"]["size_bytes"]
    assert versions["1.0.0"] == {
        "slug": "Review",
        "version": "1.0.0",
        "folder": str(site.version_folder("Review", "1.0.0")),
        "fate": "collectable",
        "size_bytes": size,
        "retained_for_s": 0.0,
        "removed": False,
    }
    assert (versions["1.0.1"]["fate"], versions["1.0.1"]["removed"]) == ("referred", False)
    assert summary == {"versions": 2, "collectable": 1, "removed": 0, "collectable_bytes": size}
    versions, summary = lines("--apply")
    assert (versions["1.0.0"]["removed"], summary["removed"]) == (True, 1)
    assert not site.version_folder("Review", "1.0.0").exists()


def test_gc_names_what_goes_and_goes_only_when_told(site: Site) -> None:
    said(site, "install", "Review", *USER)
    kept = said(site, "gc")
    assert re.search(r"Review 1\.0\.0 +\d+ bytes  retained 7\.0 days\n", kept), kept
    assert kept.endswith("2 versions, 0 of them collectable: 0 bytes\n")
    at_once = {**site.environment, "GATEWAY__LIFECYCLE__RETENTION_DAYS": "0"}
    dry = run(at_once, "gc")
    assert re.search(r"Review 1\.0\.0 +\d+ bytes  collectable\n", dry.stdout), dry.output
    assert "2 versions, 1 of them collectable" in dry.stdout
    assert dry.stdout.endswith("nothing was removed: --apply does\n")
    assert site.version_folder("Review", "1.0.0").is_dir()
    applied = run(at_once, "gc", "--apply")
    assert (applied.exit_code, applied.stdout.endswith("removed Review 1.0.0\n")) == (0, True)
    assert not site.version_folder("Review", "1.0.0").exists()
    assert "1 versions, 0 of them collectable" in run(at_once, "gc", "--apply").stdout
