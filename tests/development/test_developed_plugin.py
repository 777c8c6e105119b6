"""Pages wait for builds, and miss none."""

import asyncio

from gateway.development.developed_plugin import DevelopedPlugin, SeenBuild
from gateway.names import Slug, UserId, Version
from tests.support.site import ADA
from tests.support.waiting import until


def developed() -> DevelopedPlugin:
    return DevelopedPlugin(UserId(ADA), Slug("Review"), f"{ADA}_Review")


def seen(number: int, problem: str | None = None) -> SeenBuild:
    version = None if problem else Version(f"1.0.0-dev.{number}")
    return SeenBuild(number, version, 0.0, 0.04, 0.3, 3, 4096, problem)


def test_everybody_who_waits_gets_the_next_build_and_is_counted() -> None:
    async def run() -> tuple[int, list[SeenBuild]]:
        plugin = developed()
        waiting = [asyncio.create_task(plugin.after(0)) for _ in range(3)]
        await until(lambda: plugin.waiting == 3)
        return plugin.announce(seen(1)), await asyncio.gather(*waiting)

    assert asyncio.run(run()) == (3, [seen(1)] * 3)


def test_who_comes_late_gets_the_builds_one_after_another() -> None:
    async def run() -> list[int]:
        plugin = developed()
        for number in (1, 2, 3):
            plugin.announce(seen(number))
        return [(await plugin.after(number)).number for number in (0, 1, 2)]

    assert asyncio.run(run()) == [1, 2, 3]


def test_who_gives_up_is_not_counted() -> None:
    async def run() -> int:
        plugin = developed()
        task = asyncio.create_task(plugin.after(0))
        await until(lambda: plugin.waiting == 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return plugin.announce(seen(1))

    assert asyncio.run(run()) == 0


def test_after_a_refused_build_the_last_good_one_is_current() -> None:
    plugin = developed()
    plugin.announce(seen(1))
    plugin.announce(seen(2, problem="no entry"))
    assert plugin.current == seen(1)
    assert [build.number for build in plugin.builds] == [1, 2]
    plugin.announce(seen(3))
    assert plugin.current == seen(3)


def test_only_the_last_builds_are_remembered() -> None:
    plugin = developed()
    for number in range(1, 100):
        plugin.announce(seen(number))
    assert [build.number for build in plugin.builds] == list(range(80, 100))
