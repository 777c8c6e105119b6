"""Users' rows as the caches hold them: read together, found by slug and by id, shared."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gateway.database.connections import connect
from gateway.database.details import ModuleDetails, PluginDetails, read_row, record_columns
from gateway.database.plugin_database import PluginDatabase
from gateway.database.records import UserRecords
from gateway.database.survey import Survey
from gateway.names import UserId, Version
from gateway.settings import load_settings
from tests.support.postgres import Postgres, PostgresSite
from tests.support.site import ADA, BEN, CLEO, NOBODY, Site

T = TypeVar("T")


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Ada and Ben hold the same version of one plugin, and Ada another plugin."""
    made = Site(tmp_path_factory.mktemp("records"))
    for user, slug in ((ADA, "Review"), (BEN, "Review"), (ADA, "Other")):
        made.give(user, slug, "1.0.0")
    return made


def asked(site: Site, question: Callable[[PluginDatabase], Awaitable[T]]) -> T:
    async def ask() -> T:
        database = PluginDatabase(connect(load_settings(None, site.environment)))
        await database.open()
        try:
            return await question(database)
        finally:
            await database.close()

    return asyncio.run(ask())


def records_of(site: Site, user: str) -> UserRecords:
    key = UserId(user)
    return asked(site, lambda database: database.read_records([key]))[key]


def test_users_of_the_same_version_share_one_record(site: Site) -> None:
    async def both(database: PluginDatabase) -> list[object]:
        records = await database.read_records([UserId(ADA), UserId(BEN)])
        return [of_user.find("Review") for of_user in records.values()]

    adas, bens = asked(site, both)
    assert adas is bens


def test_users_who_hold_the_same_share_all_of_it(site: Site) -> None:
    site.add_row(CLEO, "Review", "1.0.0")

    async def both(database: PluginDatabase) -> list[UserRecords]:
        return list((await database.read_records([UserId(BEN), UserId(CLEO)])).values())

    bens, cleos = asked(site, both)
    assert bens.by_slug is cleos.by_slug
    for mine, others in ((bens, cleos), (cleos, bens)):
        assert mine.find(f"{mine.user}_Review") is mine.find("Review") is not None
        assert mine.find(f"{others.user}_Review") is None


@pytest.mark.parametrize(
    ("plugin", "slug"),
    [
        ("Review", "Review"),
        (f"{ADA}_Review", "Review"),
        (f"{BEN}_Review", None),
        (f"{ADA}_Missing", None),
        ("Missing", None),
        (f"{ADA}_", None),
    ],
)
def test_a_row_is_found_by_slug_and_by_its_id(site: Site, plugin: str, slug: str | None) -> None:
    records = records_of(site, ADA)
    found = records.find(plugin)
    assert (found.slug if found else None) == slug


def test_an_id_of_another_shape_names_its_row_and_the_usual_one_names_none(site: Site) -> None:
    site.execute("UPDATE plugin SET id = 'odd' WHERE id = ?", f"{ADA}_Review")
    records = records_of(site, ADA)
    assert records.find("odd") is records.find("Review") is not None
    assert records.find(f"{ADA}_Review") is None
    assert records.find(f"{ADA}_Other") is not None


@pytest.mark.parametrize("others", [0, 2, 1200])
def test_rows_of_many_users_are_one_query_and_each_gets_their_own(
    either_site: Site, others: int
) -> None:
    users = [UserId(user) for user in (ADA, NOBODY, BEN, *(f"nobody{i}" for i in range(others)))]

    async def together(database: PluginDatabase) -> dict[UserId, UserRecords]:
        records = await database.read_records(users)
        assert database.queries == 1
        return records

    records = asked(either_site, together)
    assert list(records) == users
    assert {user: set(of_user.by_slug) for user, of_user in records.items() if of_user.by_slug} == {
        ADA: {"Review", "Eyes"},
        BEN: {"Review"},
    }
    assert {of_user.user for of_user in records.values()} == set(users)


def test_whole_rows_bring_the_same_records_as_a_query_of_their_own(either_site: Site) -> None:
    either_site.add_row(ADA, "Broken", "../1", enabled=0)
    either_site.add_row(ADA, "Odd", "1.0.0", id="of another shape")
    brought: dict[UserId, UserRecords] = {}
    users = [UserId(ADA), UserId(BEN), UserId(NOBODY)]
    asked(either_site, lambda database: database.fetch_plugins(users, brought.__setitem__))
    assert brought == asked(either_site, lambda database: database.read_records(users))


def test_rows_of_one_slug_bring_no_record_since_only_the_table_has_their_order() -> None:
    rows = [("id", "user") + ("",) * 5 + (slug,) + ("",) * 31 for slug in ("A", "A")]
    assert record_columns(rows) is None
    assert record_columns(rows[:1]) == [("A", "", "", "id")]


@pytest.mark.parametrize("kind", ["UUID", "CHAR(40)"])
def test_a_column_whose_values_differ_from_what_was_asked_gives_each_their_rows(
    postgres: Postgres, tmp_path: Path, kind: str
) -> None:
    site = PostgresSite(tmp_path, postgres.new_database())
    for user in (ADA, BEN):
        site.add_row(user, "Review", "1.0.0")
    site.execute(f"ALTER TABLE plugin ALTER user_id TYPE {kind} USING user_id::{kind}")
    records = asked(site, lambda database: database.read_records([UserId(ADA), UserId(BEN)]))
    assert [len(of_user.by_slug) for of_user in records.values()] == [1, 1]


def test_whole_rows_of_many_users_are_one_query_for_each_table(either_site: Site) -> None:
    for user, slug in ((BEN, "Review"), (ADA, "Review"), (CLEO, "Eyes")):
        either_site.add_module(f"{user}_{slug}", "Main", user)
    users = [UserId(ADA), UserId(BEN), UserId(NOBODY)]

    async def together(database: PluginDatabase) -> tuple[list[list[Any]], set[str]]:
        plugins = await database.fetch_plugins(users)
        assert list(plugins) == users
        modules = await database.fetch_modules(users)
        assert database.queries == 2
        slugs = [
            [read_row(PluginDetails, row).plugin_slug for row in rows] for rows in plugins.values()
        ]
        return slugs, {read_row(ModuleDetails, row).plugin_id for row in modules}

    slugs, owners = asked(either_site, together)
    assert slugs == [["Eyes", "Review"], ["Review"], []]
    assert owners == {f"{ADA}_Review", f"{BEN}_Review"}


@pytest.mark.parametrize("users_at_once", [1, 2, 1000])
def test_all_rows_are_read_some_users_at_a_time(
    site: Site, monkeypatch: pytest.MonkeyPatch, users_at_once: int
) -> None:
    monkeypatch.setattr("gateway.database.survey._USERS_AT_ONCE", users_at_once)

    async def everything(database: PluginDatabase) -> list[tuple[str, str, Version | None]]:
        return [
            (user, record.slug, record.version)
            async for pairs in Survey(database.tables).read_all_records()
            for user, record in pairs
        ]

    version = Version("1.0.0")
    expected = [(ADA, "Other", version), (ADA, "Review", version), (BEN, "Review", version)]
    assert asked(site, everything) == sorted(expected)
