"""The log of a source that has no circuit breaker: one line when it fails, one when it works again.

Such a source is many files, of which some may fail while others answer. So it works again when
nothing has failed for a while, not at the next answer.
"""

import logging
import time
from collections.abc import Callable

from gateway.errors import SourceUnavailable

logger = logging.getLogger(__name__)

QUIET_S = 10.0


class Outages:
    """Notes how each question to a source ended. For one event loop."""

    def __init__(self, source: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`source`: a plural, such as "the users' files"."""
        self._source = source
        self._clock = clock
        self._began_at: float | None = None
        """None: it works."""
        self._failed_at = 0.0
        self._failures = 0

    def failed(self, error: SourceUnavailable) -> None:
        """The error needs no line of its own then."""
        error.is_logged = True
        self._failed_at = self._clock()
        if self._began_at is None:
            self._began_at, self._failures = self._failed_at, 0
            logger.warning("%s fail: %s", self._source, error.reason)
        self._failures += 1

    def answered(self) -> None:
        if self._began_at is None or self._clock() - self._failed_at < QUIET_S:
            return
        duration_s = self._failed_at - self._began_at
        logger.info(
            "%s work again, after %.1f s and %d failures", self._source, duration_s, self._failures
        )
        self._began_at = None
