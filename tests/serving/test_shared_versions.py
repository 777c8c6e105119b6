"""One object for each version, however many users have it; dropped when nobody asks."""

import asyncio
import gc
import json
import weakref
from pathlib import Path

import pytest

from gateway.caching.basis import Basis
from gateway.disk.cache_folder import CacheFolder
from gateway.disk.encoder import Encoder
from gateway.disk.retention import IN_USE_S, Retention
from gateway.disk.storage import PluginStorage
from gateway.names import Slug, Version
from gateway.serving.shared_versions import SharedVersions
from tests.support.server import serving
from tests.support.site import ADA, BEN, Site, bearer
from tests.support.urls import MANIFEST

SLUG, V1, V2 = Slug("Review"), Version("1.0.0"), Version("1.0.1")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.publish(SLUG, V1)
    site.publish(SLUG, V2)
    return site


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_thousand_askers_share_one_object_which_counts_them(site: Site) -> None:
    async def main() -> None:
        versions = SharedVersions(PluginStorage(site.plugins), None, 3600.0)
        asked = await asyncio.gather(
            *(Basis().settled(versions.get, SLUG, V1) for _ in range(1000))
        )
        (only,) = set(asked)
        assert only is not None
        assert only.uses == 1000
        assert list(versions) == [only]

    asyncio.run(main())


def test_it_stays_the_same_object_while_nothing_changes_and_is_another_after(site: Site) -> None:
    async def main() -> None:
        versions = SharedVersions(PluginStorage(site.plugins), None, 0.0)
        first = await Basis().settled(versions.get, SLUG, V1)
        assert await Basis().settled(versions.get, SLUG, V1) is first
        (site.version_folder(SLUG, V1) / "dist" / "1.js").write_bytes(b"rebuilt in place")
        assert await Basis().settled(versions.get, SLUG, V1) is not first

    asyncio.run(main())


def test_one_that_nobody_asks_for_is_dropped(site: Site) -> None:
    clock = Clock()

    async def main() -> None:
        storage = PluginStorage(site.plugins)
        versions = SharedVersions(storage, None, 2.0, clock=clock)
        idle = weakref.ref(await Basis().settled(versions.get, SLUG, V1))
        clock.now_s += IN_USE_S + 3.0
        await Basis().settled(versions.get, SLUG, V2)
        gc.collect()
        assert [version.version for version in versions] == [V2]
        assert idle() is None

    asyncio.run(main())


def test_a_use_is_noted_for_the_collector(site: Site) -> None:
    retention = Retention(CacheFolder(site.plugins / "cache"))

    async def main() -> None:
        versions = SharedVersions(PluginStorage(site.plugins), None, 2.0)
        assert retention.last_use(SLUG, V1) is None
        await Basis().settled(versions.get, SLUG, V1)

    asyncio.run(main())
    assert retention.last_use(SLUG, V1) is not None
    assert retention.last_use(SLUG, V2) is None


def test_it_tells_metadata_and_encoded_variants(site: Site) -> None:
    folder = site.version_folder(SLUG, V1)
    (folder / "plugin.json").write_bytes(json.dumps({"name": "Review board"}).encode())
    (folder / "dist" / "large.js").write_bytes(b"compressible " * 1000)
    encoder = Encoder(site.plugins / "cache" / "encoded")

    async def main() -> None:
        versions = SharedVersions(PluginStorage(site.plugins), encoder, 2.0)
        shared = await Basis().settled(versions.get, SLUG, V1)
        assert shared is not None
        assert (shared.metadata or {})["name"] == "Review board"
        assert shared.encoded() == {}
        content = (folder / "dist" / "large.js").read_bytes()
        encoder.make_now(content, shared.state.digests["dist/large.js"])
        assert set(shared.encoded()["dist/large.js"]) == {"zstd", "br", "gzip"}

    asyncio.run(main())


@pytest.mark.slow
def test_two_users_of_a_version_load_it_once(site: Site) -> None:
    for user in (ADA, BEN):
        site.give(user, SLUG, V1)
    with serving(site.environment) as server:
        for user in (ADA, BEN):
            assert server.get(MANIFEST, bearer(user)).status == 200
        metrics = server.get("/-/metrics").body.decode()
    assert 'gateway_cache_entries{cache="builds"} 1.0' in metrics
