"""Benchmarks run small: that they measure something, never how fast it was."""

import os
import socketserver
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.cores import Cores
from benchmarks.fresh_process import in_fresh_process
from benchmarks.load.open_loop import NO_ANSWER, Arrival, open_loop
from benchmarks.lookup.hit_ratio import SIZES, TTLS_S, hit_ratios
from benchmarks.lookup.inside import gateway_inside, received
from benchmarks.lookup.misses import concurrent_misses
from benchmarks.lookup.stages import STAGES
from benchmarks.loop import run
from benchmarks.population import PUBLISHED_VERSIONS, PopulatedSite, Population, kept_site
from benchmarks.resources.managers import own_bytes, shared_bytes
from benchmarks.resources.site import (
    allocated_bytes,
    copy_to_each,
    holdings,
    publish_all,
    write_installations,
)
from benchmarks.scale.figures import QUANTITIES, Sizes
from benchmarks.scale.sizes import measure_commits, measure_size
from benchmarks.scale.starting import has_command
from benchmarks.soak.command import soaked
from benchmarks.soak.counts import LEFT
from benchmarks.soak.mix import EXPECTED
from benchmarks.subjects import NothingToAsk, made_subjects, own_subjects
from gateway.disk.storage import PluginStorage

pytestmark = pytest.mark.slow

POPULATION = Population(40, 3, 6)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> PopulatedSite:
    return kept_site(tmp_path_factory.mktemp("sites"), POPULATION)


def test_a_population_has_the_users_and_plugins_that_it_says(site: PopulatedSite) -> None:
    storage = PluginStorage(site.plugins)
    counts: Counter[int] = Counter()
    with closing(sqlite3.connect(site.database)) as connection:
        for number in range(POPULATION.users):
            user, plugins = POPULATION.user(number), POPULATION.plugins_of(number)
            assert (
                sorted(plugins)
                == connection.execute(
                    "SELECT plugin_slug, version FROM plugin WHERE user_id = ? ORDER BY 1", (user,)
                ).fetchall()
            )
            assert set(storage.get_all_user_plugins(user)) == {slug for slug, _ in plugins}
            counts[len(plugins)] += 1
        (users,) = connection.execute("SELECT count(DISTINCT user_id) FROM plugin").fetchone()
    assert users == POPULATION.users
    assert set(counts) <= {3, 4, 5, 6}
    assert counts[3] > counts[6]
    assert len(list(storage.shared.glob("*/v*"))) == PUBLISHED_VERSIONS


def test_a_site_is_made_once_and_again_where_it_was_not_made_whole(
    site: PopulatedSite, tmp_path: Path
) -> None:
    told: list[int] = []
    kept_site(site.folder.parent, POPULATION, lambda done, _of: told.append(done))
    assert told == []
    kept_site(tmp_path, Population(5, 1, 1), lambda done, _of: told.append(done))
    (tmp_path / str(Population(5, 1, 1)) / "complete").unlink()
    kept_site(tmp_path, Population(5, 1, 1), lambda done, _of: told.append(done))
    assert told == [5, 5]


def test_every_stage_of_a_lookup_can_be_measured(site: PopulatedSite) -> None:
    async def measured() -> dict[str, int]:
        async with gateway_inside(made_subjects(site, 5)) as inside:
            return {
                stage.name: len(await stage.measure(inside, inside.askings)) for stage in STAGES
            }

    assert run(measured()) == {stage.name: 5 for stage in STAGES}


def test_stages_can_be_measured_on_a_site_of_ones_own(site: PopulatedSite) -> None:
    subjects = own_subjects(f"sqlite:///{site.database.absolute()}", str(site.plugins), 3)
    assert [subject.user for subject in subjects.chosen] == [
        POPULATION.user(number) for number in range(3)
    ]

    async def looked_up() -> set[Path]:
        async with gateway_inside(subjects) as inside:
            await inside.look_up_all(inside.askings)
            return {inside.look_up(asked) for asked in received(inside.askings)}

    assert all(path.is_dir() for path in run(looked_up()))


def test_a_site_without_rows_is_refused(tmp_path: Path) -> None:
    empty = PopulatedSite(tmp_path / "empty", Population(1, 1, 1))
    empty.make()
    with closing(sqlite3.connect(empty.database)) as connection, connection:
        connection.execute("DELETE FROM plugin")
    with pytest.raises(NothingToAsk, match="no enabled row"):
        own_subjects(f"sqlite:///{empty.database}", str(empty.plugins), 3)


def test_concurrent_misses_of_one_user_cost_one_query_and_one_file_read(
    site: PopulatedSite,
) -> None:
    core = min(os.sched_getaffinity(0))
    counted = in_fresh_process(core, concurrent_misses, made_subjects(site, 1))
    assert (counted.queries, counted.file_reads) == (1, 1)


def test_hit_ratios_grow_with_the_cache() -> None:
    found = {(each.ttl_s, each.max_entries): each.ratio for each in run(hit_ratios(pages=600))}
    assert set(found) == {(ttl_s, size) for ttl_s in TTLS_S for size in SIZES}
    longest = max(TTLS_S)
    assert 0.9 <= found[longest, min(SIZES)] < found[longest, max(SIZES)] < 1


def test_each_size_gets_all_of_its_figures(site: PopulatedSite) -> None:
    found = run(measure_size(site.folder, POPULATION, 2, POPULATION.users))
    sizes = Sizes()
    for quantity in QUANTITIES:
        sizes.add(POPULATION, quantity, found.us.get(quantity.name, ()))
    assert len(found.us) == len(sizes.measured) == 6
    assert {len(rounds) for rounds in found.us.values()} == {2}
    assert found.warm_users == POPULATION.users
    assert len(sizes.table().rows) == 6
    assert all(verdict.promise for verdict in sizes.verdicts([POPULATION]))


def test_foreign_commits_are_heard_and_leave_the_site_as_it_was(site: PopulatedSite) -> None:
    found = run(measure_commits(site.folder, POPULATION, 1))
    assert (len(found.delays_us), found.failed) == (1, "")
    with closing(sqlite3.connect(site.database)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        assert {name for (name,) in tables} == {"plugin", "module"}


def test_commands_that_are_not_there_are_not_run() -> None:
    assert has_command("list")
    assert not has_command("nothing of the kind")


def test_a_soak_sees_every_kind_of_request_and_counts_what_is_held(tmp_path: Path) -> None:
    site = PopulatedSite(tmp_path / "site", Population(60, 3, 3))
    site.make()
    core = min(os.sched_getaffinity(0))
    found = soaked(site, Cores(server=core, load=core), 2.0)
    statuses = {
        kind: {each.status for each in found.answered if each.kind == kind} for kind in EXPECTED
    }
    for kind, seen in statuses.items():
        assert seen
        assert seen <= EXPECTED[kind]
    assert found.aborted.keys() == {200}
    assert found.changes.total()
    assert found.descriptors_left <= LEFT.value
    assert all(sample.held["memory"] > 1 for sample in found.samples)


class _Stalling(socketserver.StreamRequestHandler):
    """Stands still for half a second at the first request, whoever asks meanwhile."""

    server: "_StallingServer"

    def handle(self) -> None:
        while self.rfile.readline().strip():
            self.rfile.readline()  # the empty line after the request line
            with self.server.turn:
                if not self.server.has_stalled:
                    self.server.has_stalled = True
                    time.sleep(0.5)
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class _StallingServer(socketserver.ThreadingTCPServer):
    turn = threading.Lock()
    has_stalled = False


@pytest.fixture
def stalling_port() -> Iterator[int]:
    with _StallingServer(("127.0.0.1", 0), _Stalling) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_latency_counts_from_the_moment_a_request_was_due(stalling_port: int) -> None:
    """A closed loop would see one slow request; here all that were due meanwhile are slow."""
    request = b"GET / HTTP/1.1\r\n\r\n"
    arrivals = [Arrival(number / 100, "file", request) for number in range(30)]
    answered = run(open_loop(stalling_port, arrivals))
    assert [each.status for each in answered] == [200] * 30
    first, *later = sorted(answered, key=lambda each: each.at_s)
    assert first.latency_ns >= 500_000_000
    assert all(each.latency_ns >= 500_000_000 - each.at_s * 1e9 for each in later)


def test_a_server_that_is_not_there_gives_no_answer() -> None:
    answered = run(open_loop(1, [Arrival(0.0, "file", b"GET / HTTP/1.1\r\n\r\n")]))
    assert [each.status for each in answered] == [NO_ANSWER]


def test_shared_versions_take_less_than_one_for_each_user(tmp_path: Path) -> None:
    users = 4
    storage = PluginStorage(tmp_path / "plugins")
    published = publish_all(storage, users, tmp_path / "sources")
    write_installations(storage, users)
    copy_to_each(storage, users, tmp_path / "copies", lambda _done, _total: None)
    copies = sorted((tmp_path / "copies").glob("*/*/v*"))
    assert (len(published), len(copies)) == (15, users * 10)
    assert allocated_bytes(tmp_path / "copies") > allocated_bytes(storage.shared)
    assert set(storage.users_with_folder()) == {holding.user for holding in holdings(users)}
    for_all, for_each = (run(count(storage.root, users)) for count in (shared_bytes, own_bytes))
    assert 0 < for_all < for_each
