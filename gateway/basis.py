"""What a decision rests on: the entries it was made from, and until when they hold.

It travels with a request on the cold path. The finished decision may be repeated until the
first of its entries wants to be asked again.
"""

import time
from typing import TypeVar

from gateway.ttl_cache import Entry

V = TypeVar("V")


class Basis:
    """Gathers the moment until which a decision holds."""

    __slots__ = ("until",)

    def __init__(self) -> None:
        self.until = float("inf")
        """In seconds of the caches' clock."""

    def rest_on(self, entry: Entry[V]) -> V:
        """The entry's value, on which the decision now rests."""
        self.until = min(self.until, entry.refresh_at)
        return entry.value

    def limit_to(self, duration_s: float) -> None:
        """The decision holds at most this much longer."""
        self.until = min(self.until, time.monotonic() + duration_s)

    def note(self, step: str, outcome: str, source: str) -> None:
        """Hears of each step while the decision is made; an explanation writes it down."""
