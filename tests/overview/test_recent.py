"""The most refused and the slowest requests: bounded, masked, and of the last minutes."""

import random
import tracemalloc

import pytest

from gateway.overview.recent import (
    MAX_PATH,
    MOST_SHOWN,
    PERIOD_S,
    RecentRequests,
    Refused,
    most_refused,
)

TOKEN = "c2lnbmVkLXRva2VuLW9mLWFkYQ." + "A" * 43


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def recent(clock: Clock | None = None) -> RecentRequests:
    clock = clock or Clock()
    return RecentRequests(clock, clock)


def test_refusals_are_counted_by_code_and_path_the_most_frequent_first() -> None:
    clock = Clock()
    requests = recent(clock)
    for code, path in [("a", b"/x"), ("b", b"/x"), ("a", b"/x"), ("a", b"/y")]:
        clock.now_s += 1
        requests.note_refused(code, path)
    assert requests.refused() == [
        Refused("a", "/x", 2, 1003.0),
        Refused("a", "/y", 1, 1004.0),
        Refused("b", "/x", 1, 1002.0),
    ]


@pytest.mark.parametrize(
    ("raw_path", "shown"),
    [
        (b"/a\x1b[2J\r\nSet-Cookie: x", r"/a\u001b[2J\u000d\u000aSet-Cookie: x"),
        (b"/caf\xc3\xa9\xff", r"/caf\xc3\xa9\xff"),
        (f"/api/v1/signed/{TOKEN}/plugins/X/a.js".encode(), "/api/v1/signed/***/plugins/X/a.js"),
        (f"/api/v1/%73igned/{TOKEN}/plugins/X".encode(), "/api/v1/%73igned/***/plugins/X"),
        (b"/" + b"a" * 500, "/" + "a" * (MAX_PATH - 2) + "…"),
    ],
)
def test_a_path_is_shown_without_control_characters_and_tokens(raw_path: bytes, shown: str) -> None:
    requests = recent()
    requests.note_refused("a", raw_path)
    requests.note_answered(raw_path, 404, 1.0)
    assert [one.path for one in requests.refused()] == [shown]
    assert [one.path for one in requests.slowest()] == [shown]


def test_what_is_asked_for_often_stays_in_a_flood_of_other_paths() -> None:
    requests = recent()
    order = [b"/often"] * 300 + [f"/{number}".encode() for number in range(9700)]
    random.Random(7).shuffle(order)
    for path in order:
        requests.note_refused("not_found", path)
    first = requests.refused()[0]
    assert first.path == "/often"
    assert 200 < first.count <= 300


def test_a_flood_of_different_paths_takes_bounded_memory() -> None:
    requests = recent()

    def flood(start: int) -> None:
        for number in range(start, start + 5000):
            path = b"/%d/" % number + b"x" * 65_000
            requests.note_refused("not_found", path)
            requests.note_answered(path, 404, number * 1e-6)

    flood(0)
    tracemalloc.start()
    flood(5000)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 300_000
    assert len(requests.refused()) == len(requests.slowest()) == MOST_SHOWN


def test_the_slowest_requests_are_kept_slowest_first() -> None:
    requests = recent()
    durations = [number / 10 for number in range(50)]
    random.Random(7).shuffle(durations)
    for duration_s in durations:
        requests.note_answered(b"/x", 200, duration_s)
    slowest = [one.duration_s for one in requests.slowest()]
    assert slowest == sorted(durations, reverse=True)[:MOST_SHOWN]


def test_requests_are_forgotten_after_ten_to_twenty_minutes() -> None:
    clock = Clock()
    requests = recent(clock)
    requests.note_refused("a", b"/x")
    requests.note_answered(b"/x", 404, 1.0)
    clock.now_s += PERIOD_S - 1
    requests.note_refused("a", b"/x")
    clock.now_s += PERIOD_S
    assert [one.count for one in requests.refused()] == [2]
    requests.note_refused("a", b"/x")
    assert [one.count for one in requests.refused()] == [3]
    assert len(requests.slowest()) == 1
    clock.now_s += PERIOD_S
    assert [one.count for one in requests.refused()] == [1]
    assert requests.slowest() == []
    clock.now_s += 5 * PERIOD_S
    assert requests.refused() == []


def test_the_counts_of_several_workers_are_summed() -> None:
    ours = [Refused("a", "/x", 3, 5.0), Refused("b", "/x", 9, 1.0)]
    theirs = [Refused("a", "/x", 7, 2.0)]
    assert most_refused([*ours, *theirs]) == [
        Refused("a", "/x", 10, 5.0),
        Refused("b", "/x", 9, 1.0),
    ]
