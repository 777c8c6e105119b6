"""A user's rows as the caches hold them: found by slug and by id, shared among users."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from gateway import Gateway
from gateway.database import PluginDatabase, UserRecords
from gateway.names import UserId, Version
from gateway.settings import load_settings
from tests.support.site import ADA, BEN, CLEO, Site

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
        gateway = Gateway(load_settings(None, site.environment))
        async with gateway.running(listening=False):
            return await question(gateway.database)

    return asyncio.run(ask())


def test_users_of_the_same_version_share_one_record(site: Site) -> None:
    async def both(database: PluginDatabase) -> list[object]:
        return [(await database.read_records(UserId(user))).find("Review") for user in (ADA, BEN)]

    adas, bens = asked(site, both)
    assert adas is bens


def test_users_who_hold_the_same_share_all_of_it(site: Site) -> None:
    site.add_row(CLEO, "Review", "1.0.0")

    async def both(database: PluginDatabase) -> list[UserRecords]:
        return [await database.read_records(UserId(user)) for user in (BEN, CLEO)]

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
    records = asked(site, lambda database: database.read_records(UserId(ADA)))
    found = records.find(plugin)
    assert (found.slug if found else None) == slug


def test_an_id_of_another_shape_names_its_row_and_the_usual_one_names_none(site: Site) -> None:
    site.execute("UPDATE plugin SET id = 'odd' WHERE id = ?", f"{ADA}_Review")
    records = asked(site, lambda database: database.read_records(UserId(ADA)))
    assert records.find("odd") is records.find("Review") is not None
    assert records.find(f"{ADA}_Review") is None
    assert records.find(f"{ADA}_Other") is not None


@pytest.mark.parametrize("users_at_once", [1, 2, 1000])
def test_all_rows_are_read_some_users_at_a_time(
    site: Site, monkeypatch: pytest.MonkeyPatch, users_at_once: int
) -> None:
    monkeypatch.setattr("gateway.database._USERS_AT_ONCE", users_at_once)

    async def everything(database: PluginDatabase) -> list[tuple[str, str, Version | None]]:
        return [
            (user, record.slug, record.version)
            async for pairs in database.read_all_records()
            for user, record in pairs
        ]

    version = Version("1.0.0")
    expected = [(ADA, "Other", version), (ADA, "Review", version), (BEN, "Review", version)]
    assert asked(site, everything) == sorted(expected)
