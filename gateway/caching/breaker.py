"""A circuit breaker: while a source fails, nobody waits for it.

While the circuit is closed, calls pass. `THRESHOLD` failures in a row open it: calls fail at once.
After `PAUSE_S` one call passes. Its success closes the circuit; its failure keeps it open.

The log has one line when calls begin to fail, and one when they succeed again.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway.errors import SourceUnavailable

logger = logging.getLogger(__name__)

THRESHOLD = 3
PAUSE_S = 1.0


class CircuitBreaker:
    """Knows whether a source is worth asking. For one event loop."""

    def __init__(self, source: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._failures = 0
        self._ask_again_at = 0.0
        self._failing_since: float | None = None

    @property
    def is_open(self) -> bool:
        return self._failures >= THRESHOLD

    @property
    def failing_for_s(self) -> float | None:
        """Seconds since the first failure after the last success; None: the source works."""
        return None if self._failing_since is None else self._clock() - self._failing_since

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """The context of each call. Raises: SourceUnavailable, while the circuit is open."""
        now = self._clock()
        if self.is_open:
            if now < self._ask_again_at:
                refused = SourceUnavailable(reason=f"{self._source} failed a moment ago")
                refused.is_logged, refused.was_asked = True, False
                raise refused
            self._ask_again_at = now + PAUSE_S  # this call passes, and the others fail at once
        try:
            yield
        except SourceUnavailable as error:
            self._failures += 1
            self._ask_again_at = self._clock() + PAUSE_S
            if self._failing_since is None:
                self._failing_since = now
                logger.warning("%s fails: %s", self._source, error.reason)
            error.is_logged = True
            raise
        self._failures = 0
        if self._failing_since is not None:
            logger.info("%s works again, after %.1f s", self._source, self.failing_for_s)
            self._failing_since = None

    def close(self) -> None:
        """Lets all calls pass: the source has answered somebody else."""
        self._failures = 0
