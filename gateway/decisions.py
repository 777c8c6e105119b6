"""Finished decisions: what a request with these bytes is answered, for a short while.

Derived from the TTL caches, which stay the truth, and dropped whole at any change: making one
again costs microseconds. A decision holds no file's bytes, only a weak reference to its
variant, so the asset store alone bounds the memory.
"""

import weakref
from collections.abc import Hashable
from dataclasses import dataclass
from time import monotonic

from gateway.basis import Basis
from gateway.planning import Plan
from gateway.representation import HeaderFields, Variant

DecisionKey = tuple[bytes, Hashable, bytes | None, bytes | None, bytes | None]
"""Raw path, credential, Accept-Encoding, If-None-Match, Origin: all that the answer to a GET
without ranges and rarer conditions depends on."""

# A key and a decision are about 1.5 KiB.
_MAX_DECISIONS = 50_000
# While one request has the sources asked again, the others are answered as before.
_RENEWAL_S = 0.05


@dataclass(slots=True)
class Decision:
    """An answer that is ready to be sent."""

    until: float
    """Moment of the monotonic clock from which one request is to decide anew."""
    last: float
    """Moment from which all do: what it rests on is no longer fresh."""
    status: int
    fields: HeaderFields
    variant: weakref.ref[Variant]
    head: bytes = b""
    """`fields` as they are sent; empty: not wanted yet (protocol.py)."""

    def renew(self, now: float) -> None:
        """Called by the request that decides anew: the others may go on meanwhile."""
        self.until = min(self.last, now + _RENEWAL_S)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that may be repeated: its key, and when it came."""

    key: DecisionKey
    epoch: int
    """What was asked for before a change is not remembered after it."""
    extra_fields: HeaderFields
    """What the front adds to every answer (CORS)."""


class Decisions:
    """Finished decisions by key."""

    def __init__(self) -> None:
        self._made: dict[DecisionKey, Decision] = {}
        self.epoch = 0
        """Counts the changes."""
        self.get = self._made.get
        """Bound once: on the hot path each attribute counts."""

    def __len__(self) -> int:
        return len(self._made)

    def remember(self, asked: Asked | None, plan: Plan, variant: Variant, basis: Basis) -> None:
        """Only whole answers and 304s, and only if nothing changed since they were asked."""
        if asked is None or asked.epoch != self.epoch or plan.status not in (200, 304):
            return
        if basis.until <= monotonic():
            return  # being renewed: what is remembered goes on
        if len(self._made) >= _MAX_DECISIONS:
            self._made.clear()
        self._made[asked.key] = Decision(
            basis.until,
            basis.last,
            plan.status,
            (*plan.fields, *asked.extra_fields),
            weakref.ref(variant),
        )

    def clear(self) -> None:
        self.epoch += 1
        self._made.clear()
