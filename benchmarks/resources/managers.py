"""Memory of the objects that know a version: one for all users, or one for each of them.

Both hold the same: the index of the files with their digests, and the metadata. Measured by
tracemalloc, which counts every allocation of Python, in a process of its own.
"""

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from benchmarks.resources.site import Holding, holdings
from gateway.caching.basis import Basis
from gateway.disk.builds import look_at
from gateway.disk.storage import PluginStorage
from gateway.serving.shared_versions import SharedVersion, SharedVersions

_NEVER_AGAIN_S = 24 * 3600.0


async def shared_bytes(plugins: Path, users: int) -> int:
    """One object for each version, as the gateway has them."""
    storage = PluginStorage(plugins)
    versions = SharedVersions(storage, None, _NEVER_AGAIN_S)
    held: list[SharedVersion | None] = [None] * sum(1 for _ in holdings(users))
    first = next(holdings(users))
    # Threads and modules of the first use belong to the process, whoever has objects in it.
    await Basis().settled(SharedVersions(storage, None, 0.0).get, first.slug, first.version)
    with _Allocated() as allocated:
        for number, holding in enumerate(holdings(users)):
            shared = await Basis().settled(versions.get, holding.slug, holding.version)
            held[number] = _with_metadata(shared)
    return allocated.bytes


async def own_bytes(plugins: Path, users: int) -> int:
    """One object for each user and plugin, each loaded by itself."""
    storage = PluginStorage(plugins)
    held: list[SharedVersion | None] = [None] * sum(1 for _ in holdings(users))
    with _Allocated() as allocated:
        for number, holding in enumerate(holdings(users)):
            held[number] = _with_metadata(_loaded(storage, holding))
    return allocated.bytes


def _loaded(storage: PluginStorage, holding: Holding) -> SharedVersion | None:
    folder = storage.construct_shared_path(holding.slug, holding.version)
    state = look_at(folder, None)
    if state is None:
        return None
    return SharedVersion(holding.slug, holding.version, folder, state, None)


def _with_metadata(version: SharedVersion | None) -> SharedVersion | None:
    if version is not None:
        _ = version.metadata
    return version


class _Allocated:
    """What the block has allocated and still holds at its end."""

    def __init__(self) -> None:
        self.bytes = 0
        self._now: Callable[[], int] = lambda: tracemalloc.get_traced_memory()[0]

    def __enter__(self) -> "_Allocated":
        gc.collect()
        tracemalloc.start()
        self._before = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        gc.collect()
        self.bytes = self._now() - self._before
        tracemalloc.stop()
