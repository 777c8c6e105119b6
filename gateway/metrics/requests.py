"""Counts requests and their answers, in the column of this process."""

from bisect import bisect_left
from collections.abc import Callable

from gateway.metrics.catalogue import (
    BOUNDS_S,
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


class RequestCounts:
    """Each request is counted once, before the first byte of its answer leaves."""

    def __init__(self, column: Column) -> None:
        self._values = column.values
        self._cold_rows = {route: _StatusRows(route, COLD) for route in RouteClass}
        self._cold_durations = {
            route: column.histogram(REQUEST_DURATION, route, COLD) for route in RouteClass
        }
        self._byte_rows = {route: RESPONSE_BYTES.row(route) for route in RouteClass}

    def hot_counter(self, route: RouteClass) -> CountHot:
        """What counts the answers of one route on the hot path.

        A function with its own variables, because it runs for each of them: 0.35 µs with the two
        looks at the clock. A method of an object that holds the rows takes 0.5 µs.
        """
        values, status_rows, bounds = self._values, _StatusRows(route, HOT), BOUNDS_S
        first_bucket, byte_row = REQUEST_DURATION.row(route, HOT), self._byte_rows[route]
        sum_row = first_bucket + len(bounds) + 1

        def count(status: int, size: int, duration_s: float) -> None:
            values[status_rows[status]] += 1.0
            values[first_bucket + bisect_left(bounds, duration_s)] += 1.0
            values[sum_row] += duration_s
            values[byte_row] += size

        return count

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
