"""What requests are answered from, without HTTP around it, as commands use it."""

import asyncio
from pathlib import Path

from gateway.caching.basis import Basis
from gateway.core import Core
from gateway.names import UserId, parse_target
from gateway.settings import load_settings
from tests.support.site import ADA, Site


def test_a_core_decides_without_an_application(site: Site) -> None:
    core = Core(load_settings(environ=site.environment))

    async def version_of_ada() -> str:
        async with core.running(follow_changes=False):
            target = parse_target(b"Review/dist/remoteEntry.js")
            resolution = await Basis().settled(core.resolver.resolve, UserId(ADA), target)
            return resolution.key.version

    assert asyncio.run(version_of_ada()) == "1.0.0"


def test_a_core_that_follows_no_changes_writes_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path)
    core = Core(load_settings(environ=site.environment))
    files = set(site.folder.rglob("*"))

    async def main() -> None:
        async with core.running(follow_changes=False):
            await core.explainer.explain(UserId(ADA), "Review", "dist/remoteEntry.js")

    asyncio.run(main())
    assert set(site.folder.rglob("*")) == files


def test_a_core_runs_for_as_long_as_its_block_and_can_run_again(site: Site) -> None:
    core = Core(load_settings(environ=site.environment))

    async def main() -> None:
        async with core.running():
            assert core.is_running
        assert not core.is_running

    assert not core.is_running
    asyncio.run(main())
    asyncio.run(main())
