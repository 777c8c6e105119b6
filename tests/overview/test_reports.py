"""Reports: one for each worker, bounded, gone with the worker."""

from typing import Any

import orjson
import pytest

from gateway.overview.reports import MAX_REPORT_BYTES, Reports
from gateway.overview.shared_texts import SharedTexts


def report(pid: int, refused: int = 0, slowest: int = 0, size: int = 10) -> dict[str, Any]:
    return {
        "pid": pid,
        "at": 1.0,
        "refused": [f"{number:0{size}}" for number in range(refused)],
        "slowest": [f"{number:0{size}}" for number in range(slowest)],
    }


def reports(workers: int) -> Reports:
    return Reports(SharedTexts.alone(2 * workers, MAX_REPORT_BYTES))


def test_each_worker_has_its_last_report() -> None:
    written = reports(3)
    for pid in (1, 2, 3):
        written.write(0, report(pid))
    written.write(2, report(9))
    assert [one["pid"] for one in written] == [3, 9]
    written.clear(0)
    assert [one["pid"] for one in written] == [9]
    written.write(0, report(4))
    assert [one["pid"] for one in written] == [4, 9]


def test_a_report_that_is_torn_lets_the_one_before_count() -> None:
    texts = SharedTexts.alone(2, MAX_REPORT_BYTES)
    written = Reports(texts)
    for pid in (1, 2, 3):
        written.write(0, report(pid))
    numbers = texts.numbers()
    texts.clear(numbers.index(max(numbers)))
    assert [one["pid"] for one in written] == [2]
    written.write(0, report(4))
    assert [one["pid"] for one in written] == [4]


def test_long_lists_lose_their_ends_until_the_report_fits() -> None:
    written = reports(1)
    written.write(0, report(1, refused=20, slowest=20, size=1000))
    (one,) = written
    assert len(orjson.dumps(one)) <= MAX_REPORT_BYTES
    assert one["refused"] == report(1, refused=20, size=1000)["refused"][: len(one["refused"])]
    assert min(len(one["refused"]), len(one["slowest"])) >= 5


def test_a_report_that_cannot_fit_is_refused_and_the_one_before_remains() -> None:
    written = reports(1)
    written.write(0, report(7))
    with pytest.raises(ValueError, match="bytes are more than"):
        written.write(0, {**report(8, refused=9), "sources": "x" * MAX_REPORT_BYTES})
    assert [one["pid"] for one in written] == [7]
