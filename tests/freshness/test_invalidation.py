"""What may have changed: its spelling for other processes, and that it reaches every cache."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Gateway
from gateway.caching.ttl_cache import TTLCache
from gateway.changes import ANYTHING, Change
from gateway.names import Slug, UserId, Version, parse_slug, parse_user_id, parse_version
from gateway.serving.differences import PluginFiles
from tests.support.asgi import Client, body, status, with_gateway
from tests.support.settings import QUIET
from tests.support.site import ADA, BEN, Site, populated
from tests.support.urls import API, ENTRY_URL, MANIFEST, public

REVIEW, V1, V2 = Slug("Review"), Version("1.0.0"), Version("1.0.1")
OWN_ID = "a-row-with-an-id-of-its-own"

names = st.text("abcXYZ019_", min_size=1, max_size=40)
user_ids = (st.uuids().map(str) | names | st.text("a", min_size=100, max_size=100)).filter(
    lambda text: _is(parse_user_id, text)
)
slugs = names.filter(lambda text: _is(parse_slug, text))
versions = st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}(-rc\.1)?", fullmatch=True)
changes = st.builds(
    Change,
    user=st.none() | user_ids.map(parse_user_id),
    slug=st.none() | slugs.map(parse_slug),
    version=st.none() | versions.map(parse_version),
    hard=st.booleans(),
)


def _is(parse: Callable[[object], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


# The spelling


@given(changes)
def test_a_change_survives_the_way_to_another_process(change: Change) -> None:
    assert Change.decode(change.encode()) == change


def test_a_moment_of_this_process_is_told_to_no_other() -> None:
    assert Change.decode(Change(hard=False, read_since=1.0).encode()) == ANYTHING


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner),
)
_FOUR = st.tuples(user_ids | _JSON, slugs | _JSON, versions | _JSON, _JSON)


@given(st.binary(max_size=80) | (_JSON | _FOUR).map(orjson.dumps))
def test_bytes_of_any_kind_are_a_change_that_is_spelt_so_or_refused(text: bytes) -> None:
    try:
        change = Change.decode(text)
    except ValueError:
        return
    assert Change.decode(change.encode()) == change


@pytest.mark.parametrize("text", [b"", b"null", b"{}", b"[]", b"\xff", b"0"])
def test_what_is_no_change_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Change.decode(text)


@pytest.mark.parametrize(
    ("position", "name"),
    [
        (0, ""),
        (0, "../../etc"),
        (0, 1),
        (0, ["a"]),
        (1, "a/b"),
        (1, "."),
        (1, "con"),
        (1, {}),
        (2, "../1"),
        (2, 1.0),
    ],
)
def test_a_change_that_names_no_user_plugin_or_version_is_refused(
    position: int, name: object
) -> None:
    values = orjson.loads(Change().encode())
    values[position] = name
    with pytest.raises(ValueError, match=r"."):
        Change.decode(orjson.dumps(values))


@pytest.mark.parametrize("longer_by", [-1, 1])
def test_a_change_of_another_version_of_the_gateway_is_refused(longer_by: int) -> None:
    """Workers of two releases may share a host while one replaces the other."""
    values = orjson.loads(Change().encode())
    values = values[:longer_by] if longer_by < 0 else [*values, None]
    with pytest.raises(ValueError, match=r"not a change"):
        Change.decode(orjson.dumps(values))


# Who hears of it


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = populated(tmp_path_factory.mktemp("site"))
    site.give(BEN, "Eyes", "2.0.0", id=OWN_ID)
    return site


async def warmed(gateway: Gateway, client: Client) -> None:
    """Every cache holds something of Ada and Ben, of all versions."""
    pins = {}
    for user in (ADA, BEN):
        manifest = orjson.loads(body(await client.request(MANIFEST, user)))
        pins[user] = f"{API}/plugins/Review/{manifest['Review']['bundlelocation']}"
    questions: list[tuple[str, str | None]] = [
        (ENTRY_URL, ADA),
        (ENTRY_URL, BEN),
        (pins[ADA], ADA),
        (public("Eyes"), None),
        (public(OWN_ID), None),
    ]
    for path, caller in questions:
        for _ in range(2):
            assert status(await client.request(path, caller)) == 200
    for slug in (REVIEW, EYES):
        await dictionaries_of(gateway).get(slug)


def dictionaries_of(gateway: Gateway) -> TTLCache[Slug, PluginFiles]:
    finder = gateway.core.difference_finder
    assert finder is not None
    return finder.cache


def caches_of(gateway: Gateway) -> dict[int, TTLCache[Any, Any]]:
    """Every TTL cache that the gateway's own objects hold, however deep."""
    found: dict[int, TTLCache[Any, Any]] = {}
    seen: set[int] = set()

    def look(thing: object) -> None:
        if id(thing) in seen:
            return
        seen.add(id(thing))
        if isinstance(thing, TTLCache):
            found[id(thing)] = thing
        elif type(thing).__module__.startswith("gateway."):
            for value in vars(thing).values() if hasattr(thing, "__dict__") else ():
                look(value)
        elif isinstance(thing, dict | list | tuple):
            for value in thing.values() if isinstance(thing, dict) else thing:
                look(value)

    look(gateway)
    return found


def believed(cache: TTLCache[Any, Any]) -> Iterator[Any]:
    """Keys that would be answered without asking."""
    for key in cache:
        entry = cache.peek(key)
        if entry is not None and cache.is_fresh(entry):
            yield key


def caches_by_name(gateway: Gateway) -> dict[str, TTLCache[Any, Any]]:
    lookups = gateway.core.lookups
    return {
        "installations": lookups.installations,
        "records": lookups.records,
        "owners": lookups.owners,
        "held_versions": lookups.held_versions,
        "published": lookups.published,
        "manifests": gateway.core.manifests.cache,
        "builds": gateway.core.shared_versions.cache,
        "assets": gateway.core.assets.cache,
        "dictionaries": dictionaries_of(gateway),
    }


Believed = dict[str, set[str]]

EYES, EYES_V = Slug("Eyes"), Version("2.0.0")
WARM: Believed = {
    "installations": {ADA, BEN},
    "records": {ADA, BEN},
    "owners": {OWN_ID, "Eyes"},
    "held_versions": {"Eyes"},
    "published": {"shared"},
    "manifests": {ADA, BEN},
    "builds": {V1, V2, EYES_V},
    "assets": {V1, V2, EYES_V},
    "dictionaries": {REVIEW, EYES},
}
"""What is believed after `warmed`: users, plugins or versions, by cache."""
FILES = ("builds", "assets", "dictionaries")
NOTHING: Believed = {name: set() for name in WARM}
# A row of one user may be the one that an id or a slug leads to.
WITHOUT_ADA: Believed = {
    **WARM,
    "installations": {BEN},
    "records": {BEN},
    "manifests": {BEN},
    "owners": set(),
    "held_versions": set(),
}


def all_believed(gateway: Gateway) -> Believed:
    found: Believed = {}
    for name, cache in caches_by_name(gateway).items():
        keys = list(believed(cache))
        if name == "manifests":
            keys = [user for user, _ in keys]
        elif name == "builds":
            keys = [version for _, version in keys]
        elif name == "assets":
            keys = [key.version for key in keys]
        elif name == "published":
            keys = ["shared" for _ in keys]
        found[name] = set(keys)
    return found


def test_every_cache_is_among_those_that_are_tested_here(site: Site) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        assert set(caches_of(gateway)) == {id(it) for it in caches_by_name(gateway).values()}
        await warmed(gateway, client)
        assert all_believed(gateway) == WARM

    with_gateway(site, scenario, **QUIET)


@pytest.mark.parametrize(
    ("change", "left"),
    [
        (Change(), NOTHING),
        (ANYTHING, {**NOTHING, **{name: WARM[name] for name in FILES}}),
        (Change(hard=False, read_since=math.inf), WARM),  # nothing was read since
        (
            Change(hard=False, read_since=math.inf, of_manifests=True),
            {**WARM, "manifests": set()},
        ),
        (
            Change(hard=False, read_since=0.0),
            {
                **WARM,
                "records": set(),
                "owners": set(),
                "held_versions": set(),
                "manifests": set(),
            },
        ),
        (Change(user=UserId(ADA)), WITHOUT_ADA),
        (Change(user=UserId(ADA), hard=False), WITHOUT_ADA),
        (Change(user=UserId("z" * 32)), {**WARM, "owners": set(), "held_versions": set()}),
        (
            Change(slug=REVIEW, version=V1),
            {
                **WARM,
                "published": set(),
                "builds": {V2, EYES_V},
                "assets": {V2, EYES_V},
                "dictionaries": {EYES},
            },
        ),
    ],
)
def test_a_change_reaches_every_cache_that_it_concerns_and_no_other_user(
    site: Site, change: Change, left: Believed
) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        await warmed(gateway, client)
        gateway.core.invalidation.apply(change)
        assert all_believed(gateway) == left

    with_gateway(site, scenario, **QUIET)


@pytest.mark.parametrize("change", [Change(user=UserId(ADA), slug=REVIEW, version=V1)])
def test_a_change_of_a_user_and_a_version_concerns_both(site: Site, change: Change) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        await warmed(gateway, client)
        gateway.core.invalidation.apply(change)
        assert set(believed(gateway.core.lookups.records)) == {BEN}
        assert V1 not in {key.version for key in gateway.core.assets.cache}

    with_gateway(site, scenario, **QUIET)


@pytest.mark.parametrize(("hard", "expected"), [(True, 503), (False, 200)])
def test_only_a_hard_change_forgets_what_stands_in_while_the_source_fails(
    site: Site, hard: bool, expected: int
) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        await client.request(ENTRY_URL)
        with site.locked():
            _gateway.core.invalidation.apply(Change(user=UserId(ADA), hard=hard))
            assert status(await client.request(ENTRY_URL)) == expected

    with_gateway(site, scenario, **QUIET, GATEWAY__DATABASE__QUERY_TIMEOUT="0.1")


def test_what_is_announced_here_is_applied_here_before_anything_is_awaited(site: Site) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        await client.request(ENTRY_URL)
        loads = gateway.core.lookups.records.counters.loads
        gateway.core.announcer.announce(Change(user=UserId(ADA)))
        assert gateway.core.lookups.records.peek(UserId(ADA)) is None
        await client.request(ENTRY_URL)
        assert gateway.core.lookups.records.counters.loads == loads + 1

    with_gateway(site, scenario, **QUIET)
