"""Finished decisions: what a request with these bytes is answered, for a short while.

Derived from the TTL caches, which stay the truth, and dropped whole at any change: making one
again costs microseconds. A decision holds no file's bytes, only a weak reference to its
variant, so the asset store alone bounds the memory.
"""

import weakref
from collections.abc import Hashable
from dataclasses import dataclass

from gateway.planning import not_modified_fields, whole_fields
from gateway.representation import HeaderFields, Variant

DecisionKey = tuple[bytes, Hashable, bytes | None]
"""Raw path, credential, Accept-Encoding: all that a plain GET's answer depends on."""

Asked = tuple[DecisionKey, int]
"""A key, and the epoch in which the request came."""

# A key and a decision are about 1 KiB.
_MAX_DECISIONS = 50_000


@dataclass(frozen=True, slots=True)
class Decision:
    """A 200 and a 304, ready to be sent."""

    until: float
    """Moment of the monotonic clock after which it is no longer believed."""
    etag: bytes
    whole: HeaderFields
    not_modified: HeaderFields
    variant: weakref.ref[Variant]


class Decisions:
    """Finished decisions by key."""

    def __init__(self) -> None:
        self._made: dict[DecisionKey, Decision] = {}
        self.epoch = 0
        """Counts the changes. What was asked for before one is not remembered after it."""
        self.get = self._made.get
        """Bound once: on the hot path each attribute counts."""

    def remember(self, asked: Asked, variant: Variant, cache_control: bytes, until: float) -> None:
        """Nothing, if anything changed since the request was asked."""
        key, epoch = asked
        if epoch != self.epoch:
            return
        if len(self._made) >= _MAX_DECISIONS:
            self._made.clear()
        self._made[key] = Decision(
            until,
            str(variant.etag).encode(),
            whole_fields(variant, cache_control),
            not_modified_fields(variant, cache_control),
            weakref.ref(variant),
        )

    def clear(self) -> None:
        self.epoch += 1
        self._made.clear()
