"""Each change of what a user has is recorded, and each one that was refused."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import GatewayError, StorageError, TooManyChanges
from gateway.lifecycle.installing import Lifecycle
from gateway.names import Slug
from tests.support.accounts import OPERATOR, Account, publish
from tests.support.site import ADA, NOBODY

Recorded = tuple[str, str, str | None, str | None, str]


@pytest.fixture
def published(both: Account) -> Account:
    for version in ("1.0.0", "1.0.1"):
        publish(both.site, version)
    return both


def recorded(account: Account) -> list[Recorded]:
    """Action, plugin, from, to, result."""
    records = list(account.storage.audit.records())
    assert all((line["by"], line["via"]) == ("operator", "command") for line in records)
    assert all(line["user"] == ADA for line in records)
    return [
        (line["action"], line["plugin"], line["from"], line["to"], line["result"])
        for line in records
    ]


def refused(change: Callable[[], object]) -> None:
    with pytest.raises(GatewayError):
        change()


def test_each_change_is_recorded_with_its_versions(published: Account) -> None:
    account = published
    account.install("1.0.0")
    account.update()
    account.rollback(plugin=f"{ADA}_Review")
    account.enable(enabled=False)
    account.enable()
    account.uninstall()
    assert recorded(account) == [
        ("install", "Review", None, "1.0.0", "done"),
        ("update", "Review", "1.0.0", "1.0.1", "done"),
        ("rollback", "Review", "1.0.1", "1.0.0", "done"),
        ("disable", "Review", "1.0.0", "1.0.0", "done"),
        ("enable", "Review", "1.0.0", "1.0.0", "done"),
        ("uninstall", "Review", "1.0.0", None, "done"),
    ]


def test_what_changes_nothing_is_not_recorded(published: Account) -> None:
    account = published
    account.install("1.0.1")
    before = recorded(account)
    account.install()
    account.update()
    account.rollback("1.0.1")
    account.enable()
    assert recorded(account) == before


def test_what_is_refused_is_recorded_with_its_code(published: Account) -> None:
    account = published
    refused(lambda: account.install("9.9.9"))
    refused(account.update)
    refused(account.uninstall)
    refused(lambda: account.enable(plugin=f"{NOBODY}_Review"))
    account.install("1.0.0")
    refused(account.rollback)
    refused(lambda: account.install("1.0.1"))
    account.site.write_installations(ADA, b"{broken")
    refused(account.update)
    assert [line for line in recorded(account) if line[4] != "done"] == [
        ("install", "Review", None, "9.9.9", "version_not_published"),
        ("update", "Review", None, None, "unknown_plugin"),
        ("uninstall", "Review", None, None, "not_installed"),
        ("enable", f"{NOBODY}_Review", None, None, "unknown_plugin"),
        ("rollback", "Review", None, None, "no_earlier_version"),
        ("install", "Review", None, "1.0.1", "already_installed"),
        ("update", "Review", None, None, "source_unavailable"),
    ]


def test_a_change_that_is_committed_is_no_refusal_whatever_follows(
    published: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    published.install("1.0.0")

    def fails(*_: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr("gateway.lifecycle.entries.Entry.remove", fails)
    refused(published.uninstall)
    assert recorded(published)[1:] == [("uninstall", "Review", "1.0.0", None, "done")]


def test_a_commit_that_fails_is_recorded_as_refused(
    published: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise StorageError("the commit failed")

    monkeypatch.setattr("gateway.lifecycle.installing.insert_holding", fails)
    refused(published.install)
    assert recorded(published) == [("install", "Review", None, None, "source_unavailable")]


def test_changes_beyond_those_that_may_wait_are_not_recorded(published: Account) -> None:
    async def many() -> list[Any]:
        one = published.lifecycle
        changes = [one.install(published.user, Slug("Review"), by=OPERATOR) for _ in range(60)]
        return [*await asyncio.gather(*changes, return_exceptions=True)]

    outcomes = asyncio.run(many())
    assert any(isinstance(outcome, TooManyChanges) for outcome in outcomes)
    assert recorded(published) == [("install", "Review", None, "1.0.1", "done")]


def test_a_full_or_read_only_audit_folder_undoes_no_change(
    published: Account, caplog: pytest.LogCaptureFixture
) -> None:
    (published.storage.root / "audit").write_bytes(b"")
    published.install("1.0.0")
    assert published.update().changed
    refused(lambda: published.update("9.9.9"))
    assert published.row()["version"] == "1.0.1"
    assert len([one for one in caplog.records if "audit" in one.message]) == 1


def test_every_command_of_the_lifecycle_names_its_author() -> None:
    commands = {
        name: inspect.signature(command).parameters
        for name, command in vars(Lifecycle).items()
        if inspect.iscoroutinefunction(command) and not name.startswith("_")
    }
    assert {name for name, parameters in commands.items() if "by" not in parameters} == {
        "note_refusal"
    }
    assert len(commands) == 6
