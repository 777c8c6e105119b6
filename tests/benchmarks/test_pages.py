"""`benchmarks pages`: what is asked for, and in which order. Pure."""

import pytest

from benchmarks.pages.cases import (
    FIRST,
    FIRST_304,
    HALF,
    KNOWN_PINNED,
    NEVER_OWN,
    NEVER_PINNED,
    ONE_FILE,
    PROMISED,
    Case,
    Effort,
    make_cases,
)
from benchmarks.pages.visits import Visitors
from benchmarks.promises import PROMISES
from benchmarks.sites import Population, Site

EFFORT = Effort(20, 5, 10, 15, rounds=1, duration_s=1)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    population = Population(200, 5, 5, plugins=10)
    site = Site(tmp_path_factory.mktemp("site"), population)
    site.make()
    return {case.name: case for case in make_cases(Visitors(site), EFFORT)}


def _users(case: Case) -> set[int]:
    return {each.user for visit in case.visits for each in visit}


def test_users_never_seen_come_in_no_case_before(cases: dict[str, Case]) -> None:
    seen: set[int] = set()
    for case in cases.values():
        if case.name in (NEVER_PINNED, NEVER_OWN, ONE_FILE):
            assert not _users(case) & seen
            assert len(_users(case)) == len(case.visits)
        seen |= _users(case) | {each.user for each in case.before}
    assert len(_users(cases[HALF]) & _users(cases[KNOWN_PINNED])) >= 1
    assert len(_users(cases[HALF])) == 2 * EFFORT.known_pages


def test_first_requests_of_known_users_never_repeat(cases: dict[str, Case]) -> None:
    first, first_304 = cases[FIRST], cases[FIRST_304]
    asked = [
        (each.user, each.file)
        for case in (first, first_304)
        for visit in case.visits
        for each in visit
    ]
    asked += [(each.user, each.file) for each in first.before]
    assert len(asked) == len(set(asked)) == EFFORT.known * 10
    assert {each.user for each in first.before} == _users(first) == _users(first_304)


def test_a_page_is_asked_for_in_its_order_by_one_connection(cases: dict[str, Case]) -> None:
    case = cases[NEVER_PINNED]
    lists = case.lists
    assert len(lists) == case.connections == 8
    assert sorted(map(len, lists)) == [11] * 6 + [22] * 2
    for requests in lists:
        for start in range(0, len(requests), 11):
            manifest, *files = requests[start : start + 11]
            assert manifest.file is None
            assert len({file.file for file in files}) == 10
            assert {file.user for file in files} == {manifest.user}
            assert all(file.is_public and file.file for file in files)


def test_promises_are_about_cases_that_there_are(cases: dict[str, Case]) -> None:
    for key, _, names in PROMISED:
        assert key in PROMISES
        assert set(names) <= cases.keys()
