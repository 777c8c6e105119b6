"""What a gateway in this process counts of its sources, as requests make it ask them."""

import asyncio

import pytest

from gateway import Gateway
from gateway.errors import SourceUnavailable
from gateway.metrics.catalogue import SOURCE_DURATION, SOURCE_ERRORS, SOURCE_LOADS
from tests.support.asgi import Client, status, with_gateway
from tests.support.settings import QUIET, UNWATCHED
from tests.support.site import ADA, BEN, Site
from tests.support.sources import Queries, WatchedFiles
from tests.support.urls import ENTRY_URL


class Counted:
    """What was counted since this object was made."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._before = {source: self._sums(source) for source in ("database", "users", "shared")}

    def of(self, source: str) -> tuple[float, ...]:
        """Loads, errors, durations."""
        pairs = zip(self._sums(source), self._before[source], strict=True)
        return tuple(now - before for now, before in pairs)

    def _sums(self, source: str) -> tuple[float, ...]:
        totals = self._gateway.core.metrics.totals()
        return (
            totals.value(SOURCE_LOADS, source),
            totals.value(SOURCE_ERRORS, source),
            sum(totals.distribution(SOURCE_DURATION, source).counts),
        )


def test_a_cold_request_loads_once_from_each_source_and_a_known_one_not_at_all(site: Site) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        counted = Counted(gateway)
        assert status(await client.request(ENTRY_URL)) == 200
        assert counted.of("database") == counted.of("users") == (1, 0, 1)
        assert counted.of("shared") == (1, 0, 1)  # unpinned: no look at the folder
        counted = Counted(gateway)
        assert status(await client.request(ENTRY_URL)) == 200
        assert {counted.of(name) for name in ("database", "users", "shared")} == {(0, 0, 0)}

    with_gateway(site, scenario, **QUIET)


def test_users_who_are_loaded_together_are_one_query_and_a_file_each(site: Site) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        counted = Counted(gateway)
        await asyncio.gather(*(client.request(ENTRY_URL, user) for user in (ADA, BEN)))
        assert counted.of("users")[0] == 2
        assert counted.of("database")[0] <= 2

    with_gateway(site, scenario, **QUIET)


def test_a_database_that_fails_counts_also_what_its_circuit_refuses(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        queries = Queries(monkeypatch, gateway)
        queries.error = SourceUnavailable(reason="the disk of the database is full")
        counted = Counted(gateway)
        for _ in range(5):
            with pytest.raises(SourceUnavailable):
                await gateway.core.database.ping()
        assert counted.of("database") == (5, 5, 3)
        state = gateway.core.sources.database.state()
        assert state.is_circuit_open
        assert state.last_error == "the disk of the database is full"
        gateway.core.lookups.database_answers()  # to a source of changes
        state = gateway.core.sources.database.state()
        assert (state.is_circuit_open, state.failing_for_s) == (False, None)
        assert state.last_success_at is not None

    with_gateway(site, scenario, **QUIET)


def test_a_users_file_that_hangs_is_an_error_once_nobody_waits_any_longer(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.serving.file_reader._READ_TIMEOUT_S", 0.3)
    files = WatchedFiles(monkeypatch)

    async def scenario(gateway: Gateway, client: Client) -> None:
        files.hang(ADA)
        counted = Counted(gateway)
        assert status(await client.request(ENTRY_URL)) == 503
        assert counted.of("users") == (1, 1, 1)
        assert counted.of("shared") == (0, 0, 0)
        state = gateway.core.sources.users.state()
        assert (state.last_error or "").endswith("installed_plugins.json: not read within 0.3 s")
        files.release()

    with_gateway(site, scenario, **UNWATCHED)


def test_a_broken_file_is_an_answer_of_the_disk(site: Site) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        counted = Counted(gateway)
        assert status(await client.request(ENTRY_URL)) == 404
        loads, errors, _ = counted.of("users")
        assert loads > 1  # it was read again: its writer might not have finished
        assert errors == 0

    site.write_installations(ADA, b"{")
    try:
        with_gateway(site, scenario, **UNWATCHED)
    finally:
        site.install(ADA, "Review", "Eyes")


def test_a_published_folder_that_cannot_be_read_is_an_error_of_the_disk(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    async def scenario(gateway: Gateway, client: Client) -> None:
        counted = Counted(gateway)
        monkeypatch.setattr(gateway.core.storage.shared, "open_asset", fail)
        assert status(await client.request(ENTRY_URL)) == 503
        loads, errors, _ = counted.of("shared")
        assert loads == errors > 0
        assert "Input/output error" in (gateway.core.sources.shared.state().last_error or "")

    with_gateway(site, scenario, **QUIET)
