"""The overview of a gateway in this process: what fails, said while it fails."""

import asyncio
import threading
import time
from typing import Any

import pytest

from gateway import Gateway, load_settings
from gateway.errors import SourceUnavailable
from gateway.metrics.process import ProcessMetrics
from gateway.metrics.table import Table
from gateway.overview.history import Sampler
from gateway.overview.overview import Membership, OverviewMemory
from gateway.serving.asset_store import AssetStore
from tests.support.asgi import Client, status, with_gateway
from tests.support.settings import UNWATCHED
from tests.support.site import ADA, BEN, Site
from tests.support.sources import Queries, WatchedFiles
from tests.support.urls import ENTRY_URL
from tests.support.waiting import until

KEYS = {
    "time",
    "status",
    "reasons",
    "verdicts",
    "changes",
    "version",
    "started_at",
    "workers",
    "sources",
    "change_sources",
    "caches",
    "refused",
    "slowest",
}


def verdict(gateway: Gateway, part: str) -> dict[str, Any]:
    gateway.core.overview.report()
    (found,) = [it for it in gateway.core.overview.state()["verdicts"] if it["part"] == part]
    return dict(found)


def test_a_gateway_that_is_alone_shows_itself_from_the_start(site: Site) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        await client.request(ENTRY_URL)
        state = gateway.core.overview.state()
        assert set(state) == KEYS
        assert (state["status"], len(state["workers"]), state["workers"][0]["answers"]) == (
            "ready",
            1,
            True,
        )
        assert 0 < state["started_at"] <= time.time()
        gateway.health.draining = True
        gateway.core.overview.report()
        state = gateway.core.overview.state()
        assert (state["status"], state["workers"][0]["state"]) == ("draining", "draining")

    with_gateway(site, scenario)


def test_a_worker_that_is_being_replaced_is_draining(site: Site) -> None:
    async def scenario(gateway: Gateway, _client: Client) -> None:
        gateway.stream_end.order()
        gateway.core.overview.report()
        assert gateway.core.overview.state()["workers"][0]["state"] == "draining"

    with_gateway(site, scenario)


def test_users_files_that_hang_are_the_disks_fault(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.serving.file_reader._READ_TIMEOUT_S", 0.2)
    files = WatchedFiles(monkeypatch)

    async def scenario(gateway: Gateway, client: Client) -> None:
        overview = gateway.core.overview
        files.hang(ADA)
        for _ in range(3):
            assert status(await client.request(ENTRY_URL)) == 503
        await until(
            lambda: sum(it["sources"]["users"]["errors_per_s"] for it in overview.samples()) > 1
        )
        failing = verdict(gateway, "disk")
        assert failing["state"] == "failing"
        assert failing["sentence"].startswith("The users' folder cannot be read: ")
        assert failing["sentence"].endswith("not read within 0.2 s.")
        assert verdict(gateway, "database")["state"] == "good"
        files.release()
        assert status(await client.request(ENTRY_URL, BEN)) == 200
        assert verdict(gateway, "disk")["state"] == "strained"  # for the rest of the minute

    with_gateway(site, scenario, **UNWATCHED)


def test_a_read_of_a_published_file_that_hangs_is_failing_before_it_ends(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    read = AssetStore._read
    monkeypatch.setattr("gateway.overview.verdicts.HANGS_AFTER_S", 0.1)

    def hang(store: AssetStore, *arguments: Any) -> Any:
        released.wait()
        return read(store, *arguments)

    monkeypatch.setattr(AssetStore, "_read", hang)

    async def scenario(gateway: Gateway, client: Client) -> None:
        waiting = asyncio.create_task(client.request(ENTRY_URL))
        try:
            await until(lambda: verdict(gateway, "disk")["state"] == "failing")
            sentence = verdict(gateway, "disk")["sentence"]
            assert sentence.startswith("The shared folder has not answered for ")
        finally:
            released.set()
        assert status(await waiting) == 200
        assert verdict(gateway, "disk")["state"] == "good"

    with_gateway(site, scenario, **UNWATCHED)


def test_a_failing_database_lasts_until_it_is_asked_or_heard_of_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        queries = Queries(monkeypatch, gateway)
        queries.error = SourceUnavailable(reason="the database query failed: disk I/O error")
        for _ in range(3):
            with pytest.raises(SourceUnavailable):
                await gateway.core.database.ping()
        failing = verdict(gateway, "database")
        assert failing["state"] == "failing"
        expected = "The database cannot be read: the database query failed: disk I/O error."
        assert failing["sentence"] == expected
        state = gateway.core.overview.state()
        assert (state["status"], state["reasons"]) == ("degraded", [expected])
        assert state["sources"][0]["circuit_open"] == 1
        gateway.core.lookups.database_answers()
        assert verdict(gateway, "database")["state"] != "failing"

    with_gateway(site, scenario, **UNWATCHED)


def test_a_worker_shows_what_another_process_writes_into_the_memory(site: Site) -> None:
    """As a worker of a supervisor, which keeps the history."""

    async def main() -> None:
        table, memory = Table.alone(), OverviewMemory.alone()
        settings = load_settings(environ=site.environment)
        membership = Membership(ProcessMetrics(table, 0), memory)
        gateway = Gateway(settings, membership=membership)
        async with gateway.running():
            assert gateway.core.overview.samples() == []
            clock = iter([0.0, 2.0])
            Sampler(memory.history, table.totals, lambda: next(clock), lambda: 7.0).look()
            assert [it["time"] for it in gateway.core.overview.samples()] == [7.0]
            assert gateway.core.overview.samples(after=7.0) == []

    asyncio.run(main())
