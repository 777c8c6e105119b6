"""Parts of benchmarks run small: that they measure something, never how fast it was."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.lookup.command import judge_warm_lookup
from benchmarks.lookup.counted import SIZES, TTLS_S, concurrent_misses, hit_ratios
from benchmarks.lookup.inside import gateway_inside, received
from benchmarks.lookup.stages import LOOKUP_WARM, STAGES
from benchmarks.processes import in_fresh_process, run_in_loop
from benchmarks.promises import PROMISES, Outcome
from benchmarks.record import Figure, Record
from benchmarks.resources import (
    Holders,
    PublishedSite,
    allocated_bytes,
    copy_to_each,
    own_bytes,
    shared_bytes,
)
from benchmarks.scale.quantities import QUANTITIES, Sizes
from benchmarks.scale.sizes import measure_commits, measure_size
from benchmarks.sites import Population, Site, kept_site
from benchmarks.soak.command import soaked
from benchmarks.soak.mix import EXPECTED
from benchmarks.subjects import made_subjects, own_subjects
from gateway.disk.storage import PluginStorage

pytestmark = pytest.mark.slow

POPULATION = Population(40, 3, 6)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return kept_site(tmp_path_factory.mktemp("sites"), POPULATION)


def test_every_stage_of_a_lookup_can_be_measured(site: Site) -> None:
    async def measured() -> dict[str, int]:
        async with gateway_inside(made_subjects(site, 5)) as inside:
            return {
                stage.name: len(await stage.measure(inside, inside.requests)) for stage in STAGES
            }

    assert run_in_loop(measured()) == {stage.name: 5 for stage in STAGES}


def test_stages_can_be_measured_on_a_site_of_ones_own(site: Site) -> None:
    subjects = own_subjects(f"sqlite:///{site.database.absolute()}", str(site.plugins), 3)
    assert [subject.user for subject in subjects.chosen] == [
        POPULATION.user(number) for number in range(3)
    ]

    async def looked_up() -> set[Path]:
        async with gateway_inside(subjects) as inside:
            await inside.look_up_all(inside.requests)
            return {inside.look_up(item) for item in received(inside.requests)}

    assert all(path.is_dir() for path in run_in_loop(looked_up()))


def test_concurrent_misses_of_one_user_cost_one_query_and_one_file_read(
    site: Site,
) -> None:
    core = min(os.sched_getaffinity(0))
    counted = in_fresh_process(core, concurrent_misses, made_subjects(site, 1))
    assert counted == {"queries": 1, "file reads": 1}


def test_hit_ratios_grow_with_the_cache() -> None:
    found = run_in_loop(hit_ratios(pages=600))
    assert set(found) == {(ttl_s, size) for ttl_s in TTLS_S for size in SIZES}
    longest = max(TTLS_S)
    assert 0.9 <= found[longest, min(SIZES)] < found[longest, max(SIZES)] < 1


def test_each_size_gets_all_of_its_figures(site: Site) -> None:
    found = run_in_loop(measure_size(site.folder, POPULATION, 2, POPULATION.users))
    sizes = Sizes()
    for quantity in QUANTITIES:
        sizes.add(POPULATION, quantity, found.us.get(quantity.name, ()))
    assert len(found.us) == len(sizes.measured) == 6
    assert {len(rounds) for rounds in found.us.values()} == {2}
    assert found.warm_users == POPULATION.users
    assert len(sizes.table().rows) == 6
    record = Record("scale", {})
    sizes.judge(record, [POPULATION])
    assert [len(verdict.figures) for verdict in record.verdicts] == [1, 1, 0]


def test_foreign_commits_are_heard_and_leave_the_site_as_it_was(site: Site) -> None:
    found = run_in_loop(measure_commits(site.folder, POPULATION, 1))
    assert (len(found.delays_us), found.failed) == (1, "")
    with closing(sqlite3.connect(site.database)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        assert {name for (name,) in tables} == {"plugin", "module"}


def test_warm_lookups_are_judged_by_the_median_of_the_rounds() -> None:
    record = Record("lookup", {})
    for name in ("p50", "p99"):
        record.figures.append(Figure(f"{LOOKUP_WARM}, {name}", "µs", [4.0, 16.0, 4.5]))
    judge_warm_lookup(record)
    assert [verdict.outcome for verdict in record.verdicts] == [Outcome.KEPT, Outcome.KEPT]


def test_a_soak_sees_every_kind_of_request_and_counts_what_is_held(tmp_path: Path) -> None:
    site = Site(tmp_path / "site", Population(60, 3, 3))
    site.make()
    core = min(os.sched_getaffinity(0))
    found = soaked(site, core, 2.0)
    statuses = {
        kind: {each.status for each in found.answered if each.kind == kind} for kind in EXPECTED
    }
    for kind, seen in statuses.items():
        assert seen
        assert seen <= EXPECTED[kind]
    assert found.aborted.keys() == {200}
    assert found.changes.total()
    assert found.descriptors_left <= PROMISES["soak_descriptors"].bound.value
    assert all(sample.counts["memory"] > 1 for sample in found.samples)


def test_shared_versions_take_less_than_one_for_each_user(tmp_path: Path) -> None:
    holders = Holders(4)
    site = PublishedSite(tmp_path / "site", holders)
    site.make()
    copy_to_each(site, tmp_path / "copies", lambda _done, _total: None)
    copies = sorted((tmp_path / "copies").glob("*/*/v*"))
    published = sorted(site.shared.glob("*/v*"))
    assert (len(published), len(copies)) == (15, 4 * 10)
    assert allocated_bytes(tmp_path / "copies") > allocated_bytes(site.shared)
    users = {user for user, _, _ in holders.holdings()}
    assert set(PluginStorage(site.plugins).users.ids()) == users
    core = min(os.sched_getaffinity(0))
    for_all, for_each = (
        in_fresh_process(core, count, site.plugins, 4) for count in (shared_bytes, own_bytes)
    )
    assert 0 < for_all < for_each
