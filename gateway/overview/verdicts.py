"""Is it the database, the disk, or us? The rules are one table: of each part, the first rule that
holds decides, from above.

A source *fails* while nobody has reason to believe that it works. For the minute after that, and
while it is slow or fails only sometimes, it is *strained*. All facts are of all workers.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Part = Literal["database", "disk", "gateway"]
Condition = Literal["good", "strained", "failing"]

HANGS_AFTER_S = 5.0
"""Queries and reads of users' files end by themselves after 2 s."""
SLOW_DATABASE_S = 0.3
SLOW_DISK_S = 0.1
SLOW_LOOP_S = 0.1
BUSY_CORES = 0.9
FEWEST_ERRORS = 3
"""Fewer may be of one file or of one user."""
_FAILING_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What the workers know of one source."""

    name: str = ""
    """In a sentence: "the database"."""
    loads: float = 0
    """In the last minute, as the next two."""
    errors: float = 0
    p99_s: float | None = None
    recent_loads: float = 0
    """In the last seconds, as the next."""
    recent_errors: float = 0
    open_circuits: int = 0
    """Workers that do not ask now, because several questions in a row failed."""
    pending_s: float | None = None
    """For how long the oldest load has been running."""
    last_error: str = ""
    is_newest_an_error: bool = False
    """Whether the last load that ended failed."""
    watch_error: str | None = None
    """Why the gateway's own look at the source fails, which no request asked for; None: it does
    not."""

    @property
    def fails(self) -> bool:
        """Whether the loads that are made now fail."""
        most_fail = self.recent_errors >= max(FEWEST_ERRORS, self.recent_loads * _FAILING_SHARE)
        return self.is_newest_an_error and (self.open_circuits > 0 or most_fail)

    @property
    def hangs(self) -> bool:
        return self.pending_s is not None and self.pending_s > HANGS_AFTER_S

    def is_slower_than(self, bound_s: float) -> bool:
        return self.p99_s is not None and self.p99_s > bound_s


@dataclass(frozen=True, slots=True)
class GatewayFacts:
    """What the workers know of themselves; numbers of the last minute."""

    workers: int = 1
    hung: int = 0
    """Workers of which nothing was heard for seconds."""
    restarts: float = 0
    internal_errors: float = 0
    """Answers with status 500: only errors of ours have it."""
    loop_delay_s: float | None = None
    """99 % of the beats came sooner."""
    busiest_cores: float = 0.0
    """What the worker uses that works most."""
    requests: float = 0
    p99_s: float | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    database: SourceFacts = field(default_factory=SourceFacts)
    users: SourceFacts = field(default_factory=SourceFacts)
    shared: SourceFacts = field(default_factory=SourceFacts)
    gateway: GatewayFacts = field(default_factory=GatewayFacts)


class Rule(NamedTuple):
    part: Part
    condition: Condition
    facts: Callable[[Facts], Any]
    """The part of the facts that the next two take."""
    holds: Callable[[Any], bool]
    sentence: Callable[[Any], str]


def _database(facts: Facts) -> SourceFacts:
    return facts.database


def _users(facts: Facts) -> SourceFacts:
    return facts.users


def _shared(facts: Facts) -> SourceFacts:
    return facts.shared


def _disk(facts: Facts) -> SourceFacts:
    """Both sources of the disk together, for the rule that holds if none of theirs does."""
    slowest = max(facts.users, facts.shared, key=lambda source: source.p99_s or 0.0)
    loads = facts.users.loads + facts.shared.loads
    return SourceFacts("the disk", loads=loads, p99_s=slowest.p99_s)


def _gateway(facts: Facts) -> GatewayFacts:
    return facts.gateway


def _is(name: str) -> Callable[[Any], bool]:
    def holds(facts: Any) -> bool:
        return bool(getattr(facts, name))

    return holds


def _always(_facts: Any) -> bool:
    return True


def _is_watched_in_vain(source: SourceFacts) -> bool:
    return source.watch_error is not None


def _fails(source: SourceFacts) -> str:
    return f"{_first(source.name)} cannot be read: {source.last_error}"


def _hangs(source: SourceFacts) -> str:
    return f"{_first(source.name)} has not answered for {_duration(source.pending_s)}"


def _is_not_seen(source: SourceFacts) -> str:
    return f"{_first(source.name)} cannot be looked at: {source.watch_error}"


def _failed_sometimes(source: SourceFacts) -> str:
    counts = f"{_count(source.errors)} of {_count(source.loads)} loads"
    return (
        f"{_first(source.name)} failed for {counts} in the last minute; last: {source.last_error}"
    )


def _is_slow(source: SourceFacts) -> str:
    return (
        f"{_first(source.name)} is slow: 1 % of the loads take more than {_duration(source.p99_s)}"
    )


def _is_good(source: SourceFacts) -> str:
    if not source.loads:
        return f"{_first(source.name)} was not asked for anything in the last minute"
    loads = f"{_count(source.loads)} loads in the last minute"
    return f"{_first(source.name)} answers: {loads}, 99 % within {_duration(source.p99_s)}"


RULES = (
    Rule("database", "failing", _database, _is("fails"), _fails),
    Rule("database", "failing", _database, _is("hangs"), _hangs),
    Rule("database", "failing", _database, _is_watched_in_vain, _is_not_seen),
    Rule("database", "strained", _database, _is("errors"), _failed_sometimes),
    Rule(
        "database", "strained", _database, lambda it: it.is_slower_than(SLOW_DATABASE_S), _is_slow
    ),
    Rule("database", "good", _database, _always, _is_good),
    Rule("disk", "failing", _users, _is("fails"), _fails),
    Rule("disk", "failing", _shared, _is("fails"), _fails),
    Rule("disk", "failing", _users, _is("hangs"), _hangs),
    Rule("disk", "failing", _shared, _is("hangs"), _hangs),
    Rule("disk", "failing", _users, _is_watched_in_vain, _is_not_seen),
    Rule("disk", "failing", _shared, _is_watched_in_vain, _is_not_seen),
    Rule("disk", "strained", _users, _is("errors"), _failed_sometimes),
    Rule("disk", "strained", _shared, _is("errors"), _failed_sometimes),
    Rule("disk", "strained", _users, lambda it: it.is_slower_than(SLOW_DISK_S), _is_slow),
    Rule("disk", "strained", _shared, lambda it: it.is_slower_than(SLOW_DISK_S), _is_slow),
    Rule("disk", "good", _disk, _always, _is_good),
    Rule(
        "gateway",
        "failing",
        _gateway,
        _is("hung"),
        lambda it: f"Workers that do not answer: {it.hung} of {it.workers}",
    ),
    Rule(
        "gateway",
        "failing",
        _gateway,
        _is("internal_errors"),
        lambda it: (
            f"Errors of the gateway's own in the last minute: {_count(it.internal_errors)}; the"
            " log has the traceback"
        ),
    ),
    Rule(
        "gateway",
        "strained",
        _gateway,
        _is("restarts"),
        lambda it: (
            f"Workers that ended in the last minute and were replaced: {_count(it.restarts)}"
        ),
    ),
    Rule(
        "gateway",
        "strained",
        _gateway,
        lambda it: it.busiest_cores > BUSY_CORES,
        lambda it: (
            f"A worker uses {it.busiest_cores:.0%} of a processor: raise server.workers, if there"
            " are free processors"
        ),
    ),
    Rule(
        "gateway",
        "strained",
        _gateway,
        lambda it: it.loop_delay_s is not None and it.loop_delay_s > SLOW_LOOP_S,
        lambda it: (
            f"The workers are late by up to {_duration(it.loop_delay_s)}: the machine is busy"
        ),
    ),
    Rule(
        "gateway",
        "good",
        _gateway,
        _is("requests"),
        lambda it: (
            f"The gateway answers: {_count(it.requests)} requests in the last minute, 99 % within"
            f" {_duration(it.p99_s)}"
        ),
    ),
    Rule(
        "gateway",
        "good",
        _gateway,
        _always,
        lambda _: "The gateway was not asked for anything in the last minute",
    ),
)


class Verdict(NamedTuple):
    part: Part
    state: Condition
    sentence: str


def verdicts(facts: Facts) -> list[Verdict]:
    """One for each part: the database, the disk, the gateway."""
    found: dict[Part, Verdict] = {}
    for part, condition, of, holds, sentence in RULES:
        if part not in found and holds(of(facts)):
            found[part] = Verdict(part, condition, f"{sentence(of(facts)).rstrip('.')}.")
    return list(found.values())


def condition_of(source: SourceFacts, slow_s: float) -> Condition:
    """Of one source alone, by the same rules."""
    if source.fails or source.hangs or source.watch_error is not None:
        return "failing"
    return "strained" if source.errors or source.is_slower_than(slow_s) else "good"


def _first(name: str) -> str:
    return name[:1].upper() + name[1:]


def _count(number: float) -> str:
    return f"{number:.0f}"


def _duration(seconds: float | None) -> str:
    seconds = seconds or 0.0
    if seconds >= 1.0:
        return f"{seconds:.1f} s"
    milliseconds = seconds * 1000
    return f"{milliseconds:.0f} ms" if milliseconds >= 10 else f"{milliseconds:.2g} ms"
