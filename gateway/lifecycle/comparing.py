"""Comparing: after a version was published, the differences from the versions that users have.

So the first browser that comes with an old file finds the difference. What is not made here, for
want of time or room, is made when a browser asks for it.
"""

import logging
import time
from collections.abc import Collection
from itertools import takewhile

from gateway.database.connections import connect
from gateway.database.tables import Tables
from gateway.disk.builds import look_at
from gateway.disk.differences import Differences
from gateway.disk.pairs import Pair, Pairs
from gateway.disk.storage import PluginStorage
from gateway.errors import ConfigurationError, SourceUnavailable
from gateway.lifecycle.publishing import Published
from gateway.lifecycle.unpacking import Progress, with_progress
from gateway.names import Slug
from gateway.settings import Settings

logger = logging.getLogger(__name__)

_MOST_S = 60.0
"""Publishing takes at most this much longer. 212 files, of 3.6 MB in all, take 0.6 s for each
earlier version, a tenth of what encoding them takes."""


def compare(
    settings: Settings,
    storage: PluginStorage,
    published: Published,
    held: Collection[str] | None,
    progress: Progress = lambda _what, _done, _all: None,
) -> None:
    """Makes the differences from the newest of the `held` versions. Blocking.

    `held`: None, if it is not known which versions users have. A disk that fails is a warning.
    """
    if not settings.cache.differences.max_bytes or not settings.http.dictionaries:
        return
    differences = Differences(storage.cache, settings.cache.differences.max_bytes)
    max_file_bytes = settings.cache.assets.max_file_bytes
    pairs = Pairs(storage, differences, published.slug, max_file_bytes)
    end = time.monotonic() + _MOST_S

    def is_in_time(_pair: Pair) -> bool:
        return time.monotonic() < end

    try:
        state = look_at(published.folder, None)
        if state is None:
            return
        # Where many files have one stem, finding the pairs is most of the work.
        found = list(takewhile(is_in_time, pairs.of(published.version, state, held)))
        for pair in takewhile(is_in_time, with_progress("comparing", found, progress)):
            pairs.make(pair)
    except OSError as error:
        name = f"{published.slug} {published.version}"
        logger.warning("cannot compare %s with earlier versions: %s", name, error)


async def held_versions(settings: Settings, slug: Slug) -> set[str] | None:
    """The versions of a plugin that rows name; None if the database cannot be asked."""
    statement = "SELECT DISTINCT version FROM plugin WHERE plugin_slug = $1"
    try:
        tables = Tables(connect(settings))
        await tables.open()
        try:
            rows = await tables.fetch(statement, slug)
        finally:
            await tables.close()
    except (ConfigurationError, SourceUnavailable) as error:
        logger.debug("cannot ask which versions of %s users have: %s", slug, error)
        return None
    return {str(row[0]) for row in rows}
