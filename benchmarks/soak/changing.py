"""What an application does meanwhile: versions change, plugins are revoked and given again."""

import asyncio
import json
import random
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing

from benchmarks.population import VERSIONS, PopulatedSite
from gateway.disk.storage import PluginStorage, write_atomically
from gateway.names import Slug, UserId

_EVERY_S = 0.5
_UPDATE = "UPDATE plugin SET version = ? WHERE user_id = ? AND plugin_slug = ?"


async def keep_changing(
    site: PopulatedSite, plugins: Sequence[tuple[UserId, Slug]], counted: Counter[str]
) -> None:
    """Until it is cancelled: every half second an update or a revocation, each undone later."""
    source = random.Random(5)  # noqa: S311 (no secret)
    storage = PluginStorage(site.plugins)
    with closing(sqlite3.connect(site.database, isolation_level=None, timeout=10)) as connection:
        while True:
            await asyncio.sleep(_EVERY_S)
            user, slug = source.choice(plugins)
            if source.random() < 0.5:
                version = source.choice(VERSIONS)
                connection.execute(_UPDATE, (version, user, slug))
                counted["updates"] += 1
            else:
                await asyncio.to_thread(_toggle, storage, user, slug)
                counted["revocations and returns"] += 1


def _toggle(storage: PluginStorage, user: UserId, slug: Slug) -> None:
    file = storage.installations_file(user)
    content = json.loads(file.read_bytes())
    if slug in content:
        del content[slug]
    else:
        content[slug] = {}
    write_atomically(file, json.dumps(content).encode())
