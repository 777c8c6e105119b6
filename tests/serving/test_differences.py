"""The differences that are in memory: for whom they are made, when, and how many."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.caching.basis import AT_HAND, Basis, Pending
from gateway.disk.differences import Differences
from gateway.disk.encoder import Encoder
from gateway.disk.storage import PluginStorage
from gateway.http.representation import MAX_DIFFERENCES, Representation, Variant
from gateway.names import AssetKey, AssetPath, Slug, Version
from gateway.serving.asset_store import AssetStore
from gateway.serving.differences import _MAX_WAITING, DifferenceFinder
from gateway.settings import AssetCacheSettings
from tests.support.dictionaries import NEW, OLD, decoded, digest_of
from tests.support.site import Site
from tests.support.urls import ENTRY
from tests.support.waiting import until, until_answer

REVIEW = Slug("Review")
KEY = AssetKey(REVIEW, Version("1.0.1"), AssetPath(ENTRY))


class Parts:
    """A store, and the finder for its files; `made`: the contents for which one was made."""

    def __init__(self, site: Site, *, max_bytes: int, kept_bytes: int, encode: bool) -> None:
        self.storage = PluginStorage(site.plugins)
        encoder = Encoder(self.storage.cache.encoded) if encode else None
        settings = AssetCacheSettings(max_bytes=max_bytes, max_file_bytes=2**24)
        self.store = AssetStore(self.storage, settings, encoder, dictionaries=True)
        self.differences = Differences(self.storage.cache, kept_bytes)
        self.finder = DifferenceFinder(self.storage, self.differences, self.store)

    async def representation(self, key: AssetKey = KEY) -> Representation:
        return await Basis().settled(self.store.get, key)

    async def find(self, dictionary: bytes = OLD, key: AssetKey = KEY) -> Variant | None:
        """As the cold path: it waits for what is pending."""
        found = await self.representation(key)
        return await Basis().settled(self.finder.find, key, found, digest_of(dictionary))

    async def until_found(self, dictionary: bytes = OLD, key: AssetKey = KEY) -> Variant:
        found = await until_answer(lambda: self.find(dictionary, key), lambda it: it is not None)
        assert found is not None
        return found

    @property
    def is_idle(self) -> bool:
        return not self.finder._looks and not self.finder._making


def run(
    site: Site,
    scenario: Callable[[Parts], Awaitable[None]],
    *,
    max_bytes: int = 2**27,
    kept_bytes: int = 2**26,
    encode: bool = False,
) -> None:
    async def main() -> None:
        parts = Parts(site, max_bytes=max_bytes, kept_bytes=kept_bytes, encode=encode)
        try:
            await scenario(parts)
        finally:
            await parts.finder.close()
            await parts.store.close()

    asyncio.run(main())


@pytest.fixture
def published(empty_site: Site) -> Site:
    empty_site.publish("Review", "1.0.0", {ENTRY: OLD})
    empty_site.publish("Review", "1.0.1", {ENTRY: NEW})
    empty_site.publish("Other", "1.0.0", {ENTRY: b"/* a file of another plugin */" * 100})
    return empty_site


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The dictionaries for which a difference was made, in order."""
    made: list[bytes] = []
    make_now = Differences.make_now

    def noted(self: Differences, content: bytes, digest: bytes, *arguments: Any) -> bytes | None:
        made.append(arguments[1])
        return make_now(self, content, digest, *arguments)

    monkeypatch.setattr(Differences, "make_now", noted)
    return made


def test_the_first_request_waits_for_the_disk_and_not_for_the_making(
    published: Site, made: list[bytes]
) -> None:
    async def first_start(parts: Parts) -> None:
        assert await parts.find() is None
        found = await parts.until_found()
        assert decoded(found.content or b"", OLD) == NEW

    async def second_start(parts: Parts) -> None:
        with pytest.raises(Pending):
            parts.finder.find(AT_HAND, KEY, await parts.representation(), digest_of(OLD))
        found = await parts.find()
        assert found is not None
        assert parts.finder.find(
            AT_HAND, KEY, await parts.representation(), found.dictionary or b""
        )

    run(published, first_start)
    assert made == [digest_of(OLD)]
    run(published, second_start)
    assert made == [digest_of(OLD)]


def test_a_request_that_waited_for_the_file_gets_the_difference(published: Site) -> None:
    """Its basis holds the representation of before the difference was read."""

    async def first_start(parts: Parts) -> None:
        await parts.until_found()

    async def second_start(parts: Parts) -> None:
        def decide(basis: Any) -> Variant | None:
            representation = parts.store.get(basis, KEY)
            return parts.finder.find(basis, KEY, representation, digest_of(OLD))

        assert await Basis().settled(decide) is not None

    run(published, first_start)
    run(published, second_start)


@pytest.mark.parametrize(
    "dictionary",
    [b"no file at all" * 100, b"/* a file of another plugin */" * 100],
    ids=["unknown", "foreign"],
)
def test_nothing_is_begun_and_remembered_for_a_digest_that_no_file_has(
    published: Site, made: list[bytes], dictionary: bytes
) -> None:
    async def scenario(parts: Parts) -> None:
        assert await parts.find(dictionary) is None
        size = parts.store.memory_bytes
        representation = await parts.representation()
        for number in range(1000):
            digest = digest_of(dictionary) if number % 2 else number.to_bytes(32, "big")
            assert parts.finder.find(AT_HAND, KEY, representation, digest) is None
        assert parts.is_idle
        assert not representation.differences
        assert parts.store.memory_bytes == size
        assert len(parts.finder.cache) == 1

    run(published, scenario)
    assert made == []


def test_a_file_with_another_stem_is_no_dictionary(published: Site, made: list[bytes]) -> None:
    published.publish("Review", "1.0.0", {"dist/other.js": OLD.replace(b"g(", b"h(")})

    async def scenario(parts: Parts) -> None:
        assert await parts.find(OLD.replace(b"g(", b"h(")) is None
        assert parts.is_idle

    run(published, scenario)
    assert made == []


def test_one_content_under_two_names_is_a_dictionary_for_both(published: Site) -> None:
    published.publish("Review", "1.0.0", {"dist/a.js": OLD})
    published.publish("Review", "1.0.1", {"dist/a.js": NEW})

    async def scenario(parts: Parts) -> None:
        await parts.until_found()
        await parts.until_found(OLD, KEY._replace(path=AssetPath("dist/a.js")))

    run(published, scenario)


def test_requests_at_the_same_time_share_one_look_and_one_making(
    published: Site, made: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[bytes] = []
    load = Differences.load

    def noted(self: Differences, *arguments: Any) -> bytes | None:
        loads.append(arguments[1])
        return load(self, *arguments)

    monkeypatch.setattr(Differences, "load", noted)

    async def scenario(parts: Parts) -> None:
        await asyncio.gather(*(parts.find() for _ in range(50)))
        await parts.until_found()

    run(published, scenario)
    assert (loads, made) == ([digest_of(OLD)], [digest_of(OLD)])


def versions(site: Site, count: int) -> list[bytes]:
    """Publishes that many more versions of the file, older ones; returns their contents."""
    contents = [OLD.replace(b"f7 ", b"old%d " % number) for number in range(count)]
    for number, content in enumerate(contents):
        site.publish("Review", f"0.1.{number}", {ENTRY: content})
    return contents


def test_differences_are_made_one_at_a_time(
    published: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = versions(published, 5)
    at_once, most = 0, 0
    lock = threading.Lock()

    def slow(*_arguments: Any) -> bytes:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.02)  # another thread would begin meanwhile
        with lock:
            at_once -= 1
        return b"a difference"

    monkeypatch.setattr(Differences, "make_now", slow)

    async def scenario(parts: Parts) -> None:
        await asyncio.gather(*(parts.find(content) for content in contents))
        await until(lambda: parts.is_idle)
        found = await parts.representation()
        assert len([one for one in found.differences.values() if one]) == len(contents)

    run(published, scenario)
    assert most == 1


def test_no_more_than_some_differences_wait_to_be_made(
    published: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes then gets the ordinary answer, at once, and another time the difference."""
    names = [f"dist/{number}.js" for number in range(_MAX_WAITING + 20)]
    published.publish("Review", "1.0.0", {name: OLD + name.encode() for name in names})
    published.publish("Review", "1.0.1", {name: NEW + name.encode() for name in names})
    may_go_on = threading.Event()

    def held(*_arguments: Any) -> bytes:
        may_go_on.wait(20)
        return b"a difference"

    monkeypatch.setattr(Differences, "make_now", held)

    async def scenario(parts: Parts) -> None:
        keys = [KEY._replace(path=AssetPath(name)) for name in names]
        for key in keys:
            assert await parts.find(OLD + key.path.encode(), key) is None
        assert len(parts.finder._making) == _MAX_WAITING
        may_go_on.set()
        await until(lambda: parts.is_idle)
        await parts.until_found(OLD + keys[-1].path.encode(), keys[-1])

    try:
        run(published, scenario)
    finally:
        may_go_on.set()


@pytest.mark.parametrize("at_once", [False, True])
def test_of_files_with_one_stem_not_each_is_compared_with_each(
    published: Site, made: list[bytes], at_once: bool
) -> None:
    """As of those whose names are nothing but a hash."""
    contents = [OLD + b"%d" % number for number in range(30)]
    names = {f"dist/{number:08d}.js": content for number, content in enumerate(contents)}
    published.publish("Review", "1.0.0", names)
    published.publish("Review", "1.0.1", {"dist/99999999.js": NEW})
    key = KEY._replace(path=AssetPath("dist/99999999.js"))

    async def scenario(parts: Parts) -> None:
        if at_once:
            await asyncio.gather(*(parts.find(content, key) for content in contents))
        else:
            for content in contents:
                await parts.find(content, key)
        await until(lambda: parts.is_idle)
        found = [await parts.find(content, key) for content in contents]
        assert len([one for one in found if one is not None]) == MAX_DIFFERENCES
        assert parts.is_idle

    run(published, scenario)
    assert len(made) == MAX_DIFFERENCES


def test_a_dictionary_that_is_gone_makes_room_for_another(published: Site) -> None:
    contents = versions(published, MAX_DIFFERENCES - 2)

    async def scenario(parts: Parts) -> None:
        for content in (OLD, *contents):
            await parts.until_found(content)
        for number in range(3):
            (published.version_folder("Review", f"0.1.{number}") / ENTRY).unlink()
            content = OLD + b"// %d" % number
            published.publish("Review", f"0.9.{number}", {ENTRY: content})
            parts.finder.purge_files(REVIEW)
            await parts.until_found(content)

    run(published, scenario)


def test_a_difference_that_is_not_worth_it_is_not_made_again(
    published: Site, made: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.disk.differences.MAX_SHARE", 0.0)

    async def scenario(parts: Parts) -> None:
        assert await parts.find() is None
        await until(lambda: parts.is_idle)
        for _ in range(5):
            assert await parts.find() is None
        assert parts.is_idle

    run(published, scenario)
    assert made == [digest_of(OLD)]


def test_it_is_made_when_the_content_is_encoded(published: Site) -> None:
    """Or it would be compared with a size that nobody gets."""

    async def scenario(parts: Parts) -> None:
        found = await parts.until_found()
        representation = await parts.representation()
        assert representation.encoded_final
        assert found.size < representation.encoded["br"].size

    run(published, scenario, encode=True)


def test_a_dictionary_is_forgotten_with_its_version(published: Site) -> None:
    async def scenario(parts: Parts) -> None:
        await parts.until_found()
        entry = published.version_folder("Review", "1.0.0") / ENTRY
        entry.unlink()
        assert await parts.find() is not None  # nobody has said so
        parts.finder.purge_files(REVIEW)
        assert await parts.find() is None

    run(published, scenario)


def test_a_dictionary_that_was_rebuilt_in_place_is_none(published: Site, made: list[bytes]) -> None:
    async def scenario(parts: Parts) -> None:
        await parts.finder.cache.get(REVIEW)
        (published.version_folder("Review", "1.0.0") / ENTRY).write_bytes(b"rebuilt " * 100)
        assert await parts.find() is None
        await until(lambda: parts.is_idle)
        assert await parts.find() is None
        parts.finder.purge_files(REVIEW)
        assert await parts.find() is None
        assert await parts.find(b"rebuilt " * 100) is None  # not worth it, but known
        await until(lambda: digest_of(b"rebuilt " * 100) in made)

    run(published, scenario)
    assert digest_of(OLD) not in made


def test_a_disk_that_fails_costs_nobody_the_file(
    published: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_arguments: Any, **_named: Any) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr("gateway.serving.differences.dictionary_files", fails)

    async def scenario(parts: Parts) -> None:
        assert await parts.find() is None

    run(published, scenario)


@pytest.mark.parametrize("size", [255, 8 * 2**20 + 1])
def test_small_and_large_files_have_no_dictionaries(published: Site, size: int) -> None:
    published.publish("Review", "1.0.0", {ENTRY: b"o" * size})
    published.publish("Review", "1.0.1", {ENTRY: b"n" * size})

    async def scenario(parts: Parts) -> None:
        found = await parts.representation()
        assert found.identity.content is not None
        assert not found.has_dictionaries
        assert b"Available-Dictionary" not in dict(found.identity.common_fields)[b"vary"]
        assert await parts.find(b"o" * size) is None
        assert len(parts.finder.cache) == 0

    run(published, scenario)


def test_a_new_content_has_no_difference_of_the_old_one(published: Site) -> None:
    async def scenario(parts: Parts) -> None:
        await parts.until_found()
        (published.version_folder("Review", "1.0.1") / ENTRY).write_bytes(NEW + b"// more\n")
        parts.store.purge_files(REVIEW, None)
        found = await parts.until_found()
        assert decoded(found.content or b"", OLD) == NEW + b"// more\n"

    run(published, scenario)


def test_a_store_without_room_sends_ordinary_answers(published: Site) -> None:
    async def scenario(parts: Parts) -> None:
        assert await parts.find() is None
        assert parts.is_idle

    run(published, scenario, max_bytes=0)


def test_nothing_need_be_kept_on_disk(published: Site) -> None:
    async def scenario(parts: Parts) -> None:
        found = await parts.until_found()
        assert decoded(found.content or b"", OLD) == NEW
        assert not parts.differences.path(digest_of(NEW), digest_of(OLD)).exists()

    run(published, scenario, kept_bytes=0)
