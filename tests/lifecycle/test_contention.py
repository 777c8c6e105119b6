"""Many processes that change one user at once: no change is lost, and none waits in vain."""

import asyncio
import itertools
import multiprocessing
import os
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from gateway.disk.storage import PluginStorage
from gateway.lifecycle.installing import Lifecycle
from gateway.names import Slug, UserId, Version
from gateway.settings import load_settings
from tests.support.accounts import OPERATOR, Account, module, publish
from tests.support.postgres import PostgresSite
from tests.support.site import ADA, Site

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]

PROCESSES, CHANGES = 8, 200
USER = UserId(ADA)
VERSIONS = ("1.0.0", "1.0.1")

Part = Callable[[Lifecycle, int, int], Coroutine[Any, Any, None]]


def all_at_once(site: Site, part: Part, processes: int, changes: int) -> None:
    """`part(lifecycle, process, changes)` in each process; a failure of one fails the test."""
    context = multiprocessing.get_context("fork")
    failures = context.SimpleQueue()
    settings = load_settings(environ=site.environment)

    def run(number: int) -> None:
        lifecycle = Lifecycle(settings, PluginStorage(settings.plugins_dir), lambda _: None)
        try:
            asyncio.run(part(lifecycle, number, changes))
        except BaseException:
            failures.put(traceback.format_exc())

    running = [context.Process(target=run, args=(number,)) for number in range(processes)]
    for process in running:
        process.start()
    for process in running:
        process.join(120)
    if not failures.empty():
        pytest.fail(failures.get())
    assert [process.exitcode for process in running] == [0] * processes


async def of_its_own(lifecycle: Lifecycle, number: int, changes: int) -> None:
    """Changes of one plugin, again and again; the last one leaves it at `expected(number)`."""
    slug = f"P{number}"
    older = Version(VERSIONS[0])
    cycle = (
        lambda: lifecycle.install(USER, Slug(slug), older, by=OPERATOR),
        lambda: lifecycle.update(USER, slug, by=OPERATOR),
        lambda: lifecycle.set_enabled(USER, slug, enabled=False, by=OPERATOR),
        lambda: lifecycle.rollback(USER, slug, by=OPERATOR),
        lambda: lifecycle.uninstall(USER, slug, by=OPERATOR),
    )
    for change in range(changes + number % 5):
        outcome = await cycle[change % 5]()
        assert outcome.changed, (slug, change)


def expected(number: int, changes: int) -> tuple[str, bool, bool] | None:
    """Version, enabled, whether there is a past."""
    done = (changes + number % 5) % 5
    return [
        None,
        ("1.0.0", True, False),
        ("1.0.1", True, True),
        ("1.0.1", False, True),
        ("1.0.0", False, True),
    ][done]


def with_plugins(site: Site, count: int) -> Account:
    for number in range(count):
        for version in VERSIONS:
            publish(site, version, slug=f"P{number}", modules=[module("Board")])
    return Account(site)


def assert_as_expected(account: Account, processes: int, changes: int) -> None:
    wanted = {f"P{number}": expected(number, changes) for number in range(processes)}
    found = {
        slug: (row["version"], bool(row["enabled"]), "previous_versions" in account.metadata(slug))
        for slug, row in account.plugins().items()
    }
    assert found == {slug: state for slug, state in wanted.items() if state is not None}
    assert set(account.document() or ()) == set(found)
    assert len(account.site.query("SELECT * FROM module")) == len(found)
    left = [path.name for path in account.site.installations_file(ADA).parent.iterdir()]
    assert left == ["installed_plugins.json"]


def test_eight_processes_lose_none_of_a_users_changes(empty_site: Site) -> None:
    account = with_plugins(empty_site, PROCESSES)
    all_at_once(empty_site, of_its_own, PROCESSES, CHANGES)
    assert_as_expected(account, PROCESSES, CHANGES)


async def of_one_for_all(lifecycle: Lifecycle, number: int, changes: int) -> None:
    """Moves of one plugin; each tells which version it left and which it went to."""
    notes = lifecycle._storage.root / f"moves{number}"
    with notes.open("a") as file:
        for change in range(changes):
            outcome = await lifecycle.update(
                USER, "P0", Version(VERSIONS[(number + change) % 2]), by=OPERATOR
            )
            if outcome.changed:
                file.write(f"{outcome.previous_version} {outcome.version}\n")


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_moves_of_one_plugin_by_many_processes_follow_each_other(
    request: pytest.FixtureRequest, tmp_path: Path, database: str
) -> None:
    """Each began where another had ended: so many to a version as from it, but for the last."""
    site = Site(tmp_path / "site")
    if database == "postgresql":
        url = request.getfixturevalue("postgres").new_database()
        site = PostgresSite(tmp_path / "other", url)
    account = with_plugins(site, 1)
    account.install("1.0.0", "P0")
    all_at_once(site, of_one_for_all, 4, 30)
    moves = [line for path in site.plugins.glob("moves*") for line in path.read_text().splitlines()]
    up, down = moves.count("1.0.0 1.0.1"), moves.count("1.0.1 1.0.0")
    assert up + down == len(moves) > 0
    assert up - down == VERSIONS.index(account.row("P0")["version"])
    previous = account.metadata("P0")["previous_versions"]
    assert len(previous) == min(10, len(moves))
    assert previous[-1] != account.row("P0")["version"]
    assert all(one != other for one, other in itertools.pairwise(previous))


def test_on_postgresql_many_processes_lose_none_of_a_users_changes(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue("postgres").new_database()
    site = PostgresSite(tmp_path / "site", url)
    account = with_plugins(site, 4)
    all_at_once(site, of_its_own, 4, 40)
    assert_as_expected(account, 4, 40)
