"""Versions that were rebuilt or removed while nobody but the proxy was asked for them.

The proxy sends pinned files without asking (disk/pinned_trees.py), so nothing else makes the
gateway look.
Looking is no use of a version: what nobody asks us for may be collected.
"""

import asyncio

import anyio.to_thread

from gateway.disk.pinned_trees import PinnedTrees
from gateway.freshness import Begun, Tell

_PAUSE_S = 10.0


class PinnedTreesSource:
    """Looks at the folder of every version that has a tree; there is nothing to tell others."""

    name = "pinned trees"

    def __init__(self, trees: PinnedTrees, pause_s: float = _PAUSE_S) -> None:
        self._trees = trees
        self._pause_s = pause_s

    async def run(self, _tell: Tell, begun: Begun) -> None:
        begun()  # the gateway itself answers from no tree
        while True:
            await anyio.to_thread.run_sync(self._trees.look_again)
            await asyncio.sleep(self._pause_s)
