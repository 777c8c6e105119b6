"""What all freshness sources have in common: when they begin, and what happens when one fails."""

import asyncio
import logging
import math

import pytest

from gateway import Gateway, create_app, freshness, load_settings
from gateway.changes import ANYTHING, Change
from gateway.freshness import FreshnessSource, Ready, Tell, following
from tests.support.asgi import Client, status, with_gateway
from tests.support.postgres import Postgres, PostgresSite
from tests.support.site import Site
from tests.support.urls import ENTRY_URL

DEADLINE_S = 10.0
LATE_S = 0.05


class Late:
    """A source that begins after a while."""

    name = "late"

    async def run(self, tell: Tell, ready: Ready) -> None:
        await asyncio.sleep(LATE_S)
        tell(ANYTHING)
        ready()
        await asyncio.Event().wait()


class Failing:
    """A source that never begins, because it fails each time."""

    name = "failing"

    async def run(self, tell: Tell, ready: Ready) -> None:
        raise OSError("no such database")


class Unsteady:
    """A source that fails six times, begins, and fails again, twice over."""

    name = "unsteady"

    def __init__(self) -> None:
        self.runs = 0

    async def run(self, tell: Tell, ready: Ready) -> None:
        self.runs += 1
        if self.runs % 7 == 0:
            ready()
        raise OSError("gone")


class Silent:
    """A source that never begins, and does not fail either."""

    name = "silent"

    async def run(self, tell: Tell, ready: Ready) -> None:
        await asyncio.Event().wait()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources are waited for without end; the test's own deadline ends the wait."""
    monkeypatch.setattr(freshness, "_LONGEST_START_S", math.inf)


def told_at_the_start(*sources: FreshnessSource) -> list[Change]:
    """What was told before the block of `following` began."""
    told: list[Change] = []

    async def main() -> None:
        async with asyncio.timeout(DEADLINE_S), following(sources, told.append):
            at_the_start.extend(told)

    at_the_start: list[Change] = []
    asyncio.run(main())
    return at_the_start


@pytest.mark.usefixtures("patient")
def test_the_block_begins_when_all_sources_have_begun() -> None:
    assert told_at_the_start(Late(), Late()) == [ANYTHING, ANYTHING]


@pytest.mark.usefixtures("patient")
def test_a_source_that_fails_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    assert told_at_the_start(Failing(), Late()) == [ANYTHING]
    assert "failing fails, and is tried again: no such database" in caplog.text


def test_a_source_that_works_again_begins_with_the_shortest_pause(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No pause is longer than half of the second in which a change shows after an outage. The log
    has a line for the begin of each outage, and one for its end.
    """
    caplog.set_level(logging.INFO)
    pauses_s: list[float] = []
    enough = asyncio.Event()
    sleep = asyncio.sleep

    async def note(pause_s: float) -> None:
        pauses_s.append(pause_s)
        if len(pauses_s) == 14:
            enough.set()
            await asyncio.Event().wait()
        await sleep(0.0)

    async def main() -> None:
        async with asyncio.timeout(DEADLINE_S), following([Unsteady()], lambda _change: None):
            await enough.wait()

    monkeypatch.setattr(asyncio, "sleep", note)
    asyncio.run(main())
    assert pauses_s == [0.1, 0.2, 0.4, 0.5, 0.5, 0.5, *[0.1, 0.2, 0.4, 0.5, 0.5, 0.5, 0.5], 0.1]
    begin = "freshness: unsteady fails, and is tried again: gone"
    end = "freshness: unsteady works again, after 0.0 s"
    assert caplog.messages == [begin, end, begin, end, begin]


def test_a_source_that_is_silent_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(freshness, "_LONGEST_START_S", LATE_S)
    assert told_at_the_start(Silent()) == []


@pytest.mark.usefixtures("patient")
def test_every_source_of_a_site_in_sqlite_begins(empty_site: Site) -> None:
    assert begin_of_all(empty_site) == {"workers", "pinned trees", "users folder", "sqlite"}


@pytest.mark.usefixtures("patient")
def test_every_source_of_a_site_in_postgresql_begins(empty_site: Site, postgres: Postgres) -> None:
    site = PostgresSite(empty_site.folder / "site", postgres.new_database())
    assert begin_of_all(site) == {"workers", "pinned trees", "users folder", "postgres"}


def begin_of_all(site: Site) -> set[str]:
    """Names of the sources that began; fails at the deadline, if one of them did not."""
    gateway = create_app(
        load_settings(environ={**site.environment, "GATEWAY__DELIVERY__MODE": "accel"})
    )
    gateway.core.change_log.open()
    sources = gateway.core.freshness_sources()
    told_at_the_start(*sources)
    gateway.core.change_log.close()
    return {source.name for source in sources}


def test_a_gateway_that_runs_expires_nothing_on_account_of_its_start(site: Site) -> None:
    """The first look of the sources comes before the first request, not just after it."""

    async def scenario(gateway: Gateway, client: Client) -> None:
        at_the_start = gateway.core.invalidation.applied
        assert status(await client.request(ENTRY_URL)) == 200
        assert gateway.core.invalidation.applied == at_the_start == 1

    with_gateway(site, scenario)
