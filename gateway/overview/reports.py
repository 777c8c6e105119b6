"""What each worker says of itself, about once a second, to all others.

A report has two places, which its worker uses in turn: while it writes one, and if it is killed in
the middle, the other still has the report before. When a worker has ended, the supervisor clears
both.
"""

from collections.abc import Iterator
from multiprocessing.context import BaseContext
from typing import Any

import orjson

from gateway.overview.shared_texts import SharedTexts

MAX_REPORT_BYTES = 16 * 2**10

Report = dict[str, Any]
"""As `Overview` makes it. The values of LISTS are lists, the most important first."""
LISTS = ("refused", "slowest")


class Reports:
    """The reports of all processes that serve."""

    def __init__(self, texts: SharedTexts) -> None:
        self._texts = texts

    @classmethod
    def shared(cls, context: BaseContext, workers: int) -> "Reports":
        return cls(SharedTexts.shared(context, 2 * workers, MAX_REPORT_BYTES))

    @classmethod
    def alone(cls) -> "Reports":
        return cls(SharedTexts.alone(2, MAX_REPORT_BYTES))

    def write(self, index: int, report: Report) -> None:
        """Replaces the report of the worker that has this index. Raises: ValueError, if it is too
        long even without its lists.
        """
        numbers = self._texts.numbers()[2 * index : 2 * index + 2]
        place = 2 * index + (numbers[0] > numbers[1])
        self._texts.write(place, max(numbers) + 1, _bounded(report))

    def __iter__(self) -> Iterator[Report]:
        """The last report of each worker that runs and has written one."""
        written = [place // 2 for place, number in enumerate(self._texts.numbers()) if number]
        for index in dict.fromkeys(written):
            texts = [
                text
                for place in (2 * index, 2 * index + 1)
                if (text := self._texts.read(place)) is not None
            ]
            if texts:
                yield orjson.loads(max(texts).text)

    def clear(self, index: int) -> None:
        """The worker of this index has ended."""
        self._texts.clear(2 * index)
        self._texts.clear(2 * index + 1)


def _bounded(report: Report) -> bytes:
    """The report, with so much of its lists as there is room for."""
    text = orjson.dumps(report)
    while len(text) > MAX_REPORT_BYTES:
        longest = max(LISTS, key=lambda name: len(report[name]))
        if not report[longest]:
            break  # all other texts are bounded: this does not happen
        report = {**report, longest: report[longest][: len(report[longest]) // 2]}
        text = orjson.dumps(report)
    return text
