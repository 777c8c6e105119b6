"""Finished decisions: what a request with these bytes is answered, for a short while.

Derived from the TTL caches, which stay the truth, and dropped whole at any change: making one
again costs microseconds. A decision holds no file's bytes, only a weak reference to its
variant, so the asset store alone bounds the memory of files. Keys hold text of clients: keys that
are too long are not remembered, and all keys and decisions together are bounded in bytes.
"""

import weakref
from collections.abc import Hashable
from dataclasses import dataclass
from sys import getsizeof
from time import monotonic

from gateway.basis import Basis
from gateway.planning import Plan
from gateway.representation import HeaderFields, Variant

DecisionKey = tuple[bytes, Hashable, bytes | None, bytes | None, bytes | None]
"""Raw path, credential, Accept-Encoding, If-None-Match, allowed Origin: all that the answer to a
GET without ranges and rarer conditions depends on."""

_MAX_BYTES = 32 << 20
# A path, a token and validators of usual length are below 1 KiB together.
_MAX_KEY_BYTES = 4096
# A decision with its fields, its head and its place in the dictionary: 854 bytes, by tracemalloc
# over 10,000 of them with CORS.
_DECISION_BYTES = 1024
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
        self._bytes = 0
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
        if asked.key not in self._made and not self._make_room(_size_of(asked.key)):
            return
        self._made[asked.key] = Decision(
            basis.until,
            basis.last,
            plan.status,
            (*plan.fields, *asked.extra_fields),
            weakref.ref(variant),
        )

    def _make_room(self, key_bytes: int) -> bool:
        """Counts one more decision; False, if its key is too long."""
        if key_bytes > _MAX_KEY_BYTES:
            return False
        if self._bytes + key_bytes + _DECISION_BYTES > _MAX_BYTES:
            self._forget()
        self._bytes += key_bytes + _DECISION_BYTES
        return True

    def clear(self) -> None:
        self.epoch += 1
        self._forget()

    def _forget(self) -> None:
        self._made.clear()
        self._bytes = 0


def _size_of(key: Hashable) -> int:
    """Bytes of memory; a credential may be a tuple of its own."""
    inner = sum(map(_size_of, key)) if isinstance(key, tuple) else 0
    return getsizeof(key) + inner
