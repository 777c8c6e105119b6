"""All series that the gateway shows: names, labels with all their values, and rows in the table.

The set is fixed when this module is imported, so no client can make a series. A value that is not
listed counts as "other", where a label has that value. docs/reference/metrics.md shows
the same list.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum, StrEnum, auto
from itertools import product

from gateway.caching.entries import Counters
from gateway.errors import RequestError

OTHER = "other"
HOT, COLD = "hot", "cold"

BOUNDS_S = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Upper bounds of the buckets of all histograms. A hot answer takes about 20 µs, an outage
seconds: two bounds for each power of ten cover both."""


class RouteClass(StrEnum):
    """What kind of URL a request asks for."""

    OWN = auto()
    PUBLIC = auto()
    SIGNED = auto()
    MANIFEST = auto()
    PLUGIN = auto()
    """JSON about a plugin: info, modules, status, by-slug."""
    CHANGES = auto()
    """What changes a plugin of a user."""
    AUTHORIZE = auto()
    OPERATIONS = auto()
    """Everything else below `/-/`."""
    OTHER = auto()
    """No route takes the request, or it was answered before a route was looked for."""


class Kind(Enum):
    """What the numbers of several processes become."""

    COUNTER = "counter"
    """Their sum, with that of processes that have ended."""
    GAUGE = "gauge"
    """Their sum."""
    MAXIMUM = "maximum"
    """The largest one."""
    HISTOGRAM = "histogram"
    """Sums, bucket by bucket, with those of processes that have ended."""
    CONSTANT = "constant"
    """It has no row: each process knows it."""


class Shown(Enum):
    """Which series are shown although they are zero."""

    NOT_ZERO = auto()
    """None."""
    ALWAYS = auto()
    """All."""
    KNOWN = auto()
    """Those that a running process has set."""


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """The series of one name."""

    name: str
    help: str
    kind: Kind
    labels: dict[str, Sequence[str]]
    """All values of each label, by its name."""
    shown: Shown
    rows: dict[tuple[str, ...], int] = field(repr=False)
    """The first row of each series, by the values of its labels."""

    def row(self, *labels: str) -> int:
        """The (first) row of a series; unlisted values count as "other". Raises: KeyError."""
        row = self.rows.get(labels)
        if row is not None:
            return row
        names = zip(labels, self.labels.values(), strict=True)
        return self.rows[tuple(label if label in listed else OTHER for label, listed in names)]

    @property
    def rows_of_series(self) -> int:
        return _row_count(self.kind, self.shown)


class _Catalogue:
    """Gives each series its rows."""

    def __init__(self) -> None:
        self.families: list[Family] = []
        self.size = 0
        """How many rows there are."""

    def add(
        self,
        name: str,
        text: str,
        kind: Kind,
        shown: Shown = Shown.NOT_ZERO,
        **labels: Sequence[str],
    ) -> Family:
        count, rows = _row_count(kind, shown), {}
        for values in product(*labels.values()) if count else ():
            rows[values] = self.size
            self.size += count
        family = Family(name, text, kind, labels, shown, rows)
        self.families.append(family)
        return family

    def rows_that(self, *kinds: Kind) -> Iterator[int]:
        """All rows of the families of these kinds."""
        for family in self.families:
            if family.kind in kinds:
                for first in family.rows.values():
                    yield from range(first, first + family.rows_of_series)


def _row_count(kind: Kind, shown: Shown) -> int:
    """A histogram has its buckets, the last one without a bound, and then the sum of seconds. A
    series that is shown if it is known has a second row: how many processes have set it.
    """
    if kind is Kind.CONSTANT:
        return 0
    if kind is Kind.HISTOGRAM:
        return len(BOUNDS_S) + 2
    return 2 if shown is Shown.KNOWN else 1


def _error_classes(of: type[RequestError] = RequestError) -> Iterator[type[RequestError]]:
    for error_class in of.__subclasses__():
        yield error_class
        yield from _error_classes(error_class)


_ERRORS = [error for error in _error_classes() if hasattr(error, "code")]
# Answers that are no errors of ours: an unknown URL, and a bug.
CODES = (*sorted({error.code for error in _ERRORS} | {"not_found", "internal_error"}), OTHER)
_SUCCESSES = {200, 204, 206, 304}
STATUSES = (
    *map(str, sorted(_SUCCESSES | {error.status for error in _ERRORS} | {500})),
    OTHER,
)
ROUTES = tuple(RouteClass)
PATHS = (HOT, COLD)
CACHES = (
    "installations",
    "versions",
    "owners",
    "held_versions",
    "published",
    "manifest",
    "builds",
    "assets",
    "dictionaries",
)
CACHE_EVENTS = tuple(counter.name for counter in fields(Counters))
SOURCES = ("database", "users", "shared")
"""What answers are made from: the database, users' JSON files, published files and folders."""
CHANGE_SOURCES = (
    "sqlite",
    "postgres",
    "users_folder",
    "workers",
    "pinned_trees",
    "this_worker",
    OTHER,
)

_catalogue = _Catalogue()
_add = _catalogue.add

REQUESTS = _add(
    "gateway_requests_total",
    "Requests answered, by route class, status, and path through the gateway.",
    Kind.COUNTER,
    route=ROUTES,
    status=STATUSES,
    path=PATHS,
)
REQUEST_DURATION = _add(
    "gateway_request_duration_seconds",
    "Time from the request, read completely, to the start of its answer.",
    Kind.HISTOGRAM,
    route=ROUTES,
    path=PATHS,
)
RESPONSE_BYTES = _add(
    "gateway_response_bytes_total", "Bytes of bodies sent.", Kind.COUNTER, route=ROUTES
)
REFUSALS = _add(
    "gateway_refusals_total",
    "Requests answered with an error, by its code.",
    Kind.COUNTER,
    Shown.ALWAYS,  # a rate misses the first errors of a code that appears with them
    code=CODES,
)
CACHE_EVENT = _add(
    "gateway_cache_events_total",
    "What happened in each cache.",
    Kind.COUNTER,
    cache=CACHES,
    event=CACHE_EVENTS,
)
CACHE_ENTRIES = _add(
    "gateway_cache_entries", "Entries held by each cache.", Kind.GAUGE, cache=CACHES
)
CACHE_BYTES = _add(
    "gateway_cache_bytes", "Bytes of memory that files take.", Kind.GAUGE, cache=("assets",)
)
SOURCE_LOADS = _add(
    "gateway_source_loads_total",
    "Loads from each source, failed ones included.",
    Kind.COUNTER,
    Shown.ALWAYS,
    source=SOURCES,
)
SOURCE_ERRORS = _add(
    "gateway_source_errors_total",
    "Loads that failed because the source did.",
    Kind.COUNTER,
    Shown.ALWAYS,
    source=SOURCES,
)
SOURCE_DURATION = _add(
    "gateway_source_duration_seconds",
    "Time that loads took, failed ones included.",
    Kind.HISTOGRAM,
    source=SOURCES,
)
SOURCE_CIRCUIT_OPEN = _add(
    "gateway_source_circuit_open",
    "Workers that do not ask the source now, because it failed several times in a row.",
    Kind.GAUGE,
    Shown.ALWAYS,
    source=SOURCES,
)
SOURCE_LAST_SUCCESS = _add(
    "gateway_source_last_success_timestamp_seconds",
    "When a load from the source last succeeded, in a worker that runs.",
    Kind.MAXIMUM,
    source=SOURCES,
)
CHANGES = _add(
    "gateway_changes_total",
    "Changes heard, by the source that told of them.",
    Kind.COUNTER,
    source=CHANGE_SOURCES,
)
CHANGE_DELAY = _add(
    "gateway_change_delay_seconds",
    "Time from a change until a worker heard of it, where the moment of the change is known.",
    Kind.HISTOGRAM,
    source=CHANGE_SOURCES,
)
CHANGE_SOURCE_RUNNING = _add(
    "gateway_change_source_running",
    "Workers in which the source of changes runs.",
    Kind.GAUGE,
    Shown.KNOWN,
    source=CHANGE_SOURCES,
)
LOOP_DELAY = _add(
    "gateway_event_loop_delay_seconds",
    "How late the event loop of a worker wakes, ten times a second while requests come.",
    Kind.HISTOGRAM,
)
WORKERS = _add("gateway_workers", "Processes that serve.", Kind.GAUGE)
CONNECTIONS = _add("gateway_connections", "Open connections of clients.", Kind.GAUGE)
RESIDENT_MEMORY = _add(
    "gateway_resident_memory_bytes", "Resident memory of the workers.", Kind.GAUGE
)
WORKER_RESTARTS = _add(
    "gateway_worker_restarts_total",
    "Workers that ended without an order, and were replaced.",
    Kind.COUNTER,
    Shown.ALWAYS,
    cause=("died", "hung"),
)
CPU = _add("gateway_cpu_seconds_total", "CPU time of the workers.", Kind.COUNTER)
BUILD_INFO = _add(
    "gateway_build_info",
    "Always 1; the labels say what runs.",
    Kind.CONSTANT,
    version=(),
    python_version=(),
)
START_TIME = _add("gateway_start_time_seconds", "When serving began.", Kind.MAXIMUM)

FAMILIES: Sequence[Family] = _catalogue.families
ROW_COUNT = _catalogue.size
MAXIMUM_ROWS = tuple(_catalogue.rows_that(Kind.MAXIMUM))
PASSING_ROWS = tuple(_catalogue.rows_that(Kind.GAUGE, Kind.MAXIMUM))
"""Rows whose numbers end with their process."""
