"""Pages of users with their rows, and searches, over both databases."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.database import directory
from gateway.database.connections import connect
from gateway.database.directory import UserDirectory, UsersPage
from gateway.database.tables import Tables
from gateway.errors import SourceUnavailable
from gateway.settings import load_settings
from tests.support.postgres import Postgres, PostgresSite
from tests.support.site import ADA, BEN, CLEO, Site, populate, populated

pytestmark = pytest.mark.slow

Ask = Callable[[UserDirectory], Awaitable[UsersPage]]


def asked(site: Site, ask: Ask, **environment: str) -> UsersPage:
    settings = load_settings(environ={**site.environment, **environment})

    async def main() -> UsersPage:
        tables = Tables(connect(settings))
        of_its_own = UserDirectory(tables, connect(settings, rarely_asked=True))
        await tables.open()
        try:
            await of_its_own.open()
            return await ask(of_its_own)
        finally:
            await of_its_own.close()
            await tables.close()

    return asyncio.run(main())


def page(
    site: Site, search: str | None = None, after: str | None = None, limit: int = 100
) -> UsersPage:
    return asked(site, lambda it: it.read_page(search, after, limit))


def found(site: Site, search: str) -> list[str]:
    return [user.id for user in page(site, search).users]


def test_a_page_has_all_rows_of_its_users_in_order(either_site: Site) -> None:
    first = page(either_site, limit=2)
    assert [user.id for user in first.users] == [ADA, BEN]
    assert first.after == BEN
    rows = [(row.plugin_slug, row.version, row.enabled) for row in first.users[0].rows]
    assert rows == [("Eyes", "2.0.0", True), ("Review", "1.0.0", True)]
    assert first.users[0].rows[0].id == f"{ADA}_Eyes"
    assert (first.users[0].rows[0].updated_at or "").startswith("2026-01-02 03:04:05")
    last = page(either_site, after=first.after, limit=2)
    assert [(user.id, user.rows[0].enabled) for user in last.users] == [(CLEO, False)]
    assert last.after is None
    assert page(either_site, limit=3).after is None
    assert page(either_site, after=CLEO) == UsersPage([], None)


def test_parts_of_ids_slugs_and_names_are_found_whatever_their_case(either_site: Site) -> None:
    either_site.add_row(BEN, "Charts", "1.0.0", name="Ångström 100 % of_it!")
    assert found(either_site, "review") == [ADA, BEN]
    assert found(either_site, "EYES") == [ADA, CLEO]
    assert found(either_site, "ngstr") == [BEN]
    assert found(either_site, "ccc") == [CLEO]
    assert found(either_site, "nothing") == []
    dashed = f"{ADA[:8]}-{ADA[8:12]}-{ADA[12:16]}-{ADA[16:20]}-{ADA[20:]}".upper()
    assert found(either_site, dashed) == [ADA]
    assert page(either_site, "review", limit=1).after == ADA
    assert [user.id for user in page(either_site, "review", after=ADA).users] == [BEN]


@pytest.mark.parametrize(
    ("search", "users"),
    [
        ("%", [BEN]), ("_", [BEN]), ("!", [BEN]), ("0 % o", [BEN]), ("f_i", [BEN]),
        ("R_view", []), ("Re%w", []), ("!%", []), ("\\", []), ("'", []), ("-", []),
    ],
)  # fmt: skip
def test_what_means_something_to_the_database_is_plain_text(
    either_site: Site, search: str, users: list[str]
) -> None:
    either_site.add_row(BEN, "Charts", "1.0.0", name="100 % of_it!")
    assert found(either_site, search) == users


def test_a_user_of_a_found_plugin_is_shown_with_the_others_too(either_site: Site) -> None:
    (ben, *_) = [user for user in page(either_site, "review").users if user.id == BEN]
    either_site.add_row(BEN, "Eyes", "2.0.0")
    (after, *_) = [user for user in page(either_site, "review").users if user.id == BEN]
    assert [len(ben.rows), len(after.rows)] == [1, 2]


def test_a_page_ends_before_a_user_whose_rows_do_not_fit(
    either_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "MAX_ROWS", 2)
    shown = [page(either_site)]
    while (after := shown[-1].after) is not None:
        shown.append(page(either_site, after=after))
    assert [[user.id for user in one.users] for one in shown] == [[ADA], [BEN, CLEO]]
    either_site.add_row(ADA, "Third", "1.0.0")
    (ada,) = page(either_site).users
    assert (ada.has_more_rows, len(ada.rows)) == (True, 2)
    monkeypatch.setattr(directory, "MAX_ROWS", 1)
    assert [user.id for user in page(either_site, after=ADA).users] == [BEN]


def test_odd_values_of_sqlite_fail_no_page(tmp_path: Path) -> None:
    site = populated(tmp_path)
    site.loosen()
    site.add_row("e" * 32, None, "1.0.0", name=None, updated_at=12.5)
    site.add_row("f" * 32, "x" * 10_000, "1.0.0", updated_at=b"\xff\xfe")
    for odd in (b"blob", None, 7):
        site.execute("INSERT INTO plugin (user_id, plugin_slug) VALUES (?, 'Odd')", odd)
    users = page(site).users
    assert [user.id[0] for user in users] == ["7", "a", "b", "c", "e", "f"]
    assert (users[4].rows[0].plugin_slug, users[4].rows[0].name) == (None, None)
    assert len(users[5].rows[0].plugin_slug or "") == 255
    assert found(site, "odd") == ["7"]  # the table makes it a text


def test_optional_columns_may_be_missing(tmp_path: Path) -> None:
    site = populated(tmp_path)
    with sqlite3.connect(site.database) as connection:
        connection.executescript(
            "CREATE TABLE old AS SELECT id, plugin_slug, version, enabled, user_id FROM plugin;"
            "DROP TABLE plugin; ALTER TABLE old RENAME TO plugin;"
        )
    connection.close()
    assert found(site, "review") == [ADA, BEN]
    assert page(site).users[0].rows[0].name is None


def test_a_search_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    site = populated(tmp_path)

    async def search_while_locked(it: UserDirectory) -> UsersPage:
        with site.locked(), pytest.raises(SourceUnavailable):
            await it.read_page("x", None, 10)
        return await it.read_page("eyes", None, 10)

    page = asked(site, search_while_locked, GATEWAY__DATABASE__QUERY_TIMEOUT="0.2")
    assert [user.id for user in page.users] == [ADA, CLEO]


def test_user_ids_may_be_uuids_of_postgresql(postgres: Postgres, tmp_path: Path) -> None:
    site = populate(PostgresSite(tmp_path, postgres.new_database()))
    site.execute("ALTER TABLE plugin ALTER user_id TYPE uuid USING user_id::uuid")
    first = page(site, "review", limit=1)
    assert first.after == "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
    assert [row.version for row in first.users[0].rows] == ["2.0.0", "1.0.0"]
    assert [user.id[0] for user in page(site, after=first.after).users] == ["b", "c"]
    assert [user.id[0] for user in page(site, ADA).users] == ["a"]
