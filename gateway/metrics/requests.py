"""Counts requests and their answers, in the column of this process."""

from collections.abc import Callable

from gateway.metrics.catalogue import (
    COLD,
    HOT,
    OTHER,
    REFUSALS,
    REQUEST_DURATION,
    REQUESTS,
    RESPONSE_BYTES,
    STATUSES,
    RouteClass,
)
from gateway.metrics.table import Column

CountHot = Callable[[int, int, float], None]
"""Takes status, bytes of the body, and seconds."""

# Durations that wait to be copied, 32 bytes each: a busy worker has as many in a tenth of a second.
_MOST_WAITING = 4096


class RequestCounts:
    """Each request is counted once, before the first byte of its answer leaves. `copy` is for
    `ProcessMetrics.copy_with`."""

    def __init__(self, column: Column) -> None:
        self._column = column
        self._values = column.values
        self._copies: list[Callable[[], None]] = []
        self._cold_rows = {route: _StatusRows(route, COLD) for route in RouteClass}
        self._cold_durations = {
            route: column.histogram(REQUEST_DURATION, route, COLD) for route in RouteClass
        }
        self._byte_rows = {route: RESPONSE_BYTES.row(route) for route in RouteClass}

    def hot_counter(self, route: RouteClass) -> CountHot:
        """What counts the answers of one route on the hot path.

        A function with its own variables, because it runs for each of them. It writes to the
        column how many there were; their durations and bytes follow with the next copy. All of it
        at once took 0.9 µs of an answer, this takes 0.4.
        """
        values, status_rows, byte_row = (
            self._values,
            _StatusRows(route, HOT),
            self._byte_rows[route],
        )
        histogram = self._column.histogram(REQUEST_DURATION, route, HOT)
        durations: list[float] = []
        body_bytes = 0

        def count(status: int, size: int, duration_s: float) -> None:
            nonlocal body_bytes
            values[status_rows[status]] += 1.0
            body_bytes += size
            durations.append(duration_s)
            if len(durations) == _MOST_WAITING:
                copy()

        def copy() -> None:
            nonlocal body_bytes
            if not durations:
                return
            values[byte_row] += body_bytes
            histogram.observe_all(durations)
            durations.clear()
            body_bytes = 0

        self._copies.append(copy)
        return count

    def copy(self, _column: Column) -> None:
        """Writes what waits for it to the column."""
        for copy in self._copies:
            copy()

    def count_cold(self, route: RouteClass, status: int, duration_s: float) -> None:
        self._values[self._cold_rows[route][status]] += 1.0
        self._cold_durations[route].observe(duration_s)

    def count_refused(self, status: int, code: str, size: int) -> None:
        """An answer of the server itself, for which no route was looked for. It has no duration:
        some of these requests never arrived whole. `size`: bytes of the body.
        """
        self._values[self._cold_rows[RouteClass.OTHER][status]] += 1.0
        self.count_refusal(code)
        self.count_bytes(RouteClass.OTHER, size)

    def count_refusal(self, code: str) -> None:
        self._values[REFUSALS.row(code)] += 1.0

    def count_bytes(self, route: RouteClass, size: int) -> None:
        self._values[self._byte_rows[route]] += size


class _StatusRows(dict[int, int]):
    """The rows of a route's answers by status."""

    def __init__(self, route: RouteClass, path: str) -> None:
        rows = {status: REQUESTS.row(route, status, path) for status in STATUSES}
        self._other = rows.pop(OTHER)
        super().__init__({int(status): row for status, row in rows.items()})

    def __missing__(self, status: int) -> int:
        return self._other
