"""Users of whom nothing is known: their rows and their JSON are loaded together."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway import Gateway
from gateway.errors import SourceUnavailable
from gateway.names import UserId
from tests.support.asgi import Client, body, status, with_gateway
from tests.support.settings import QUIET
from tests.support.site import ADA, BEN, Site
from tests.support.sources import Queries, WatchedFiles
from tests.support.urls import ENTRY_URL, MANIFEST

ADA_ID = UserId(ADA)


Scenario = Callable[[Gateway, Client, Queries], Awaitable[None]]


def gated(site: Site, monkeypatch: pytest.MonkeyPatch, scenario: Scenario) -> None:
    async def main(gateway: Gateway, client: Client) -> None:
        await scenario(gateway, client, Queries(monkeypatch, gateway))

    with_gateway(site, main, **QUIET)


def test_whoever_leaves_takes_the_load_from_nobody(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(_gateway: Gateway, client: Client, queries: Queries) -> None:
        queries.may_return.clear()
        first = asyncio.create_task(client.request(ENTRY_URL))
        await queries.until_answered(1)
        second = asyncio.create_task(client.request(ENTRY_URL))
        await asyncio.sleep(0)
        first.cancel()
        queries.may_return.set()
        assert status(await second) == 200
        assert queries.count == 1
        with pytest.raises(asyncio.CancelledError):
            await first

    gated(site, monkeypatch, scenario)


@pytest.mark.parametrize("hard", [True, False])
def test_what_was_read_before_a_change_is_not_kept_after_it(
    site: Site, monkeypatch: pytest.MonkeyPatch, hard: bool
) -> None:
    async def scenario(gateway: Gateway, client: Client, queries: Queries) -> None:
        queries.may_return.clear()
        early = asyncio.create_task(client.request(ENTRY_URL))
        await queries.until_answered(1)
        site.execute("UPDATE plugin SET version = '1.0.1' WHERE user_id = ?", ADA)
        try:
            gateway.core.lookups.forget_user(ADA_ID, hard=hard)
            queries.may_return.set()
            assert status(await early) == 200  # asked before the change: either answer is right
            assert b"1.0.1" in body(await client.request(ENTRY_URL))
        finally:
            site.execute("UPDATE plugin SET version = '1.0.0' WHERE user_id = ?", ADA)
        assert queries.count == 2

    gated(site, monkeypatch, scenario)


def test_a_failing_database_is_asked_once_and_leaves_nobody_waiting(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(gateway: Gateway, client: Client, queries: Queries) -> None:
        queries.error = SourceUnavailable(reason="for this test")
        answers = await asyncio.gather(*(client.request(ENTRY_URL) for _ in range(20)))
        assert {status(answer) for answer in answers} == {503}
        assert queries.count == 1
        queries.error = None
        assert status(await client.request(ENTRY_URL)) == 200

    gated(site, monkeypatch, scenario)


def test_a_file_that_is_being_written_is_read_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(_gateway: Gateway, client: Client, queries: Queries) -> None:
        path = site.installations_file(ADA)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        queries.may_return.clear()
        asking = asyncio.create_task(client.request(ENTRY_URL))
        await queries.until_answered(1)
        path.write_bytes(whole)
        queries.may_return.set()
        assert status(await asking) == 200
        assert queries.count == 1

    gated(site, monkeypatch, scenario)


def test_rows_that_are_there_stay_when_the_file_alone_is_asked_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(gateway: Gateway, client: Client, queries: Queries) -> None:
        await client.request(ENTRY_URL)
        gateway.core.lookups.installations.purge(ADA_ID)
        assert status(await client.request(ENTRY_URL)) == 200
        assert queries.count == 1
        gateway.core.lookups.records.purge(ADA_ID)
        assert status(await client.request(ENTRY_URL)) == 200
        assert queries.count == 2
        assert gateway.core.lookups.installations.counters.loads == 2

    gated(site, monkeypatch, scenario)


def test_a_gateway_that_ends_waits_for_no_load(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[asyncio.Task[Any]] = []

    async def scenario(_gateway: Gateway, client: Client, queries: Queries) -> None:
        queries.may_return.clear()
        left.append(asyncio.create_task(client.request(ENTRY_URL, BEN)))
        await queries.until_answered(1)

    gated(site, monkeypatch, scenario)
    assert left[0].cancelled()


def test_the_files_after_a_manifest_need_no_other_query(either_site: Site) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        before = gateway.core.database.queries
        assert status(await client.request(MANIFEST)) == 200
        of_manifest = gateway.core.database.queries - before
        assert status(await client.request(ENTRY_URL)) == 200
        assert gateway.core.database.queries - before == of_manifest
        assert gateway.core.lookups.installations.counters.loads == 1

    with_gateway(either_site, scenario, **QUIET)


def test_a_commit_while_a_manifest_is_loaded_is_seen_by_the_files_after_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(gateway: Gateway, client: Client, queries: Queries) -> None:
        queries.may_return.clear()
        manifest = asyncio.create_task(client.request(MANIFEST))
        await queries.until_answered(1)
        site.execute("UPDATE plugin SET enabled = 0 WHERE user_id = ?", ADA)
        gateway.core.lookups.forget_user(ADA_ID, hard=True)
        queries.may_return.set()
        await manifest
        assert status(await client.request(ENTRY_URL)) == 404

    gated(site, monkeypatch, scenario)


USERS = 10_000


def strangers(count: int) -> list[UserId]:
    return [UserId(f"{number:032x}") for number in range(count)]


def test_ten_thousand_users_who_come_at_once_cost_a_few_queries(either_site: Site) -> None:
    """Promised are 500 queries at most for 10,000 users; a query takes 500 users."""
    users = strangers(USERS)
    for user in users[:: USERS // 5]:
        either_site.give(user, "Review", "1.0.0")

    async def scenario(gateway: Gateway, client: Client) -> None:
        before = gateway.core.database.queries
        answers = await asyncio.gather(*(client.request(ENTRY_URL, user) for user in users))
        assert gateway.core.database.queries - before <= 50
        assert [
            user for user, answer in zip(users, answers, strict=True) if status(answer) == 200
        ] == (users[:: USERS // 5])
        assert {status(answer) for answer in answers} == {200, 404}

    # Counted are queries; a loop that answers 10,000 requests may be late for a timeout of 2 s.
    with_gateway(either_site, scenario, **QUIET, GATEWAY__DATABASE__QUERY_TIMEOUT="60")


def test_users_who_come_one_after_another_while_the_source_is_slow_share_the_next_query(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(_gateway: Gateway, client: Client, queries: Queries) -> None:
        queries.may_return.clear()
        asking = []
        for user in (ADA, BEN, *strangers(50)):
            asking.append(asyncio.create_task(client.request(ENTRY_URL, user)))
            await queries.until_answered(1)
            await asyncio.sleep(0)
        assert queries.count == 1
        queries.may_return.set()
        await asyncio.gather(*asking)
        assert queries.count == 2

    gated(site, monkeypatch, scenario)


def test_a_file_that_hangs_delays_its_user_and_nobody_else(
    either_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = WatchedFiles(monkeypatch)

    async def scenario(_gateway: Gateway, client: Client) -> None:
        files.hang(ADA)
        adas = asyncio.create_task(client.request(ENTRY_URL))
        try:
            for batch in range(5):
                users = [BEN, *strangers(5 + batch)[5:]]
                answers = await asyncio.gather(*(client.request(ENTRY_URL, user) for user in users))
                assert [status(answer) for answer in answers] == [200] + [404] * batch
            assert not adas.done()
        finally:
            files.release()
        assert status(await adas) == 200

    with_gateway(either_site, scenario, **QUIET)


def test_a_broken_file_delays_its_user_and_nobody_else(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than the test: the broken file is not read again.
    monkeypatch.setattr("gateway.serving.file_reader._BROKEN_PAUSE_S", 60.0)
    path = site.installations_file(ADA)
    whole = path.read_bytes()

    async def scenario(_gateway: Gateway, client: Client) -> None:
        path.write_bytes(whole[: len(whole) // 2])
        adas = asyncio.create_task(client.request(ENTRY_URL))
        try:
            for user in (BEN, *strangers(3)):
                await client.request(ENTRY_URL, user)
            assert not adas.done()
        finally:
            path.write_bytes(whole)
            adas.cancel()

    with_gateway(site, scenario, **QUIET)
