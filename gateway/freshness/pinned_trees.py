"""Versions that were rebuilt or removed while requests for them went to the proxy alone.

The proxy sends pinned files without asking the gateway (disk/pinned_trees.py), so no request makes
the gateway look at their folders; this source does. A look does not count as a use of the version:
garbage collection may remove a version that nobody asks the gateway for. After the looks, trees
get differences that they lack.
"""

import asyncio

import anyio.to_thread

from gateway.disk.pinned_trees import PinnedTrees
from gateway.disk.tree_differences import TreeDifferences
from gateway.freshness import Ready, Tell

_PAUSE_S = 10.0


class PinnedTreesSource:
    """Looks at the folder of every version that has a tree, and corrects the tree. Tells nobody."""

    name = "pinned trees"

    def __init__(
        self,
        trees: PinnedTrees,
        differences: TreeDifferences | None = None,
        pause_s: float = _PAUSE_S,
    ) -> None:
        """`differences`: None, if trees get none."""
        self._trees = trees
        self._differences = differences
        self._pause_s = pause_s

    async def run(self, _tell: Tell, ready: Ready) -> None:
        ready()  # the gateway itself answers nothing from a tree
        while True:
            await anyio.to_thread.run_sync(self._trees.look_again)
            if self._differences is not None:
                await anyio.to_thread.run_sync(self._differences.add_to_all)
            await asyncio.sleep(self._pause_s)
