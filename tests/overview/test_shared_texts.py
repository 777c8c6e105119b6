"""Texts that processes share: whole or missing, never torn."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from functools import partial
from multiprocessing.context import BaseContext

import pytest

from gateway.overview.reports import Reports
from gateway.overview.shared_texts import NumberedText, SharedTexts
from tests.support.waiting import eventually, for_a_while

FORKED = multiprocessing.get_context("fork")
SPAWNED = multiprocessing.get_context("spawn")
MAX_BYTES = 16 * 2**10


def test_a_place_has_the_last_text_that_was_written() -> None:
    texts = SharedTexts.alone(3, 10)
    assert len(texts) == 3
    assert texts.read(1) is None
    texts.write(1, 7, b"first")
    texts.write(1, 8, b"")
    texts.write(2, 1, b"0123456789")
    assert texts.read(0) is None
    assert (texts.read(1), texts.numbers()) == (NumberedText(8, b""), [0, 8, 1])
    assert texts.read(2) == NumberedText(1, b"0123456789")
    texts.clear(1)
    assert (texts.read(1), texts.numbers()) == (None, [0, 0, 1])


def test_a_text_that_is_too_long_is_refused_and_changes_nothing() -> None:
    texts = SharedTexts.alone(2, 4)
    texts.write(0, 1, b"four")
    texts.write(1, 1, b"next")
    with pytest.raises(ValueError, match="5 bytes"):
        texts.write(0, 2, b"five!")
    assert texts.read(0) == NumberedText(1, b"four")
    assert texts.read(1) == NumberedText(1, b"next")


@pytest.mark.parametrize("offset", range(16 + 5))
def test_a_byte_that_differs_makes_a_text_count_as_missing(offset: int) -> None:
    memory = bytearray(16 + 5)
    texts = SharedTexts(memory, 5)
    texts.write(0, 1, b"whole")
    memory[offset] ^= 1
    assert texts.read(0) is None


def _write(texts: SharedTexts) -> None:
    texts.write(0, 1, b"written by another process")


@pytest.mark.slow
@pytest.mark.parametrize("context", [FORKED, SPAWNED], ids=["fork", "spawn"])
def test_another_process_reads_what_one_writes(context: BaseContext) -> None:
    texts = SharedTexts.shared(context, 1, 100)
    process = context.Process(target=_write, args=(texts,))  # type: ignore[attr-defined]
    process.start()
    process.join()
    assert texts.read(0) == NumberedText(1, b"written by another process")


def _write_for_ever(texts: SharedTexts) -> None:
    number = 0
    while True:
        number += 1
        texts.write(0, number, bytes([number % 256]) * MAX_BYTES)


def _report_for_ever(reports: Reports) -> None:
    number = 0
    while True:
        number += 1
        reports.write(0, {"pid": number, "refused": [str(number)] * 1000, "slowest": []})


@pytest.mark.slow
def test_nobody_reads_half_of_a_text_while_it_is_written() -> None:
    texts = SharedTexts.shared(FORKED, 1, MAX_BYTES)
    process = FORKED.Process(target=_write_for_ever, args=(texts,))
    process.start()
    try:
        read = 0
        for _ in for_a_while(1.0):
            text = texts.read(0)
            if text is not None:
                read += 1
                assert text.text == bytes([text.number % 256]) * MAX_BYTES
        assert read
    finally:
        process.kill()
        process.join()


@pytest.mark.slow
def test_a_worker_that_is_killed_while_it_writes_leaves_a_whole_report() -> None:
    """Some of these kills come in the middle of a copy: then the report before counts."""
    for _ in range(20):
        reports = Reports(SharedTexts.shared(FORKED, 2, MAX_BYTES))
        process = FORKED.Process(target=_report_for_ever, args=(reports,))
        process.start()
        eventually(partial(list, reports), lambda found: bool(found) and found[0]["pid"] > 3)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        (report,) = reports
        assert report["refused"] == [str(report["pid"])] * 1000


@pytest.mark.parametrize("start", [bytes, lambda size: bytes([255]) * size])
def test_memory_that_holds_anything_else_is_no_text(start: Callable[[int], bytes]) -> None:
    texts = SharedTexts(bytearray(start(5 * (16 + 8))), 8)
    assert [texts.read(place) for place in range(5)] == [None] * 5
