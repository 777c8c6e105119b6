"""Changes that fail, or whose caller goes away, are whole or not made at all."""

import asyncio
import errno
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from gateway.changes import Change
from gateway.database.transactions import SqliteTransaction
from gateway.errors import SourceUnavailable, StorageError
from gateway.names import Slug, Version
from tests.support.accounts import OPERATOR, Account, module, publish
from tests.support.postgres import PostgresSite
from tests.support.site import Site

Command = Callable[[Account], object]
COMMANDS: dict[str, Command] = {
    "install": lambda account: account.install(slug="Eyes"),
    "update": lambda account: account.update(),
    "rollback": lambda account: account.rollback("1.0.0"),
    "uninstall": lambda account: account.uninstall(),
    "disable": lambda account: account.enable(enabled=False),
}


@pytest.fixture
def settled(both: Account) -> Account:
    """A user at 1.0.1 of Review, with modules and a past; 1.0.2 and Eyes are published."""
    for version, names in (("1.0.0", "AB"), ("1.0.1", "BC"), ("1.0.2", "CD")):
        modules = [module(name, of=version) for name in names]
        publish(both.site, version, modules=modules)
    publish(both.site, "1.0.0", slug="Eyes", modules=[module("Eye")])
    settle(both)
    return both


def settle(account: Account) -> None:
    for slug in account.plugins():
        account.uninstall(slug)
    account.install("1.0.0")
    account.update("1.0.1")
    account.announced.clear()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_commit_that_fails_leaves_everything_as_it_was(
    settled: Account, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = settled.everything()
    monkeypatch.setattr("gateway.database.transactions._WRITER_WAITS_S", 0.1)
    with commits_refused(settled.site), pytest.raises(SourceUnavailable):
        COMMANDS[command](settled)
    assert settled.everything() == before
    assert settled.announced == []


@contextmanager
def commits_refused(site: Site) -> Iterator[None]:
    """Statements are accepted, and the commit is not."""
    if isinstance(site, PostgresSite):  # by a constraint that is checked at the commit
        site.execute(
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN RAISE EXCEPTION USING MESSAGE = $m$refused at the commit$m$; END'"
        )
        site.execute(
            "CREATE CONSTRAINT TRIGGER no AFTER INSERT OR UPDATE OR DELETE ON plugin"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION no()"
        )
        yield
        return
    with closing(sqlite3.connect(site.database)) as reader:  # whose lock a commit waits for
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM plugin").fetchall()
        yield


@pytest.mark.parametrize("command", COMMANDS)
def test_a_database_that_is_locked_or_read_only_changes_nothing(
    empty_site: Site, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.database.transactions._WRITER_WAITS_S", 0.1)
    account = Account(empty_site)
    for version in ("1.0.0", "1.0.1", "1.0.2"):
        publish(account.site, version)
    publish(account.site, "1.0.0", slug="Eyes")
    account.install("1.0.1")
    before = account.everything()
    with account.site.locked(), pytest.raises(SourceUnavailable, match="locked"):
        COMMANDS[command](account)
    account.site.execute(
        "CREATE TRIGGER no BEFORE UPDATE ON plugin BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    for event in ("INSERT", "DELETE"):
        account.site.execute(
            f"CREATE TRIGGER no_{event} BEFORE {event} ON plugin"
            " BEGIN SELECT RAISE(ABORT, 'a constraint'); END"
        )
    with pytest.raises(SourceUnavailable):
        COMMANDS[command](account)
    assert account.everything() == before


@pytest.mark.parametrize("command", ["install", "update", "rollback"])
def test_a_full_database_changes_nothing_and_is_named(
    account: Account, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "x" * 200_000
    for version, description in (("1.0.0", long), ("1.0.1", ""), ("1.0.2", long)):
        publish(account.site, version, description=description)
    publish(account.site, "1.0.0", slug="Eyes", description=long)
    account.install("1.0.1")
    before = account.everything()
    original = SqliteTransaction.execute

    async def execute(self: SqliteTransaction, statement: str, *values: Any) -> None:
        await original(self, "PRAGMA max_page_count = 1")  # no more than there are
        await original(self, statement, *values)

    monkeypatch.setattr(SqliteTransaction, "execute", execute)
    with pytest.raises(SourceUnavailable, match="full"):
        COMMANDS[command](account)
    monkeypatch.undo()
    assert account.everything() == before
    assert COMMANDS[command](account)


@pytest.mark.parametrize("command", ["install", "update", "rollback"])
def test_a_json_that_cannot_be_written_leaves_the_rows(
    settled: Account, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = settled.everything()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gateway.disk.files.os.fsync", full)
    with pytest.raises(StorageError, match=r"installed_plugins.json.*No space left"):
        COMMANDS[command](settled)
    monkeypatch.undo()
    assert settled.everything() == before
    assert settled.announced == []


def test_an_entry_that_cannot_be_removed_is_told_after_the_rows_are_gone(
    settled: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gateway.disk.files.os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        settled.uninstall()
    monkeypatch.undo()
    assert settled.plugins() == {}
    assert settled.announced == [Change(user=settled.user)]
    assert settled.uninstall().changed
    assert settled.document() == {}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_caller_that_is_cancelled_leaves_a_whole_change(settled: Account, command: str) -> None:
    """Wherever it was, also where a thread writes the JSON: the caller waits for its end."""
    lifecycle = settled.lifecycle
    user, wanted = settled.user, Version("1.0.0")
    changes: dict[str, Callable[[], Any]] = {
        "install": lambda: lifecycle.install(user, Slug("Eyes"), by=OPERATOR),
        "update": lambda: lifecycle.update(user, "Review", by=OPERATOR),
        "rollback": lambda: lifecycle.rollback(user, "Review", wanted, by=OPERATOR),
        "uninstall": lambda: lifecycle.uninstall(user, "Review", by=OPERATOR),
        "disable": lambda: lifecycle.set_enabled(user, "Review", enabled=False, by=OPERATOR),
    }

    async def cancelled_at(tick: int) -> bool:
        task = asyncio.ensure_future(changes[command]())
        for _ in range(tick):
            await asyncio.sleep(0)
            if task.done():
                return False
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return True

    cancelled = 0
    for ticks in (1, 2, 3, 5, 8, 20, 80, 300, 1500):
        if not asyncio.run(cancelled_at(ticks)):
            break
        assert settled.announced == [Change(user=user)]
        assert summary(settled) == NEW[command], ticks
        cancelled += 1
        settle(settled)
    assert cancelled >= 4


NEW = {
    "install": ({"Review": "1.0.1", "Eyes": "1.0.0"}, {"B", "C", "Eye"}, {"Review", "Eyes"}),
    "update": ({"Review": "1.0.2"}, {"C", "D"}, {"Review"}),
    "rollback": ({"Review": "1.0.0"}, {"A", "B"}, {"Review"}),
    "uninstall": ({}, set(), set()),
    "disable": ({"Review": "1.0.1"}, {"B", "C"}, {"Review"}),
}


def summary(account: Account) -> tuple[dict[str, str], set[str], set[str]]:
    """Versions, names of modules, names in the JSON."""
    versions = {slug: row["version"] for slug, row in account.plugins().items()}
    modules = {row["name"] for row in account.site.query("SELECT name FROM module")}
    return versions, modules, set(account.document() or ())
