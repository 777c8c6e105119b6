"""The samples of the last ten minutes, in memory that outlives workers.

One process writes them: the supervisor, or the process itself if it serves alone.
"""

import time
from collections.abc import Callable
from multiprocessing.context import BaseContext

import orjson

from gateway.metrics.table import Totals
from gateway.overview.samples import Sample, difference, sample_of
from gateway.overview.shared_texts import SharedTexts

INTERVAL_S = 2.0
HISTORY_S = 600.0
_SAMPLES = int(HISTORY_S / INTERVAL_S)
# A sample has 120 numbers, most of them of a few digits.
_MAX_BYTES = 5120


class History:
    """A ring of samples. The number of a text is the time of its sample, in milliseconds."""

    def __init__(self, texts: SharedTexts) -> None:
        self._texts = texts
        self._written = 0

    @classmethod
    def shared(cls, context: BaseContext) -> "History":
        return cls(SharedTexts.shared(context, _SAMPLES, _MAX_BYTES))

    @classmethod
    def alone(cls) -> "History":
        return cls(SharedTexts.alone(_SAMPLES, _MAX_BYTES))

    def append(self, sample: Sample) -> None:
        """For the one process that writes."""
        number = int(sample.shown["time"] * 1000)
        self._texts.write(self._written % _SAMPLES, number, orjson.dumps(list(sample)))
        self._written += 1

    def since(self, moment: float) -> list[Sample]:
        """The samples after this moment, oldest first."""
        first = int(moment * 1000)
        texts = [
            text
            for place, number in enumerate(self._texts.numbers())
            if number > first and (text := self._texts.read(place)) is not None
        ]
        return [Sample(*orjson.loads(text.text)) for text in sorted(texts)]


class Sampler:
    """Writes a sample into the history every INTERVAL_S."""

    def __init__(
        self,
        history: History,
        totals: Callable[[], Totals],
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`totals`: the numbers of all processes."""
        self._history = history
        self._totals = totals
        self._clock = clock
        self._wall_clock = wall_clock
        self._looked_at = clock()
        self._before = totals()

    def look(self) -> None:
        """Takes 1 ms if a sample is due, and nothing otherwise."""
        now = self._clock()
        elapsed_s = now - self._looked_at
        if elapsed_s < INTERVAL_S:
            return
        totals = self._totals()
        change = difference(totals, self._before)
        self._before, self._looked_at = totals, now
        self._history.append(sample_of(change, elapsed_s, self._wall_clock()))
