"""What is asked in which case, and what is promised of it. Pure.

A case is a list of page loads, or of single requests. The gateway is new in each round, and the
cases come in their order: who was asked for in an earlier one is known in a later one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice

from benchmarks.load.listed import Until
from benchmarks.pages.wanted import Visitors, Wanted
from benchmarks.promises import Bound, Verdict, judge
from benchmarks.ratios import spread_of
from benchmarks.serve.figures import Figures
from benchmarks.users import shuffled, uniform, zipf

FILES = 10
_PAGES_AT_ONCE, _REQUESTS_AT_ONCE = 8, 64


@dataclass(frozen=True, slots=True)
class Effort:
    """Users of each kind; the site must have as many as all kinds together, and some more."""

    known: int
    known_pages: int
    cold_pages: int
    cold_files: int
    rounds: int
    duration_s: int


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    visits: Sequence[Sequence[Wanted]] = field(hash=False)
    until: Until = Until.FIRST_LIST_SENT
    """A user who was never seen is not asked for twice; time ends the others."""
    before: Sequence[Wanted] = field(default=(), hash=False)
    """Asked before the measurement, by the gateway alone."""
    rivals: Sequence[str] = field(default=(), hash=False)
    """Who takes part beside the gateway and the bare application."""

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
    def lists(self) -> list[list[Wanted]]:
        """Pages: a list for each connection, which sends a page in its order."""
        number = min(_PAGES_AT_ONCE, len(self.visits)) if self.is_pages else 1
        return [[each for visit in self.visits[n::number] for each in visit] for n in range(number)]


NEVER_PINNED = "pages, new users, pinned"
NEVER_OWN = "pages, new users, own"
ONE_FILE = "one file, new users"
FIRST, FIRST_304 = "first request, 200", "first request, 304"
AGAIN, AGAIN_304 = "same request again, 200", "same request again, 304"
KNOWN_PINNED = "pages, known users"
KNOWN_304 = "pages, known users, 304"
HALF = "pages, half known"
ZIPF = "pages, Zipf from none"

NGINX, STATIC, UNCACHED, CADDY = "nginx", "staticfiles", "uncached", "caddy"
PROMISES: Sequence[tuple[str, str, float, Sequence[str]]] = (
    (
        "page loads of users never seen, against the bare app",
        "bare",
        0.5,
        (NEVER_PINNED, NEVER_OWN),
    ),
    ("first request of a known user, against the bare app", "bare", 1.0, (FIRST, FIRST_304)),
    ("the same request again, against the bare app", "bare", 1.2, (AGAIN, AGAIN_304)),
    ("one file each of users never seen, against the bare app", "bare", 0.2, (ONE_FILE,)),
    ("first requests, against Starlette StaticFiles", STATIC, 5, (FIRST,)),
    ("first requests, against FileResponse, lookups uncached", UNCACHED, 20, (FIRST,)),
    ("first requests, against Caddy file_server", CADDY, 2, (FIRST,)),
)
P99_PROMISE = "one file each of users never seen, p99"
_P99 = Bound(50, "ms", at_most=True)


def make_cases(visitors: Visitors, effort: Effort) -> list[Case]:
    numbers = count()

    def take(many: int) -> list[int]:
        return list(islice(numbers, many))

    known, seen_pages = take(effort.known), take(effort.known_pages)
    files = {number: visitors.files(number) for number in known}
    half = FILES // 2

    def own(number: int, place: int, *, revalidates: bool = False) -> Wanted:
        return Wanted(number, files[number][place], revalidates=revalidates)

    def first(places: range, *, revalidates: bool = False) -> list[list[Wanted]]:
        """Every user and file once; by each user's last file they become known."""
        asked = [[own(user, place, revalidates=revalidates)] for place in places for user in known]
        return shuffled(asked)

    def pinned(users: Sequence[int]) -> list[list[Wanted]]:
        return [visitors.page(number, is_public=True) for number in users]

    def chosen(choose: Callable[[], int], users: Sequence[int]) -> list[int]:
        return [users[choose()] for _ in range(len(users))]

    one, few, law = known[0], len(seen_pages), zipf(effort.cold_pages)
    both = [page for user in seen_pages for page in visitors.page(user)]
    return [
        Case(NEVER_PINNED, pinned(take(effort.cold_pages)), rivals=[NGINX]),
        Case(NEVER_OWN, [visitors.page(user) for user in take(effort.cold_pages)]),
        Case(ONE_FILE, [[Wanted(n, visitors.files(n)[0])] for n in take(effort.cold_files)]),
        Case(
            *(FIRST, first(range(half))),
            before=[own(user, FILES - 1) for user in known],
            rivals=[NGINX, STATIC, UNCACHED, CADDY],
        ),
        Case(FIRST_304, first(range(half, FILES - 1), revalidates=True), rivals=[NGINX]),
        Case(AGAIN, [[own(one, 0)]], Until.TIME),
        Case(AGAIN_304, [[own(one, 0, revalidates=True)]], Until.TIME),
        Case(
            *(KNOWN_PINNED, pinned(chosen(uniform(few), seen_pages)), Until.TIME),
            before=[*both, *(each for page in pinned(seen_pages) for each in page)],
        ),
        Case(
            KNOWN_304,
            [visitors.page(n, revalidates=True) for n in chosen(zipf(few), seen_pages)],
            Until.TIME,
        ),
        Case(HALF, pinned(shuffled([*seen_pages, *take(few)]))),
        Case(ZIPF, pinned(chosen(law, take(effort.cold_pages)))),
    ]


def verdicts(cases: Sequence[Case], figures: Figures) -> Iterator[Verdict]:
    by_name = {case.name: case for case in cases}
    for text, rival, at_least, names in PROMISES:
        ratios = {name: figures.ratio("gateway", rival, by_name[name]) for name in names}
        measured = {name: ratio for name, ratio in ratios.items() if ratio is not None}
        yield judge(text, at_least, measured)
    found = figures.of("gateway", by_name[ONE_FILE])
    p99_ms = spread_of(each.report.p99_us / 1000 for each in found)
    yield judge(P99_PROMISE, _P99, {ONE_FILE: p99_ms} if p99_ms else {})
