"""The store of representations: bounded, and true to files that change in place."""

import asyncio
import hashlib
import os
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.caching.basis import Basis
from gateway.caching.entries import ORDER_WITHIN_S
from gateway.disk.encoder import Encoder
from gateway.disk.shared_folder import OpenedAsset, SharedFolder
from gateway.disk.storage import PluginStorage
from gateway.errors import AssetNotFound, VersionNotPublished
from gateway.http.representation import Representation
from gateway.names import AssetKey, AssetPath, Slug, Version
from gateway.serving.asset_store import AssetStore
from gateway.settings import AssetCacheSettings
from tests.support.site import Site
from tests.support.waiting import until, until_answer

Scenario = Callable[[AssetStore], Awaitable[None]]


def key(path: str = "dist/remoteEntry.js", version: str = "1.0.0") -> AssetKey:
    return AssetKey(Slug("Review"), Version(version), AssetPath(path))


def run(
    site: Site,
    scenario: Scenario,
    *,
    encode: bool = False,
    clock: Callable[[], float] = time.monotonic,
    **settings: float,
) -> None:
    """Runs `scenario` with a store that looks at the disk every time, unless told otherwise."""

    async def main() -> None:
        storage = PluginStorage(site.plugins)
        encoder = Encoder(storage.cache.encoded) if encode else None
        cache = AssetCacheSettings.model_validate({"revalidate": 0.0, **settings})
        store = AssetStore(storage, cache, encoder, clock)
        try:
            await scenario(store)
        finally:
            await store.close()

    asyncio.run(main())


async def get(store: AssetStore, **names: str) -> Representation:
    return await Basis().settled(store.get, key(**names))


@pytest.fixture
def published(empty_site: Site) -> Site:
    empty_site.publish("Review", "1.0.0", {"dist/remoteEntry.js": b"one", "dist/1.js": b"chunk"})
    return empty_site


def entry_of(site: Site) -> Path:
    return site.version_folder("Review", "1.0.0") / "dist/remoteEntry.js"


def test_content_and_etag_come_from_the_bytes(published: Site) -> None:
    async def scenario(store: AssetStore) -> None:
        found = await get(store)
        assert found.identity.content == b"one"
        assert found.identity.etag.opaque == hashlib.sha256(b"one").hexdigest()[:32]

    run(published, scenario)


def test_a_file_written_over_in_place_is_seen(published: Site) -> None:
    async def scenario(store: AssetStore) -> None:
        before = await get(store)
        entry_of(published).write_bytes(b"two")  # the same size, perhaps the same mtime tick
        os.utime(entry_of(published), ns=(0, (before.identity.last_modified_s or 0) * 10**9))
        assert (await get(store)).identity.content == b"two"

    run(published, scenario)


def test_an_unchanged_file_is_not_read_again(published: Site) -> None:
    async def scenario(store: AssetStore) -> None:
        assert await get(store) is await get(store)

    run(published, scenario)


def test_a_file_is_not_looked_at_within_the_revalidation_time(published: Site) -> None:
    async def scenario(store: AssetStore) -> None:
        await get(store)
        entry_of(published).unlink()
        assert (await get(store)).identity.content == b"one"

    run(published, scenario, revalidate=60.0)


def test_a_file_that_appears_is_found(published: Site) -> None:
    async def scenario(store: AssetStore) -> None:
        with pytest.raises(AssetNotFound):
            await get(store, path="dist/2.js")
        published.publish("Review", "1.0.0", {"dist/2.js": b"new"})
        assert (await get(store, path="dist/2.js")).identity.content == b"new"

    run(published, scenario)


def test_a_missing_folder_is_told_from_a_missing_file(published: Site) -> None:
    async def scenario(store: AssetStore) -> None:
        with pytest.raises(VersionNotPublished):
            await get(store, version="9.9.9")

    run(published, scenario)


def test_a_torn_read_is_never_served(published: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer strikes between the look at the facts and the read of the bytes, twice."""
    path = entry_of(published)
    strikes = [b"torn", b"whole"]
    original = SharedFolder.open_asset

    def open_then_write(*arguments: object) -> OpenedAsset:
        opened = original(*arguments)  # type: ignore[arg-type]
        if strikes:
            path.write_bytes(strikes.pop(0) + b"!" * len(strikes))
        return opened

    monkeypatch.setattr(SharedFolder, "open_asset", open_then_write)

    async def scenario(store: AssetStore) -> None:
        found = await get(store)
        assert found.identity.content == b"whole"
        assert found.fingerprint[2] == len(b"whole")
        assert found.digest == hashlib.sha256(b"whole").digest()

    run(published, scenario)


def test_bytes_in_memory_are_bounded_and_the_least_recent_goes_first(empty_site: Site) -> None:
    names = [f"dist/{number}.js" for number in range(30)]
    empty_site.publish("Review", "1.0.0", dict.fromkeys(names, b"x" * 10000 * 100))
    now_s = 1000.0

    async def scenario(store: AssetStore) -> None:
        nonlocal now_s
        first = await get(store, path=names[0])
        for name in names[1:]:
            now_s += ORDER_WITHIN_S
            await get(store, path=name)
            await get(store, path=names[0])  # stays the most recently used
        assert await get(store, path=names[0]) is first
        assert store.memory_bytes <= 4 * 2**20 + 16 * 2**20
        assert len(store) < len(names)

    run(empty_site, scenario, clock=lambda: now_s, revalidate=60.0, max_bytes=4 * 2**20)


def test_one_file_never_fills_the_store(empty_site: Site) -> None:
    empty_site.publish("Review", "1.0.0", {"a.js": b"x" * 300_000, "b.js": b"y" * 200_000})

    async def scenario(store: AssetStore) -> None:
        assert (await get(store, path="a.js")).identity.content is None
        assert (await get(store, path="b.js")).identity.content is not None

    run(empty_site, scenario, max_bytes=1_000_000)


def test_variants_follow_in_the_background_and_are_found_after_a_restart(
    empty_site: Site,
) -> None:
    empty_site.publish("Review", "1.0.0", {"dist/remoteEntry.js": b"again and again " * 200})

    async def first_start(store: AssetStore) -> None:
        assert not (await get(store)).encoded
        await until_answer(lambda: get(store), lambda found: bool(found.encoded))

    async def second_start(store: AssetStore) -> None:
        assert set((await get(store)).encoded) == {"zstd", "br", "gzip"}

    run(empty_site, first_start, encode=True)
    run(empty_site, second_start, encode=True)


def test_variants_never_outlive_the_bytes_they_were_made_from(empty_site: Site) -> None:
    empty_site.publish("Review", "1.0.0", {"dist/remoteEntry.js": b"old and old again " * 200})

    async def scenario(store: AssetStore) -> None:
        await until_answer(lambda: get(store), lambda found: bool(found.encoded))
        entry_of(empty_site).write_bytes(b"new and new again " * 200)
        changed = await get(store)
        assert not changed.encoded
        assert b"new" in (changed.identity.content or b"")

    run(empty_site, scenario, encode=True)


def test_variants_that_are_added_while_the_file_is_looked_at_stay(
    published: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_looking, may_go_on = threading.Event(), threading.Event()
    open_asset = SharedFolder.open_asset

    def held(self: SharedFolder, *names: Any) -> OpenedAsset:
        is_looking.set()
        may_go_on.wait(20)
        return open_asset(self, *names)

    async def scenario(store: AssetStore) -> None:
        before = await get(store)
        monkeypatch.setattr(SharedFolder, "open_asset", held)
        look = asyncio.create_task(get(store))
        await until(is_looking.is_set)
        store.update(key(), before.digest, lambda it: it.with_difference(b"d" * 32, b"difference"))
        may_go_on.set()
        assert set((await look).differences) == {b"d" * 32}

    try:
        run(published, scenario)
    finally:
        may_go_on.set()


def test_a_missing_file_is_remembered_without_the_frames_of_its_error(published: Site) -> None:
    """They hold the path again and again, until the garbage collector comes by."""

    async def scenario(store: AssetStore) -> None:
        with pytest.raises(AssetNotFound):
            await get(store, path="dist/nothing.js")
        entry = store.cache.peek(key("dist/nothing.js"))
        assert entry is not None
        assert isinstance(entry.value, AssetNotFound)
        assert (entry.value.__traceback__, entry.value.__context__) == (None, None)
        assert "nothing.js" in entry.value.reason

    run(published, scenario, revalidate=60.0)
