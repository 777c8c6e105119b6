"""What operators see of real servers: all workers from whichever, what fails, and for how long."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.event_streams import EventReader
from tests.support.mounted import URL_PREFIX, serving_mounted
from tests.support.postgres import Postgres, PostgresSite
from tests.support.processes import children
from tests.support.server import Server, serving
from tests.support.site import ADA, BEN, Site, bearer, populate, populated
from tests.support.urls import own
from tests.support.waiting import DEADLINE_S, eventually, for_a_while
from tests.support.workers import each_worker, memory_bytes

pytestmark = pytest.mark.slow

TOKEN = "the-token-of-the-administrators"
HOLDER = {"Authorization": f"Bearer {TOKEN}"}
WORKERS = 3
ENTRY = own("Review")
SETTINGS = {
    "GATEWAY__ADMIN__TOKEN": TOKEN,
    "GATEWAY__CACHE__INSTALLATIONS__TTL": "0.2",
    "GATEWAY__CACHE__VERSIONS__TTL": "0.2",
    "GATEWAY__CACHE__ASSETS__REVALIDATE": "0.2",
    "GATEWAY__DATABASE__QUERY_TIMEOUT": "1",
}
ANSWERS_WITHIN_S = 3.0
"""A worker that is stopped accepts connections, and says nothing."""
State = dict[str, Any]


@contextmanager
def several_workers(site: Site, **settings: str) -> Iterator[Server]:
    environment = {**site.environment, **SETTINGS, **settings}
    with serving(environment, "--workers", str(WORKERS)) as server:
        until_state(server, lambda it: len(it["workers"]) == WORKERS)
        yield server


@contextmanager
def events_of(server: Server, prefix: str = "") -> Iterator[EventReader]:
    """A stream of events of whichever worker takes it, and has room for one more."""
    for _ in for_a_while(DEADLINE_S):
        connection = server.connection()
        try:
            connection.request("GET", f"{prefix}/-/console/events", headers=HOLDER)
            connection.sock.settimeout(ANSWERS_WITHIN_S)
            with connection.getresponse() as response:
                if response.status == 200:
                    yield EventReader(response)
                    return
        except TimeoutError:  # the worker hangs
            pass
        finally:
            connection.close()
    raise AssertionError("no worker has room for a stream")


def states_of(events: EventReader) -> Iterator[State]:
    """One each second, until the deadline of a test."""
    for _, event in zip(for_a_while(DEADLINE_S), events, strict=False):
        if event.name == "state":
            yield event.data
    raise AssertionError("no state is as it should be")


def state_of(server: Server, prefix: str = "") -> State:
    with events_of(server, prefix) as events:
        return next(states_of(events))


def history_of(server: Server, prefix: str = "") -> list[dict[str, Any]]:
    with events_of(server, prefix) as events:
        samples: list[dict[str, Any]] = events.until("history").data["samples"]
        return samples


def until_state(
    server: Server, holds: Callable[[State], object], ask: Callable[[], object] = lambda: None
) -> State:
    """The first state for which this holds; `ask` is called before each look."""
    with events_of(server) as events:
        for state in states_of(events):
            if holds(state):
                return state
            ask()
    raise AssertionError


def until_verdict(
    server: Server, part: str, conditions: str, ask: Callable[[], object] = lambda: None
) -> State:
    """The first state in which the part is in one of these conditions."""
    return until_state(server, lambda it: verdict(it, part)["state"] in conditions.split(), ask)


def verdict(state: State, part: str) -> dict[str, str]:
    (found,) = [it for it in state["verdicts"] if it["part"] == part]
    return dict(found)


def cold_users(server: Server) -> Callable[[], object]:
    """Asks for a file as somebody who was never here, each time somebody else."""
    numbers = iter(range(10**6))

    def ask() -> object:
        return server.get(ENTRY, bearer(f"{next(numbers):032x}")).status

    return ask


# All workers


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with several_workers(populated(tmp_path_factory.mktemp("cluster"))) as server:
        yield server


def test_every_worker_shows_all_workers(cluster: Server) -> None:
    pids = sorted(children(cluster.process.pid))
    answering: set[int] = set()

    def collected() -> set[int]:
        state = state_of(cluster)
        assert sorted(worker["pid"] for worker in state["workers"]) == pids
        answering.update(worker["pid"] for worker in state["workers"] if worker["answers"])
        return answering

    eventually(collected, lambda found: sorted(found) == pids)
    state = state_of(cluster)
    assert {worker["state"] for worker in state["workers"]} == {"serving"}
    assert min(worker["memory_bytes"] for worker in state["workers"]) > 10 * 2**20
    assert {it["name"]: it["running"] for it in state["change_sources"]} == {
        "workers": WORKERS,
        "users_folder": WORKERS,
        "sqlite": WORKERS,
    }
    assert (state["status"], state["reasons"], state["changes"]) == ("ready", [], "off")


def test_refused_and_slow_requests_of_all_workers_are_shown(cluster: Server) -> None:
    path = own("Nothing", "dist/secret.js?token=geheim")
    with each_worker(cluster, WORKERS) as workers:
        for worker in workers:
            assert worker.get(path, bearer(ADA)).status == 404

    def count(state: State) -> int:
        return sum(it["count"] for it in state["refused"] if it["path"] == path.split("?")[0])

    state = until_state(cluster, lambda it: count(it) == WORKERS)
    assert "geheim" not in str(state)
    assert {it["status"] for it in state["slowest"]} >= {404}
    durations = [it["duration_s"] for it in state["slowest"]]
    assert durations == sorted(durations, reverse=True)


def test_what_operators_ask_is_not_among_the_slowest_requests(cluster: Server) -> None:
    missing = own("Review", "dist/a.js")
    cluster.get(missing, bearer(ADA))
    cluster.get("/-/metrics")
    state = until_state(cluster, lambda it: missing in {one["path"] for one in it["slowest"]})
    assert not any(one["path"].startswith("/-/") for one in state["slowest"])


def test_a_flood_of_refused_paths_is_bounded(cluster: Server) -> None:
    before = memory_bytes(cluster)
    for number in range(1500):
        path = f"/api/v1/plugins/{number}" + "/%22%5c" * 200
        assert cluster.get(path).status in {401, 404, 422}
    state = until_state(cluster, lambda it: len(it["refused"]) == 20)
    assert max(len(it["path"]) for it in state["refused"]) <= 200
    assert memory_bytes(cluster) - before < 24 * 2**20


def test_samples_are_of_all_workers_and_survive_a_worker_that_is_killed(site: Site) -> None:
    with several_workers(site) as server:
        for _ in range(40):
            assert server.get(ENTRY, bearer(ADA)).status == 200

        with events_of(server) as events:
            counted = 0.0
            for _, event in zip(for_a_while(DEADLINE_S), events, strict=False):
                samples = event.data["samples"] if event.name == "history" else [event.data]
                if event.name != "state":
                    # The looks of this test are requests, too, but on the cold path.
                    counted += sum(
                        2 * it["requests_per_s"] * (it["hot_share"] or 0) for it in samples
                    )
                if counted >= 20:
                    break
        assert counted >= 20  # nearly 40, but a sample may come late
        before = history_of(server)
        killed = children(server.process.pid)[0]
        os.kill(killed, signal.SIGKILL)
        until_state(
            server,
            lambda it: (
                killed not in {worker["pid"] for worker in it["workers"]}
                and len(it["workers"]) == WORKERS
            ),
        )
        assert history_of(server)[: len(before)] == before
        state = until_verdict(server, "gateway", "strained")
        sentence = verdict(state, "gateway")["sentence"]
        assert sentence == "Workers that ended in the last minute and were replaced: 1."


def test_workers_that_are_replaced_take_their_reports_with_them(site: Site) -> None:
    with several_workers(site) as server:
        old = set(children(server.process.pid))
        server.process.send_signal(signal.SIGHUP)

        def pids(state: State) -> set[int]:
            return {worker["pid"] for worker in state["workers"]}

        eventually(
            lambda: pids(state_of(server)), lambda it: len(it) == WORKERS and not it & old, 60.0
        )


def test_a_worker_that_hangs_is_shown_by_the_others(site: Site) -> None:
    with several_workers(site) as server:
        hanging = children(server.process.pid)[0]
        os.kill(hanging, signal.SIGSTOP)
        try:
            state = until_verdict(server, "gateway", "failing")
            (worker,) = [it for it in state["workers"] if it["pid"] == hanging]
            assert (worker["state"], state["status"]) == ("hung", "degraded")
            assert state["reasons"] == [f"Workers that do not answer: 1 of {WORKERS}."]
        finally:
            os.kill(hanging, signal.SIGCONT)
        until_state(server, lambda it: {worker["state"] for worker in it["workers"]} == {"serving"})


@pytest.mark.parametrize("application", ["with_running", "without_running"])
def test_a_gateway_that_is_mounted_shows_itself(site: Site, application: str) -> None:
    environment = {**site.environment, **SETTINGS}
    with (
        serving_mounted(application, environment) as server,
        events_of(server, URL_PREFIX) as events,
    ):
        state = next(it for it in states_of(events) if it["workers"])
        assert [worker["pid"] for worker in state["workers"]] == [server.process.pid]
        assert events.until("sample").data["requests_per_s"] >= 0


# What fails


def test_a_postgres_that_is_stopped_is_failing_until_it_is_back(
    postgres: Postgres, tmp_path: Path
) -> None:
    site = populate(PostgresSite(tmp_path / "site", postgres.new_database()))
    with several_workers(site) as server:
        ask = cold_users(server)
        until_verdict(server, "database", "good", ask)
        postgres.stop()
        try:
            state = until_verdict(server, "database", "failing", ask)
            assert verdict(state, "disk")["state"] == "good"
            assert state["status"] == "degraded"
            (reason,) = state["reasons"]
            assert reason.startswith("The database cannot be")
            state = until_state(server, lambda it: it["sources"][0]["last_error"], ask)
            assert "Error(" not in state["sources"][0]["last_error"]
            # Also for the workers that nobody asks: their connection for changes is gone.
            until_state(
                server,
                lambda it: (
                    {s["running"] for s in it["change_sources"] if s["name"] == "postgres"} == {0}
                ),
            )
        finally:
            postgres.start()
        until_verdict(server, "database", "strained good")
        assert server.get(ENTRY, bearer(BEN)).status == 200
        assert state_of(server)["sources"][0]["circuit_open"] == 0


def test_a_sqlite_file_that_is_gone_is_failing_although_nobody_asks(tmp_path: Path) -> None:
    site = populated(tmp_path / "site")
    with several_workers(site) as server:
        away = site.database.rename(site.folder / "away.db")
        state = until_verdict(server, "database", "failing")
        assert str(site.database) in verdict(state, "database")["sentence"]
        away.rename(site.database)
        until_verdict(server, "database", "strained good")


def test_a_sqlite_file_that_is_locked_is_failing(tmp_path: Path) -> None:
    site = populated(tmp_path / "site")
    with several_workers(site) as server:
        with site.locked():
            state = until_verdict(server, "database", "failing", cold_users(server))
            sentence = verdict(state, "database")["sentence"]
            assert "locked" in sentence or "timed out" in sentence
        until_verdict(server, "database", "strained", cold_users(server))


def test_a_users_folder_that_is_gone_is_the_disks_fault_although_nobody_asks(
    tmp_path: Path,
) -> None:
    site = populated(tmp_path / "site")
    users = site.plugins / "users"
    with several_workers(site) as server:
        away = users.rename(site.folder / "away")
        state = until_verdict(server, "disk", "failing")
        expected = f"The users' folder cannot be looked at: No such file or directory: {users}."
        assert verdict(state, "disk")["sentence"] == expected
        assert (state["status"], state["reasons"]) == ("unavailable", [expected])
        assert verdict(state, "database")["state"] == "good"
        away.rename(users)
        until_verdict(server, "disk", "good")
