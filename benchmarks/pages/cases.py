"""The cases of page loads, and the promises about them. Pure.

A case is a list of page loads, or of single requests. The gateway is new in each round, and the
cases come in their order: a user who was asked for in an earlier case is known in a later one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count, islice

from benchmarks.figures import spread_of
from benchmarks.open_loop import Choose, shuffled, uniform, zipf
from benchmarks.pages.visits import PageRequest, Visitors
from benchmarks.record import Record
from benchmarks.serve.contestants import (
    BARE,
    CADDY,
    GATEWAY,
    MINIMAL,
    NGINX,
    STATICFILES,
    UNCACHED,
    Contestant,
)
from benchmarks.serve.rounds import Measurements
from benchmarks.wrk import Until

FILES = 10
_PAGES_AT_ONCE, _REQUESTS_AT_ONCE = 8, 64


@dataclass(frozen=True, slots=True)
class Effort:
    """Numbers of users of each kind; the site must have as many as all kinds together."""

    known: int
    known_pages: int
    cold_pages: int
    cold_files: int
    rounds: int
    duration_s: int


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    visits: Sequence[Sequence[PageRequest]] = field(hash=False)
    until: Until = Until.FIRST_LIST_SENT
    """A user who was never seen is not asked for twice; time ends the other cases."""
    before: Sequence[PageRequest] = field(default=(), hash=False)
    """Asked before the measurement, of the gateway alone."""
    rivals: Sequence[Contestant] = field(default=(), hash=False)
    """Servers that take part beside the gateway and the bare application."""

    def __str__(self) -> str:
        return self.name

    @property
    def is_pages(self) -> bool:
        return len(self.visits[0]) > 1

    @property
    def revalidates(self) -> bool:
        return self.visits[0][0].revalidates

    @property
    def connections(self) -> int:
        return _PAGES_AT_ONCE if self.is_pages else _REQUESTS_AT_ONCE

    @property
    def requests(self) -> Iterable[PageRequest]:
        return (page_request for visit in self.visits for page_request in visit)

    @property
    def lists(self) -> list[list[PageRequest]]:
        """For pages a list for each connection, which sends a page in its order."""
        number = min(_PAGES_AT_ONCE, len(self.visits)) if self.is_pages else 1
        return [
            [page_request for visit in self.visits[place::number] for page_request in visit]
            for place in range(number)
        ]


NEVER_PINNED = "pages, new users, pinned"
NEVER_OWN = "pages, new users, own"
ONE_FILE = "one file, new users"
FIRST, FIRST_304 = "first request, 200", "first request, 304"
AGAIN, AGAIN_304 = "same request again, 200", "same request again, 304"
KNOWN_PINNED = "pages, known users"
KNOWN_304 = "pages, known users, 304"
HALF = "pages, half known"
ZIPF = "pages, Zipf from none"

PROMISED: Sequence[tuple[str, str, Sequence[str]]] = (
    ("page_load", BARE, (NEVER_PINNED, NEVER_OWN)),
    ("first_request", BARE, (FIRST, FIRST_304)),
    ("same_again", BARE, (AGAIN, AGAIN_304)),
    ("one_file", BARE, (ONE_FILE,)),
    ("first_staticfiles", STATICFILES.name, (FIRST,)),
    ("first_uncached", UNCACHED.name, (FIRST,)),
    ("first_caddy", CADDY.name, (FIRST,)),
)
"""Keys of promises about the ratio to a server, and the cases in which they must hold."""


def make_cases(visitors: Visitors, effort: Effort) -> list[Case]:
    """In the order in which they are measured. No user is new in two of them."""
    numbers = count()

    def new_users(users: int) -> list[int]:
        return list(islice(numbers, users))

    known, seen = new_users(effort.known), new_users(effort.known_pages)
    cold = effort.cold_pages
    return [
        Case(NEVER_PINNED, _pinned(visitors, new_users(cold)), rivals=[NGINX]),
        Case(NEVER_OWN, [visitors.page(user) for user in new_users(cold)]),
        Case(ONE_FILE, [[_own(visitors, user, 0)] for user in new_users(effort.cold_files)]),
        *_first_cases(visitors, known),
        Case(AGAIN, [[_own(visitors, known[0], 0)]], Until.TIME),
        Case(AGAIN_304, [[_own(visitors, known[0], 0, revalidates=True)]], Until.TIME),
        *_known_cases(visitors, seen),
        Case(HALF, _pinned(visitors, shuffled([*seen, *new_users(len(seen))]))),
        Case(ZIPF, _pinned(visitors, _drawn(zipf(cold), new_users(cold)))),
    ]


def _first_cases(visitors: Visitors, users: Sequence[int]) -> list[Case]:
    """Every user and file once; the users are known by their last file."""
    half, last = FILES // 2, FILES - 1

    def first(places: range, *, revalidates: bool = False) -> list[list[PageRequest]]:
        return shuffled(
            [_own(visitors, user, place, revalidates=revalidates)]
            for place in places
            for user in users
        )

    before = [_own(visitors, user, last) for user in users]
    rivals = [NGINX, STATICFILES, UNCACHED, MINIMAL, CADDY]
    return [
        Case(FIRST, first(range(half)), before=before, rivals=rivals),
        Case(FIRST_304, first(range(half, last), revalidates=True), rivals=[NGINX]),
    ]


def _known_cases(visitors: Visitors, users: Sequence[int]) -> list[Case]:
    """Users who have loaded the page before, by own and by pinned URLs."""
    pages = [*map(visitors.page, users), *_pinned(visitors, users)]
    before = [page_request for page in pages for page_request in page]
    evenly, again = (_drawn(law(len(users)), users) for law in (uniform, zipf))
    revalidated = [visitors.page(user, revalidates=True) for user in again]
    return [
        Case(KNOWN_PINNED, _pinned(visitors, evenly), Until.TIME, before=before),
        Case(KNOWN_304, revalidated, Until.TIME),
    ]


def _own(visitors: Visitors, user: int, place: int, *, revalidates: bool = False) -> PageRequest:
    return PageRequest(user, visitors.files(user)[place], revalidates=revalidates)


def _pinned(visitors: Visitors, users: Sequence[int]) -> list[list[PageRequest]]:
    return [visitors.page(user, is_public=True) for user in users]


def _drawn(choose: Choose, users: Sequence[int]) -> list[int]:
    """As many as there are users, drawn by a law."""
    return [users[choose()] for _ in users]


def judge_cases(record: Record, cases: Sequence[Case], measurements: Measurements) -> None:
    by_name = {case.name: case for case in cases}
    for key, rival, names in PROMISED:
        ratios = {name: measurements.ratio(GATEWAY, rival, by_name[name]) for name in names}
        record.judge(key, {name: ratio for name, ratio in ratios.items() if ratio is not None})
    measured = measurements.of(GATEWAY, by_name[ONE_FILE])
    p99_ms = spread_of(measurement.report.p99_us / 1000 for measurement in measured)
    record.judge("one_file_p99", {ONE_FILE: p99_ms} if p99_ms else {})
