"""Trees follow the folders of their versions, and get differences from earlier versions."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.core import Core
from gateway.freshness.pinned_trees import PinnedTreesSource
from gateway.settings import load_settings
from tests.disk.test_tree_differences import NEW, Trees, kept_in
from tests.support.site import Site
from tests.support.waiting import until


def test_trees_get_differences_while_a_gateway_runs(tmp_path: Path) -> None:
    trees = Trees(tmp_path / "site")
    tree = trees.keep(NEW)
    source = PinnedTreesSource(trees.trees, trees.differences, pause_s=0.01)

    async def main() -> None:
        running = asyncio.create_task(source.run(lambda _change: None, lambda: None))
        await until(lambda: len(kept_in(tree)) == 2)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    asyncio.run(main())


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"DELIVERY__MODE": "authorize"}, True),
        ({"DELIVERY__MODE": "accel"}, True),
        ({"DELIVERY__MODE": "direct"}, False),
        ({"DELIVERY__MODE": "accel", "HTTP__DICTIONARIES": "false"}, False),
        ({"DELIVERY__MODE": "accel", "CACHE__DIFFERENCES__MAX_BYTES": "0"}, False),
        ({"DELIVERY__MODE": "accel", "DEV__ENABLED": "true"}, False),
    ],
)
def test_differences_are_for_proxies_that_send_files(
    empty_site: Site, variables: dict[str, str], expected: bool
) -> None:
    environment = {f"GATEWAY__{name}": value for name, value in variables.items()}
    core = Core(load_settings(environ={**empty_site.environment, **environment}))
    assert (core.tree_differences is not None) is expected
