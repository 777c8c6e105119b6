"""What is counted of the changes that the sources hear of."""

import asyncio
import os
import time
from collections.abc import Callable

import pytest

from gateway import Gateway
from gateway.changes import ANYTHING, Change
from gateway.disk.storage import PluginStorage
from gateway.freshness import Ready, Tell, following
from gateway.freshness.change_log import ChangeLog
from gateway.freshness.workers import WorkersSource
from gateway.metrics.catalogue import CHANGE_DELAY, CHANGE_SOURCE_RUNNING, CHANGES
from gateway.metrics.changes import AllChanges, HeardChanges
from gateway.metrics.process import ProcessMetrics
from gateway.names import UserId
from tests.support.asgi import Client, status, with_gateway
from tests.support.settings import AN_HOUR
from tests.support.site import ADA, Site
from tests.support.urls import ENTRY_URL
from tests.support.waiting import until, until_answer

ADAS = Change(user=UserId(ADA))


class Counted:
    """What the sources of this object hear."""

    def __init__(self) -> None:
        self.metrics = ProcessMetrics.alone()
        self.changes = AllChanges(self.metrics)

    def heard(self, source: str) -> float:
        return self.metrics.totals().value(CHANGES, source)

    def running(self, source: str) -> float:
        return self.metrics.totals().value(CHANGE_SOURCE_RUNNING, source)

    def delays(self, source: str) -> float:
        return sum(self.metrics.totals().distribution(CHANGE_DELAY, source).counts)


class Told:
    """A source of freshness that the test tells what to do."""

    name = "sqlite"

    def __init__(self) -> None:
        self.act: asyncio.Queue[Change | Exception] = asyncio.Queue()

    async def run(self, tell: Tell, ready: Ready) -> None:
        ready()
        while True:
            act = await self.act.get()
            if isinstance(act, Exception):
                raise act
            tell(act)


def test_a_source_counts_what_it_tells_of_and_whether_it_runs() -> None:
    async def scenario() -> None:
        counted, source, told = Counted(), Told(), list[Change]()
        async with following([source], told.append, counted.changes):
            assert (counted.running("sqlite"), counted.heard("sqlite")) == (1, 0)
            for change in (ADAS, ANYTHING):
                source.act.put_nowait(change)
            await until(lambda: len(told) == 2)
            assert counted.heard("sqlite") == 2
            source.act.put_nowait(OSError("the disk is\naway"))
            await until(lambda: not counted.running("sqlite"))
            (state,) = counted.changes.states()
            assert (state.name, state.is_running) == ("sqlite", False)
            assert state.last_error == r"the disk is\u000aaway"
            await until(lambda: counted.running("sqlite"))
            assert counted.changes.states()[0].last_error is None

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("delay_s", "is_measured"), [(0.0, True), (59.9, True), (60.1, False), (-0.1, False)]
)
def test_a_delay_that_cannot_be_one_is_not_counted(delay_s: float, is_measured: bool) -> None:
    """The clock was set, or nobody asked for the user until now."""
    metrics = ProcessMetrics.alone()
    HeardChanges("workers", metrics.column, lambda: 1000.0).happened(1000.0 - delay_s)
    assert sum(metrics.totals().distribution(CHANGE_DELAY, "workers").counts) == is_measured


class Log:
    """A change log, and who reads it in this process."""

    def __init__(self, site: Site) -> None:
        self.log = ChangeLog(PluginStorage(site.plugins).cache)
        self.log.open()
        self.moments: list[float] = []

    def read(self) -> list[Change]:
        return list(self.log.read_new(self.moments.append))


def test_the_log_says_when_each_change_was_appended(empty_site: Site) -> None:
    reader, before = Log(empty_site), time.time()
    reader.log.append(ADAS)
    assert reader.read() == [ADAS]
    (moment,) = reader.moments
    assert before <= moment <= time.time()


def test_a_record_of_a_version_without_stamps_has_no_moment(
    empty_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves the stamp of the record that was there a round ago, or anything else."""
    monkeypatch.setattr("gateway.freshness.change_log._RECORDS", 4)
    reader = Log(empty_site)
    for _ in range(4):
        reader.log.append(ADAS)
        assert reader.read() == [ADAS]
    reader.moments.clear()
    with monkeypatch.context() as older:
        older.setattr("gateway.freshness.change_log._STAMP", NoRoom)
        reader.log.append(ADAS)
    assert reader.read() == [ADAS]
    assert reader.moments == []


class NoRoom:
    """A stamp that fits into no record."""

    size = 10_000


def test_changes_of_other_processes_count_with_their_delay(site: Site) -> None:
    async def scenario() -> None:
        counted, told = Counted(), list[Change]()
        log = ChangeLog(PluginStorage(site.plugins).cache)
        writer = ChangeLog(PluginStorage(site.plugins).cache)
        source = WorkersSource(log, counted.changes.of("workers"))
        async with following([source], told.append, counted.changes):
            writer.append(ADAS)
            await until(lambda: told == [ADAS])
            assert (counted.heard("workers"), counted.delays("workers")) == (1, 1)
        writer.close()
        log.close()

    asyncio.run(scenario())


def test_a_log_that_cannot_be_read_does_not_run(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_log: ChangeLog) -> bool:
        raise OSError(30, "Read-only file system")

    async def scenario() -> None:
        counted = Counted()
        log = ChangeLog(PluginStorage(site.plugins).cache)
        with monkeypatch.context() as broken:
            broken.setattr(ChangeLog, "reopen_if_replaced", fail)
            broken.setattr("gateway.freshness.workers._PAUSE_AFTER_FAILURE_S", 0.01)
            source = WorkersSource(log, counted.changes.of("workers"))
            async with following([source], lambda _: None, counted.changes):
                await until(lambda: counted.changes.states()[0].last_error)
                assert counted.running("workers") == 0
                broken.undo()
                await until(lambda: counted.running("workers"))
        log.close()

    asyncio.run(scenario())


def test_a_gateway_counts_changes_of_users_files_and_its_own(site: Site) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        totals = gateway.core.metrics.totals

        async def heard(source: str, act: Callable[[], None]) -> None:
            async def asked() -> float:
                await client.request(ENTRY_URL)  # only files in use are looked at
                return totals().value(CHANGES, source)

            before = await asked()
            act()
            await until_answer(asked, lambda count: count > before)

        await heard("users_folder", lambda: site.install(ADA, "Review"))
        delays = totals().distribution(CHANGE_DELAY, "users_folder")
        assert sum(delays.counts) == 1
        assert 0 <= delays.sum_s < 20
        await heard("this_worker", lambda: gateway.core.announcer.announce(ADAS))
        expected = {"workers", "users_folder", "sqlite"}
        states = gateway.core.changes.states()
        assert {state.name for state in states if state.is_running} == expected
        # This worker itself is no source that could stop: no alert must be told that it did.
        assert set(totals().shown(CHANGE_SOURCE_RUNNING)) == {(name,) for name in expected}

    with_gateway(site, scenario, **AN_HOUR)
    site.install(ADA, "Review", "Eyes")


def test_the_moment_of_a_file_is_that_of_its_last_change_not_of_its_content(site: Site) -> None:
    """Who renames an old file over the new one changes it now."""

    async def scenario(gateway: Gateway, client: Client) -> None:
        assert status(await client.request(ENTRY_URL)) == 200
        old = site.installations_file(ADA).with_suffix(".old")
        old.write_text("{}")
        os.utime(old, (1.0, 1.0))
        old.replace(site.installations_file(ADA))

        async def delays() -> float:
            await client.request(ENTRY_URL)  # only files in use are looked at
            totals = gateway.core.metrics.totals()
            return sum(totals.distribution(CHANGE_DELAY, "users_folder").counts)

        await until_answer(delays, bool)

    with_gateway(site, scenario, **AN_HOUR)
    site.install(ADA, "Review", "Eyes")
