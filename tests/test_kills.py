"""kill -9 at any step of a command: the old state or the new one, and the next run tidies up."""

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.disk.retention import Retention
from gateway.disk.storage import PluginStorage
from gateway.errors import NotInstalled
from gateway.freshness.change_log import ChangeLog
from gateway.lifecycle.comparing import compare
from gateway.lifecycle.garbage import DAY_S, Collector
from gateway.lifecycle.installing import Lifecycle
from gateway.lifecycle.publishing import publish
from gateway.names import Slug, UserId, Version
from gateway.settings import Settings, load_settings
from tests.support import accounts
from tests.support.killing import count_steps, kill_at, spread
from tests.support.server import serving
from tests.support.settings import UNWATCHED
from tests.support.site import ADA, BEN, Site, bearer, contents
from tests.support.urls import own

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]

Action = Callable[[Site], object]
USER = UserId(ADA)
CLOCKS = ("created_at", "updated_at", "last_updated")


@dataclass(frozen=True, slots=True)
class State:
    """All that a command changes, without its clocks."""

    rows: tuple[str, ...]
    document: str
    published: tuple[tuple[str, bytes], ...]


def state_of(site: Site) -> State:
    """As a server finds it: through a connection that cannot write."""
    with closing(sqlite3.connect(f"file:{site.database}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        found = [dict(row) for table in ("plugin", "module")
                 for row in connection.execute(f"SELECT * FROM {table}")]  # fmt: skip
    rows = sorted(
        repr({name: value for name, value in row.items() if name not in CLOCKS}) for row in found
    )
    document = json.loads(site.installations_file(ADA).read_bytes())
    for entry in document.values():
        entry["installation_metadata"].pop("installed_at", None)
    files = contents(site.plugins, "shared")
    files = {path: content for path, content in files.items() if ".published.json" not in path}
    return State(tuple(rows), json.dumps(document, sort_keys=True), tuple(sorted(files.items())))


def files_of(site: Site) -> set[str]:
    """Whatever lies in the site's folder; but each attempt leaves a line in the audit log."""
    names = {path.relative_to(site.folder).as_posix() for path in site.folder.rglob("*")}
    return {name for name in names if not name.startswith("plugins/audit")}


def settings_of(site: Site) -> Settings:
    return load_settings(environ=site.environment)


def lifecycle(site: Site) -> Lifecycle:
    storage = PluginStorage(site.plugins)
    return Lifecycle(settings_of(site), storage, ChangeLog(storage.cache).append)


def install(site: Site) -> None:
    asyncio.run(lifecycle(site).install(USER, Slug("Eyes"), by=accounts.OPERATOR))


def update(site: Site) -> None:
    asyncio.run(lifecycle(site).update(USER, "Review", by=accounts.OPERATOR))


def rollback(site: Site) -> None:
    asyncio.run(lifecycle(site).rollback(USER, "Review", by=accounts.OPERATOR))


def uninstall(site: Site) -> None:
    asyncio.run(lifecycle(site).uninstall(USER, "Review", by=accounts.OPERATOR))


def disable(site: Site) -> None:
    asyncio.run(lifecycle(site).set_enabled(USER, "Review", enabled=False, by=accounts.OPERATOR))


def publish_new(site: Site) -> None:
    storage = PluginStorage(site.plugins)
    published = publish(storage, site.folder / "source")
    compare(settings_of(site), storage, published, {"0.9.0"})


def collect(site: Site) -> None:
    storage = PluginStorage(site.plugins)
    announce = ChangeLog(storage.cache).append
    collector = Collector(settings_of(site), storage, announce, time.time)
    candidates = list(collector.candidates({("Review", "1.0.1"), ("Eyes", "1.0.0")}))

    async def run() -> None:
        async for _ in collector.collect(candidates):
            pass

    asyncio.run(run())


OLD, NEW = "old", "new"
# (rows, JSON) that a kill may leave: what adds writes the JSON first, what removes writes it last.
ADDS = {(OLD, OLD), (OLD, NEW), (NEW, NEW)}
REMOVES = {(OLD, OLD), (NEW, OLD), (NEW, NEW)}
COMMANDS: dict[str, tuple[Action, int, set[tuple[str, str]]]] = {
    "publish": (publish_new, 90, {(OLD, OLD)}),
    "install": (install, 90, ADDS),
    "update": (update, 90, ADDS),
    "rollback": (rollback, 90, ADDS),
    "uninstall": (uninstall, 80, REMOVES),
    "disable": (disable, 40, {(OLD, OLD), (NEW, OLD)}),
    "gc": (collect, 70, {(OLD, OLD)}),
}


def test_there_are_500_kills_in_all() -> None:
    assert sum(kills for _, kills, _ in COMMANDS.values()) >= 500


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site where each command has something to do."""
    site = Site(tmp_path_factory.mktemp("template") / "site")
    for version, names in (("1.0.0", "AB"), ("1.0.1", "BC"), ("1.0.2", "CD")):
        modules = [accounts.module(name, of=version) for name in names]
        accounts.publish(site, version, modules=modules)
    accounts.publish(site, "1.0.0", slug="Eyes", modules=[accounts.module("Eye")])
    accounts.publish(site, "0.9.0", slug="Eyes")
    account = accounts.Account(site)
    account.install("1.0.0")
    account.configure("A", {"of": "the user"})
    account.update("1.0.1")
    account.configure("B", {"of": "the user, later"})
    ben = accounts.Account(site, BEN)
    ben.install("1.0.2")
    source = site.folder / "source"
    (source / "dist").mkdir(parents=True)
    (source / "plugin.json").write_text('{"slug": "New", "version": "1.0.0"}')
    (source / "dist" / "remoteEntry.js").write_text("window.New = {};" * 50)
    (source / "dist" / "1.js").write_text("chunk")
    site.publish("New", "0.9.0", {"dist/remoteEntry.js": "window.New = {};" * 49})
    retention = Retention(PluginStorage(site.plugins).cache)
    retention.note_loss(Slug("Eyes"), Version("0.9.0"), time.time() - 30 * DAY_S)
    return site.folder


@pytest.fixture
def site(template: Path, empty_site: Site) -> Site:
    reset(empty_site, template)
    return empty_site


def reset(site: Site, template: Path) -> None:
    shutil.rmtree(site.folder)
    shutil.copytree(template, site.folder)


def one_of(found: object, old: object, new: object) -> str:
    assert found in (old, new), f"a third state:\n{found}\nis neither\n{old}\nnor\n{new}"
    return OLD if found == old else NEW


@pytest.mark.parametrize("command", COMMANDS)
def test_killed_at_any_step_it_leaves_the_old_state_or_the_new_one(
    site: Site, template: Path, command: str
) -> None:
    action, kills, allowed = COMMANDS[command]
    act = partial(action, site)
    old = state_of(site)
    steps = count_steps(act, site.folder)
    new, clean = state_of(site), files_of(site)
    assert new != old
    found: set[tuple[str, str, str]] = set()
    for step in spread(steps, kills):
        reset(site, template)
        kill_at(step, act, site.folder)
        left = state_of(site)
        rows = one_of(left.rows, old.rows, new.rows)
        document = one_of(left.document, old.document, new.document)
        published = one_of(left.published, old.published, new.published)
        assert (rows, document) in allowed | {(NEW, NEW)}, step
        found.add((rows, document, published))
        if (rows, document) == (OLD, NEW):
            assert the_users(left) == the_users(old), step
        finish(site, action, is_done=left == new)
        assert state_of(site) == new, step
        assert not files_of(site) - clean, f"left by a kill at step {step} of {steps}"
    assert len(found) >= 2, found


def finish(site: Site, action: Action, *, is_done: bool) -> None:
    """The same command once more; a rollback that was done would be another one."""
    if action is rollback and is_done:
        return
    if action is uninstall and is_done:
        with pytest.raises(NotInstalled):
            action(site)
        return
    action(site)


def the_users(state: State) -> tuple[Any, ...]:
    """The part of a state that the user sees: listed rows, and where a rollback goes."""
    document = json.loads(state.document)
    rows = [row for row in state.rows if any(f"'{slug}'" in row for slug in document)]
    listed = []
    for slug, entry in document.items():
        if not any(f"'plugin_slug': '{slug}'" in row and ADA in row for row in state.rows):
            continue  # grants nothing
        (version,) = (
            row.split("'version': '")[1].split("'")[0]
            for row in state.rows
            if f"'plugin_slug': '{slug}'" in row and ADA in row
        )
        previous = list(entry["installation_metadata"].get("previous_versions", []))
        while previous and previous[-1] == version:
            previous.pop()
        listed.append((slug, previous[-1:]))
    return rows, listed


def test_a_server_reads_on_after_a_writer_was_killed_in_its_commit(site: Site) -> None:
    """The journal that is left must be rolled back before anybody can read: a reader does it.

    Nobody looks at the file between the kill and the check that the journal is there.
    """
    with serving({**site.environment, **UNWATCHED}) as server:
        assert server.get(own("Review"), bearer(ADA)).status == 200
        leave_hot_journal(site)
        for user, status in ((ADA, 200), (BEN, 200), ("e" * 32, 404)):
            assert server.get(own("Review"), bearer(user)).status == status
        assert server.get("/-/ready").json["status"] == "ready"


def test_a_server_starts_after_a_writer_was_killed_in_its_commit(site: Site) -> None:
    leave_hot_journal(site)
    with serving(site.environment) as server:
        assert server.get(own("Review"), bearer(ADA)).status == 200


def leave_hot_journal(site: Site) -> None:
    """What is left of a writer that was killed while it wrote pages of the database."""
    child = os.fork()
    if child == 0:
        connection = sqlite3.connect(site.database, isolation_level=None)
        connection.execute("PRAGMA cache_size = 1")  # pages go to the file before the commit
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE large (text)")
        for _ in range(50):
            connection.execute("INSERT INTO large VALUES (hex(randomblob(40000)))")
        connection.execute("UPDATE plugin SET version = '9.9.9'")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        state_of(site)
