"""The last loads of a cache that ended. A source of changes asks for them when a value may have
changed, and changed back, while it was not looking.
"""

from collections import deque
from collections.abc import Container, Hashable
from itertools import takewhile
from typing import Generic, TypeVar

from gateway.caching.entries import Entries

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# Fewer loads end between two looks of a change source. Each takes 100 bytes beside its key.
_MOST_LANDINGS = 2_048


class Landings(Generic[K, V]):
    """The last loads of a cache that ended, in their order. They may have read a value that the
    source held only for a while."""

    def __init__(self, entries: Entries[K, V]) -> None:
        self._entries = entries
        self._landings: deque[tuple[float, K]] = deque()
        """The moment at which each load ended, and its key."""
        self._complete_after = float("-inf")
        """Landings at or before this moment may have been forgotten."""

    def note(self, key: K) -> None:
        if len(self._landings) == _MOST_LANDINGS:
            self._complete_after, _ = self._landings.popleft()
        self._landings.append((self._entries.clock(), key))

    def since(self, moment: float) -> set[K]:
        """Keys whose load ended at or after `moment`; all keys, if that is too long ago to know.

        The end of a load counts, not its start: a load that began before `moment` may have read
        its source after it.
        """
        if self._complete_after >= moment:
            return set(self._entries)
        landings = takewhile(lambda landing: landing[0] >= moment, reversed(self._landings))
        return {key for _, key in landings}

    def confirm(self, keys: Container[K]) -> None:
        """The source holds the values of these keys: they count as landed long ago."""
        self._landings = deque(landing for landing in self._landings if landing[1] not in keys)
