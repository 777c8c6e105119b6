"""While nobody asks, the sources rest. What changed meanwhile shows in the first answer, and not
only soon after it. The lifetimes of all cached answers are an hour here: only the sources end them.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

import gateway
from gateway import Gateway
from gateway.caching import turns as turns_module
from gateway.changes import Change
from gateway.freshness.change_log import ChangeLog
from gateway.metrics.catalogue import CHANGE_DELAY
from gateway.names import UserId
from tests.support.asgi import Client, body, status, with_gateway
from tests.support.processes import children
from tests.support.scrapes import hot_answers
from tests.support.server import Server, serving
from tests.support.settings import AN_HOUR, QUIET
from tests.support.site import ADA, Site, bearer, populated
from tests.support.urls import ENTRY_URL, own, version_for
from tests.support.waiting import DEADLINE_S, eventually, until

pytestmark = pytest.mark.slow

_WATCHED = {**AN_HOUR, "GATEWAY__CACHE__ASSETS__REVALIDATE": "3600"}
_FOREVER_S = 3600.0
"""A rest that only somebody who asks can end."""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return populated(tmp_path / "site")


Scenario = Callable[[Gateway, Client], Awaitable[None]]


def resting(
    site: Site, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], scenario: Scenario
) -> None:
    """The scenario begins when Ada's entry is in memory, and all sources rest."""
    monkeypatch.setattr(turns_module, "_REST_S", _FOREVER_S)
    monkeypatch.setattr(turns_module, "_PATIENCE_S", DEADLINE_S)
    resting = 2 if settings is QUIET else 4  # with its report

    async def prepared(app: Gateway, client: Client) -> None:
        for _ in range(2):
            assert b"1.0.0" in body(await client.request(ENTRY_URL))
        assert hot_answers(app)[200] == 1
        await until(lambda: len(app.core.turns._asleep) == resting)
        await scenario(app, client)

    with_gateway(site, prepared, **settings)


def commit(site: Site) -> None:
    site.execute("UPDATE plugin SET version = '1.0.1' WHERE plugin_slug = 'Review'")


def test_a_commit_shows_in_the_first_answer(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(_app: Gateway, client: Client) -> None:
        await asyncio.to_thread(commit, site)
        assert b"1.0.1" in body(await client.request(ENTRY_URL))

    resting(site, monkeypatch, _WATCHED, scenario)


def test_what_others_announce_shows_in_the_first_answer_and_counts_as_no_delay(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(app: Gateway, client: Client) -> None:
        await asyncio.to_thread(commit, site)
        with closing(ChangeLog(app.core.storage.cache)) as log:
            log.append(Change(user=UserId(ADA)))
        assert b"1.0.1" in body(await client.request(ENTRY_URL))
        delays = app.core.metrics.totals().distribution(CHANGE_DELAY, "workers")
        assert sum(delays.counts) == 0

    resting(site, monkeypatch, QUIET, scenario)


def test_after_the_first_answer_the_hot_path_goes_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(app: Gateway, client: Client) -> None:
        for hot in (1, 2, 3):
            assert status(await client.request(ENTRY_URL)) == 200
            assert hot_answers(app)[200] == hot

    resting(site, monkeypatch, _WATCHED, scenario)


# A worker and its supervisor


@contextmanager
def asleep(site: Site, folder: Path) -> Iterator[Server]:
    """A server whose worker rests, and wakes for who asks and for its supervisor alone."""
    (folder / "sitecustomize.py").write_text(
        f"import gateway.caching.turns as it\nit._REST_S = {_FOREVER_S}\n"
    )
    path = os.pathsep.join([str(folder), str(Path(gateway.__file__).parents[1])])
    with serving({**site.environment, **_WATCHED, "PYTHONPATH": path}) as server:
        (worker,) = children(server.process.pid)
        assert server.get(own("Review"), bearer(ADA)).status == 200
        wait_until_it_rests(worker)
        yield server


def wait_until_it_rests(worker: int) -> None:
    """Awake it has five turns in this time."""

    def wakes() -> int:
        before = _waits(worker)
        time.sleep(0.25)
        return _waits(worker) - before

    eventually(wakes, lambda seen: seen < 4)


def _waits(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux's /proc")


@needs_proc
def test_a_worker_that_rests_obeys_its_supervisor_at_once(site: Site, tmp_path: Path) -> None:
    with asleep(site, tmp_path) as server:
        assert server.stop() == 0


@needs_proc
def test_the_first_answer_after_a_rest_shows_the_change_and_the_time(
    site: Site, tmp_path: Path
) -> None:
    with asleep(site, tmp_path) as server:
        time.sleep(3.0)  # not for luck: the field Date of the last answer would be that old
        commit(site)
        asked_at = time.time()
        answer = server.get(own("Review"), bearer(ADA))
        assert b"1.0.1" in answer.body
        assert parsedate_to_datetime(answer.headers["date"]).timestamp() > asked_at - 1.0
        eventually(version_for(server, ADA), lambda version: version == "1.0.1")
