"""One scrape shows all workers, whichever answers, also those that have ended."""

import contextlib
import http.client
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.processes import children
from tests.support.scrapes import Scrape, scrape
from tests.support.server import Server, serving
from tests.support.site import ADA, BEN, Site, bearer
from tests.support.urls import MANIFEST, own, public
from tests.support.waiting import eventually
from tests.support.workers import Worker, each_worker

pytestmark = pytest.mark.slow

REQUESTS = "gateway_requests_total"
QUESTIONS = [
    ("own", own("Review"), bearer(ADA)),
    ("own", own("Review"), bearer(BEN)),
    ("own", own("Review", "dist/none.js"), bearer(ADA)),
    ("public", public(f"{ADA}_Review"), {}),
    ("manifest", MANIFEST, bearer(ADA)),
    ("other", "/none", {}),
]
"""Their routes, URLs and headers."""


def workers_of(site: Site, count: int) -> dict[str, str]:
    return {**site.environment, "GATEWAY__SERVER__WORKERS": str(count)}


def counted(found: Scrape, route: str) -> float:
    return found.total(REQUESTS, route=route)


def test_requests_to_four_workers_are_all_in_the_next_scrape_of_any(site: Site) -> None:
    with serving(workers_of(site, 4)) as server, each_worker(server, 4) as workers:
        _ask_all(workers, rounds=5)
        for worker in workers:
            found = scrape(worker.get)
            assert counted(found, "own") == 3 * 5 * 4
            assert counted(found, "public") == counted(found, "manifest") == 5 * 4
            assert counted(found, "other") == 5 * 4
            assert found.total("gateway_refusals_total") == 2 * 5 * 4
            assert found.total(REQUESTS, path="hot") > 0
            assert found.total(REQUESTS, path="cold", route="own") >= 4
            assert found.total("gateway_workers") == 4.0


def test_requests_on_many_connections_at_once_are_each_counted_once(site: Site) -> None:
    def ask(server: Server, connection: http.client.HTTPConnection) -> None:
        for _ in range(25):
            for _, path, headers in QUESTIONS:
                connection.request("GET", path, headers=headers)
                connection.getresponse().read()

    with serving(workers_of(site, 4)) as server, contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(contextlib.closing(server.connection())) for _ in range(16)
        ]
        with ThreadPoolExecutor(len(connections)) as pool:
            for asking in [pool.submit(ask, server, each) for each in connections]:
                asking.result()
        sent = 16 * 25 * len(QUESTIONS)
        assert scrape(server.get).total(REQUESTS) == sent
        # Durations of the hot path come with the next beat.
        eventually(lambda: _durations(scrape(server.get)), lambda counted: counted == sent)


def _durations(found: Scrape) -> float:
    """How many there are, without those of the scrapes."""
    name = "gateway_request_duration_seconds_count"
    return found.total(name) - found.total(name, route="operations")


def test_a_killed_worker_leaves_its_counts_and_takes_its_gauges(site: Site) -> None:
    with serving(workers_of(site, 2)) as server, each_worker(server, 2) as workers:
        _ask_all(workers, rounds=3)
        before = eventually(
            lambda: scrape(workers[0].get),
            lambda found: found.total("gateway_connections") >= 2,  # with the next beat of each
        )
        assert before.total("gateway_worker_restarts_total") == 0
        os.kill(workers[1].pid, signal.SIGKILL)
        after = eventually(
            lambda: scrape(workers[0].get),
            lambda found: (
                found.total("gateway_worker_restarts_total", cause="died") == 1
                and found.total("gateway_workers") == 2
            ),
        )
        for route in ("own", "public", "manifest", "other"):
            assert counted(after, route) == counted(before, route)
        assert fallen(before, after) == {}
        workers[1].close()
        eventually(
            lambda: scrape(workers[0].get).total("gateway_connections"),
            lambda connected: connected == 1,
        )
        assert scrape(workers[0].get).total("gateway_cache_entries", cache="versions") == 2


def test_workers_that_are_replaced_leave_their_counts(site: Site) -> None:
    with serving(workers_of(site, 2)) as server:
        with each_worker(server, 2) as workers:
            _ask_all(workers, rounds=3)
            before = scrape(workers[0].get)
            old = children(server.process.pid)
        server.process.send_signal(signal.SIGHUP)
        eventually(
            lambda: children(server.process.pid),
            lambda now: len(now) == 2 and not set(now) & set(old),
        )
        after = scrape(server.get)
        assert counted(after, "own") == counted(before, "own")
        assert fallen(before, after) == {}
        assert after.total("gateway_workers") == 2
        assert after.total("gateway_connections") == 1
        assert after.total("gateway_worker_restarts_total") == 0
        assert after.total("gateway_start_time_seconds") == before.total(
            "gateway_start_time_seconds"
        )


def test_more_workers_than_at_the_start_are_all_counted(site: Site) -> None:
    config = site.folder / "workers.toml"
    config.write_text("[server]\nworkers = 1\n")
    with serving(site.environment, config=config) as server:
        server.get(own("Review"), bearer(ADA))
        config.write_text("[server]\nworkers = 12\n")
        server.process.send_signal(signal.SIGHUP)
        found = eventually(
            lambda: scrape(server.get), lambda found: found.total("gateway_workers") == 12
        )
        assert counted(found, "own") == 1


def _ask_all(workers: list[Worker], rounds: int) -> None:
    for worker in workers:
        for _ in range(rounds):
            for _, path, headers in QUESTIONS:
                worker.get(path, headers)


def fallen(before: Scrape, after: Scrape) -> dict[object, tuple[float, float | None]]:
    """What is less in the later scrape, or missing, although it can only rise."""
    now = after.rising()
    return {
        sample: (value, now.get(sample))
        for sample, value in before.rising().items()
        if now.get(sample, -1.0) < value
    }


class Visitors:
    """Threads that ask until the end, on connections that may break."""

    def __init__(self, server: Server, threads: int) -> None:
        self._server = server
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._visit) for _ in range(threads)]
        self._lock = threading.Lock()
        self.sent = 0
        self.answered = 0

    def __enter__(self) -> "Visitors":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _visit(self) -> None:
        while not self._end.is_set():
            with (
                contextlib.suppress(OSError, http.client.HTTPException),
                contextlib.closing(self._server.connection()) as connection,
            ):
                self._ask_some(connection)

    def _ask_some(self, connection: http.client.HTTPConnection) -> None:
        for _, path, headers in QUESTIONS * 2:
            with self._lock:
                self.sent += 1
            connection.request("GET", path, headers=headers)
            connection.getresponse().read()
            with self._lock:
                self.answered += 1
            time.sleep(0.002)  # leaves the processors to the workers that start


def test_no_counter_falls_while_workers_are_killed_and_replaced(site: Site) -> None:
    with serving(workers_of(site, 3)) as server:
        with Visitors(server, 2) as visitors:
            last, kills = _disturb(server, times=80, chance=random.Random(15))
        found = eventually(
            lambda: _scrape_somehow(server),
            lambda found: (
                found.total("gateway_workers") == 3 and found.total("gateway_connections") == 1
            ),
        )
    assert fallen(last, found) == {}
    assert visitors.answered <= _of_visitors(found) <= visitors.sent
    # The end of a worker that was ending anyway is no restart.
    assert kills / 2 < found.total("gateway_worker_restarts_total", cause="died") <= kills


def _disturb(server: Server, times: int, chance: random.Random) -> tuple[Scrape, int]:
    """At random moments kills a worker, or, once in five times, replaces all. Meanwhile scrapes
    without a pause. Returns the last scrape, and how many workers were killed.
    """
    last, kills = _scrape_somehow(server), 0
    for _ in range(times):
        pids = children(server.process.pid)
        if chance.random() < 0.2 or not pids:
            server.process.send_signal(signal.SIGHUP)
        else:
            with contextlib.suppress(ProcessLookupError):  # it has ended a moment ago
                os.kill(chance.choice(pids), signal.SIGKILL)
                kills += 1
        moment = time.monotonic() + chance.uniform(0.02, 0.3)
        while time.monotonic() < moment:
            found = _scrape_somehow(server)
            assert fallen(last, found) == {}
            last = found
    return last, kills


def _of_visitors(found: Scrape) -> float:
    return found.total(REQUESTS) - found.total(REQUESTS, route="operations")


def _scrape_somehow(server: Server) -> Scrape:
    """From any worker that lives long enough to answer."""

    def ask() -> Scrape | None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return scrape(server.get)
        return None

    found = eventually(ask, lambda found: found is not None)
    assert found is not None
    return found
