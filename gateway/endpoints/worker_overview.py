"""What this worker does, for the console. It takes samples while somebody watches."""

import os
import time
from collections import deque
from collections.abc import Sequence

from gateway.core import Core
from gateway.endpoints.health import Health
from gateway.metrics.catalogue import REQUESTS
from gateway.serving.formats import JsonObject

_SAMPLES = 300


class WorkerOverview:
    """An `Overview` (console.py) of one worker."""

    interval_s = 2.0

    def __init__(self, core: Core, health: Health) -> None:
        self._core = core
        self._health = health
        self._started_at = time.time()
        self._samples: deque[JsonObject] = deque(maxlen=_SAMPLES)
        self._counted_at = 0.0
        self._counted = (0, 0, 0)

    def samples(self, after: float) -> Sequence[JsonObject]:
        now = time.time()
        elapsed_s = now - self._counted_at
        if elapsed_s >= self.interval_s:
            counts = self._counts()
            rates = [
                (count - before) / elapsed_s
                for count, before in zip(counts, self._counted, strict=True)
            ]
            if self._counted_at:
                names = ("requests_per_s", "refusals_per_s", "errors_per_s")
                self._samples.append({"time": now, **dict(zip(names, rates, strict=True))})
            self._counted_at, self._counted = now, counts
        return [sample for sample in self._samples if sample["time"] > after]

    def _counts(self) -> tuple[int, int, int]:
        """Requests, refusals and errors, since the start."""
        values = self._core.metrics.column.values
        counts = {labels[1]: 0 for labels in REQUESTS.rows}
        for (_, status, _), row in REQUESTS.rows.items():
            counts[status] += int(values[row])
        refused = sum(count for status, count in counts.items() if status.startswith("4"))
        failed = sum(count for status, count in counts.items() if status.startswith("5"))
        return sum(counts.values()), refused, failed

    async def state(self) -> JsonObject:
        status, reasons = await self._health.status()
        database = "failing" if self._core.database.failing_for_s is not None else "good"
        return {
            "time": time.time(),
            "status": status,
            "reasons": list(reasons),
            "verdicts": [
                {"part": "database", "state": database, "sentence": f"The database is {database}."}
            ],
            "changes": self._core.settings.access.changes,
            "started_at": self._started_at,
            "workers": [{"pid": os.getpid(), "started_at": self._started_at, "answers": True}],
            "caches": {
                name: {"entries": len(cache), **cache.counters.as_dict()}
                for name, cache in self._core.caches.items()
            },
        }
