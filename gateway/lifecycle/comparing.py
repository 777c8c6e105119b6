"""Comparing: after a version was published, the differences from the versions that users have.

So the first browser that comes with an old file finds the difference. What is not made here, for
want of time or room, is made when a browser asks for it.
"""

import logging
import time
from collections.abc import Collection

from gateway.database.connections import connect
from gateway.database.tables import Tables
from gateway.disk.builds import look_at
from gateway.disk.differences import Differences
from gateway.disk.pairs import Pairs
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
    max_bytes = settings.cache.differences.max_bytes
    if not max_bytes or not settings.http.dictionaries:
        return
    pairs = Pairs(
        storage,
        Differences(storage.cache, max_bytes),
        published.slug,
        settings.cache.assets.max_file_bytes,
    )
    try:
        state = look_at(published.folder, None)
        if state is None:
            return
        found = list(pairs.of(published.version, state, held))
        end = time.monotonic() + _MOST_S
        for pair in with_progress("comparing", found, progress):
            if time.monotonic() > end:
                logger.info("the other differences are made when browsers ask for them")
                return
            pairs.make(pair)
    except OSError as error:
        name = f"{published.slug} {published.version}"
        logger.warning("cannot compare %s with earlier versions: %s", name, error)


async def held_versions(settings: Settings, slug: Slug) -> set[str] | None:
    """The versions of a plugin that rows name; None if the database cannot be asked."""
    tables = Tables(connect(settings))
    try:
        await tables.open()
        try:
            rows = await tables.fetch(
                "SELECT DISTINCT version FROM plugin WHERE plugin_slug = $1", slug
            )
        finally:
            await tables.close()
    except (ConfigurationError, SourceUnavailable) as error:
        logger.debug("cannot ask which versions of %s users have: %s", slug, error)
        return None
    return {str(row[0]) for row in rows}
