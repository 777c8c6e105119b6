"""What is answered at once, and what that costs, counted: calls, sends, threads, queries."""

import asyncio
import json
import sys
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping
from types import FrameType
from typing import Any

import anyio.to_thread
import pytest
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Message

from gateway import Gateway
from gateway.caching.basis import AT_HAND, AtHand
from gateway.caching.flights import KeyFlights
from gateway.changes import Change
from gateway.disk.encoder import MIN_BYTES
from gateway.errors import NotServed
from gateway.http.representation import Representation
from gateway.names import AssetKey, UserId
from tests.support.asgi import Client, body, fields, status, with_gateway
from tests.support.scrapes import hot_answers
from tests.support.settings import AN_HOUR, QUIET
from tests.support.site import ADA, BEN, Site, bearer
from tests.support.sources import WatchedFiles
from tests.support.urls import (
    ENTRY_URL,
    MANIFEST,
    SIGNED_ENVIRONMENT,
    capability,
    own,
    public,
    signed,
)
from tests.support.waiting import until_answer

# Measured on Python 3.11, the client of this test included: 82 to 84 for a file or a manifest, five
# of them to count the answer. Starlette's StaticFiles needs about 970.
MOST_CALLS = 90


class Counts:
    """Python calls while the block runs; thread hops and queries since it was made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, gateway: Gateway) -> None:
        self.calls = self.hops = 0
        self._database, self._queries = gateway.core.database, gateway.core.database.queries
        run_sync = anyio.to_thread.run_sync

        async def counted_hop(*arguments: Any, **options: Any) -> Any:
            self.hops += 1
            return await run_sync(*arguments, **options)

        monkeypatch.setattr(anyio.to_thread, "run_sync", counted_hop)

    @property
    def queries(self) -> int:
        return self._database.queries - self._queries

    def __enter__(self) -> "Counts":
        sys.setprofile(self._count)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    async def fewest_calls(
        self, ask: Callable[[], Awaitable[list[Message]]]
    ) -> tuple[list[Message], int]:
        """Of three requests: once in a second each cache also notes what is used."""
        calls = []
        for _ in range(3):
            self.calls = 0
            with self:
                answer = await ask()
            calls.append(self.calls)
        return answer, min(calls)

    def _count(self, _frame: FrameType, event: str, _argument: object) -> None:
        self.calls += event in ("call", "c_call")


@pytest.mark.parametrize("mode", ["direct", "accel"])
@pytest.mark.parametrize("expected", [200, 304])
def test_a_warm_request_costs_a_few_calls_two_sends_and_nothing_else(
    site: Site, monkeypatch: pytest.MonkeyPatch, expected: int, mode: str
) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        first = await client.request(ENTRY_URL)
        extra = [(b"if-none-match", fields(first)[b"etag"])] if expected == 304 else []
        await client.request(ENTRY_URL, extra=extra)
        before = hot_answers(gateway)[expected]
        counts = Counts(monkeypatch, gateway)
        messages, calls = await counts.fewest_calls(lambda: client.request(ENTRY_URL, extra=extra))
        assert status(messages) == expected
        assert len(messages) == 2
        assert (counts.hops, counts.queries) == (0, 0)
        assert calls <= MOST_CALLS
        assert hot_answers(gateway)[expected] == before + 3

    with_gateway(site, scenario, **QUIET, GATEWAY__DELIVERY__MODE=mode)


@pytest.mark.parametrize("mode", ["direct", "accel"])
def test_the_first_request_of_a_known_user_for_a_known_file_is_answered_at_once(
    site: Site, mode: str
) -> None:
    """Somebody asked for the file, and the user asked for another one."""

    async def scenario(gateway: Gateway, client: Client) -> None:
        await client.request(public(f"{ADA}_Review"), None)
        await client.request(own("Eyes"), ADA)
        before = hot_answers(gateway).total()
        assert status(await client.request(own("Review"), ADA)) == 200
        assert hot_answers(gateway).total() == before + 1

    with_gateway(site, scenario, **QUIET, GATEWAY__DELIVERY__MODE=mode)


@pytest.mark.parametrize("plugin", [f"{ADA}_Review", f"{BEN}_Review", f"{'c' * 32}_Review"])
def test_whoever_asks_for_a_pinned_file_that_is_known_is_answered_at_once(
    site: Site, plugin: str
) -> None:
    """The pin is the permission; the user in the URL is nobody's who must be known."""

    async def scenario(gateway: Gateway, client: Client) -> None:
        listed = json.loads(body(await client.request(MANIFEST)))["Review"]
        await client.request(public("Review", listed["bundlelocation"]), None)
        before = hot_answers(gateway).total()
        answer = await client.request(public(plugin, listed["bundlelocation"]), None)
        assert status(answer) == 200
        assert hot_answers(gateway).total() == before + 1

    with_gateway(site, scenario, **QUIET)


def test_a_signed_path_is_answered_at_once_too(site: Site) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        token = capability(ADA, "Review")
        for path in (signed(token, "Review"), signed(token, "Review", "dist/main.css")):
            await client.request(path, None)
        before = hot_answers(gateway).total()
        assert status(await client.request(signed(token, "Review"), None)) == 200
        assert hot_answers(gateway).total() == before + 1

    with_gateway(site, scenario, **QUIET, **SIGNED_ENVIRONMENT)


@pytest.mark.parametrize("path", ["modules/one.js", "info", "status", "modules"])
def test_a_json_endpoint_is_never_taken_for_a_file(site: Site, path: str) -> None:
    site.publish("Review", "1.0.0", {"modules/one.js": b"a file"})

    async def scenario(gateway: Gateway, client: Client) -> None:
        for _ in range(2):
            answer = await client.request(f"/api/v1/plugins/{ADA}_Review/{path}")
            assert fields(answer)[b"content-type"] == b"application/json"
        assert hot_answers(gateway).total() == 0

    with_gateway(site, scenario, **QUIET)


def test_a_page_of_ten_plugins_costs_one_query_and_one_file_read(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path_factory.mktemp("ten"))
    for number in range(10):
        site.publish(f"Plugin{number}", "1.0.0")
        site.give(ADA, f"Plugin{number}", "1.0.0")

    async def scenario(gateway: Gateway, client: Client) -> None:
        files, counts = WatchedFiles(monkeypatch), Counts(monkeypatch, gateway)
        pages = await asyncio.gather(
            *(
                client.request(f"/api/v1/plugins/Plugin{number}/dist/remoteEntry.js")
                for number in range(10)
            )
        )
        assert [status(page) for page in pages] == [200] * 10
        assert (counts.queries, files.read) == (1, [ADA])

    with_gateway(site, scenario, **QUIET)


@pytest.mark.slow
def test_ten_thousand_requests_of_a_cold_user_cost_one_query_and_one_file_read(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        counts = Counts(monkeypatch, gateway)
        answers = await asyncio.gather(*(client.request(ENTRY_URL) for _ in range(10_000)))
        assert {status(answer) for answer in answers} == {200}
        assert counts.queries == 1
        assert counts.hops <= 1  # the plugin's file; the JSON goes along with the query

    with_gateway(site, scenario, **QUIET)


def test_an_answer_is_one_users_alone(site: Site) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        for _ in range(2):
            assert b"1.0.0" in body(await client.request(ENTRY_URL, ADA))
            assert b"1.0.1" in body(await client.request(ENTRY_URL, BEN))
            assert status(await client.request(ENTRY_URL, None)) == 401

    with_gateway(site, scenario)


def test_after_a_change_of_a_user_their_next_request_takes_the_cold_path(site: Site) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        await client.request(ENTRY_URL)
        gateway.core.invalidation.apply(Change(user=UserId(ADA)))
        before = hot_answers(gateway).total()
        await client.request(ENTRY_URL)
        assert hot_answers(gateway).total() == before
        await client.request(ENTRY_URL)
        assert hot_answers(gateway).total() == before + 1

    with_gateway(site, scenario, **QUIET)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ((b"authorization", b"Bearer other"), 401),  # repeated: no one knows which is meant
        ((b"range", b"bytes=0-0"), 206),
        ((b"if-match", b'"x"'), 412),
        ((b"if-unmodified-since", b"Thu, 01 Jan 1970 00:00:00 GMT"), 412),
        ((b"if-modified-since", b"Thu, 01 Jan 2099 00:00:00 GMT"), 304),
    ],
)
def test_ranges_and_rarer_conditions_take_the_cold_path(
    site: Site, field: tuple[bytes, bytes], expected: int
) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        await client.request(ENTRY_URL)
        before = hot_answers(gateway).total()
        assert status(await client.request(ENTRY_URL, extra=[field])) == expected
        assert hot_answers(gateway).total() == before

    with_gateway(site, scenario, **QUIET)


def test_middleware_that_edits_messages_leaves_the_cache_unharmed(site: Site) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        wrapped = Client(GZipMiddleware(gateway, minimum_size=10))
        whole = body(await client.request(ENTRY_URL))
        assert len(whole) < MIN_BYTES  # too short for the gateway to encode it itself
        for _ in range(3):
            zipped = await wrapped.request(ENTRY_URL, coding=b"gzip")
            assert fields(zipped)[b"content-encoding"] == b"gzip"
            plain = await client.request(ENTRY_URL, coding=b"gzip")
            assert b"content-encoding" not in fields(plain)
            assert fields(plain)[b"content-length"] == b"%d" % len(whole)
            assert body(plain) == whole
        assert hot_answers(gateway)[200] == 6

    with_gateway(site, scenario, **QUIET)


def test_a_request_that_waits_through_a_change_leaves_nothing_behind(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user loses the plugin while the request waits for the disk: it is decided again."""

    async def scenario(gateway: Gateway, client: Client) -> None:
        await client.request(own("Eyes"))  # what was waited for would hold for the whole request
        reached, go_on = asyncio.Event(), asyncio.Event()
        flights = gateway.core.assets.cache._flights
        assert isinstance(flights, KeyFlights)
        load: Callable[[AssetKey], Awaitable[Representation | NotServed]] = flights._load

        async def slow_load(key: AssetKey) -> Representation | NotServed:
            reached.set()
            await go_on.wait()
            return await load(key)

        monkeypatch.setattr(flights, "_load", slow_load)
        before = asyncio.create_task(client.request(ENTRY_URL))
        await reached.wait()
        site.install(ADA)  # nothing is left
        gateway.core.announcer.announce(Change(user=UserId(ADA)))
        go_on.set()
        try:
            assert status(await before) == 404
            assert status(await client.request(ENTRY_URL)) == 404
        finally:
            site.install(ADA, "Review", "Eyes")

    with_gateway(site, scenario, **QUIET)


def test_a_warm_manifest_is_answered_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        first = await client.request(MANIFEST)
        counts = Counts(monkeypatch, gateway)
        again, calls = await counts.fewest_calls(lambda: client.request(MANIFEST))
        assert body(again) == body(first)
        assert (counts.hops, counts.queries) == (0, 0)
        assert calls <= MOST_CALLS
        held = [(b"if-none-match", fields(first)[b"etag"])]
        for _ in range(2):
            assert status(await client.request(MANIFEST, extra=held)) == 304
        assert hot_answers(gateway) == {200: 3, 304: 2}

    with_gateway(site, scenario, **QUIET)


def test_what_only_a_manifest_shows_is_seen_after_a_commit(site: Site) -> None:
    """And costs the files' caches nothing."""

    async def scenario(gateway: Gateway, client: Client) -> None:
        await client.request(ENTRY_URL)
        assert b"a new name" not in body(await client.request(MANIFEST))
        site.execute("UPDATE plugin SET name = 'a new name' WHERE user_id = ?", ADA)
        await until_answer(lambda: client.request(MANIFEST), lambda it: b"a new name" in body(it))
        assert gateway.core.lookups.records.counters.loads == 1

    with_gateway(site, scenario, **AN_HOUR)


def test_who_asks_when_an_entry_is_due_is_answered_at_once_and_one_load_begins(
    site: Site,
) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        await client.request(ENTRY_URL)
        records = gateway.core.lookups.records
        entry = records.peek(UserId(ADA))
        assert entry is not None
        entry.refresh_at = 0.0  # as if the time had come
        before, loads = hot_answers(gateway).total(), records.counters.loads
        for _ in range(10):
            assert status(await client.request(ENTRY_URL)) == 200
        assert hot_answers(gateway).total() == before + 10
        assert records.counters.loads == loads + 1

    with_gateway(site, scenario, **QUIET)


@pytest.mark.parametrize(("hard", "verified"), [(True, 2), (False, 1)])
def test_a_hard_purge_of_everything_forgets_tokens(
    site: Site, monkeypatch: pytest.MonkeyPatch, hard: bool, verified: int
) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        (source,) = gateway.core.identity._sources
        verify, calls = source._verify, []  # type: ignore[attr-defined]

        def counted(basis: AtHand, token: bytes, now: float) -> object:
            calls.append(token)
            return verify(basis, token, now)

        monkeypatch.setattr(source, "_verify", counted)
        for _ in range(2):
            assert status(await client.request(ENTRY_URL, ADA)) == 200
            gateway.core.invalidation.apply(Change(hard=hard))
        assert len(calls) == verified

    with_gateway(site, scenario)


def test_a_mistake_of_ours_at_the_hot_path_costs_the_cold_path_and_is_logged(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Raised in a connection, it would close it without an answer."""

    async def scenario(gateway: Gateway, client: Client) -> None:
        answer = gateway.own_assets.answer_from_memory

        def mistaken(basis: AtHand, *arguments: Any) -> object:
            if basis is AT_HAND:
                raise KeyError("a mistake")
            return answer(basis, *arguments)

        await client.request(ENTRY_URL)
        monkeypatch.setattr(gateway.own_assets, "answer_from_memory", mistaken)
        assert status(await client.request(ENTRY_URL)) == 200
        (record,) = (each for each in caplog.records if each.name == "gateway.hot_path.front")
        assert record.exc_info is not None
        assert record.exc_info[0] is KeyError

    with_gateway(site, scenario, **QUIET)


@pytest.mark.parametrize("scope", [{}, {"raw_path": None}, {"raw_path": b""}])
def test_a_server_that_gives_no_raw_path_gets_no_answer_at_once(
    site: Site, scope: Mapping[str, object]
) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        await client.request(MANIFEST)
        headers = {b"authorization": bearer(ADA)["Authorization"].encode()}
        peer = {"client": None, "server": None, "query_string": b""}
        assert gateway.front.answer_hot({**peer, **scope, "path": MANIFEST}, headers) is None
        with_path = {**peer, "raw_path": MANIFEST.encode()}
        assert gateway.front.answer_hot(with_path, headers) is not None

    with_gateway(site, scenario, **QUIET)


def test_below_a_mounted_path_the_same_is_answered_at_once(site: Site) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        await client.request(MANIFEST)
        headers = {b"authorization": bearer(ADA)["Authorization"].encode()}
        for root_path, raw_path in (("/mounted", b"/mounted"), ("/a b", b"/a%20b")):
            scope = {
                "root_path": root_path, "raw_path": raw_path + MANIFEST.encode(),
                "client": None, "server": None, "query_string": b"",
            }  # fmt: skip
            assert gateway.front.answer_hot(scope, headers) is not None

    with_gateway(site, scenario, **QUIET)


@pytest.mark.parametrize("field", [b"Bearer    %s", b"Bearer %s  ", b"bearer %s", b"BEARER \t%s"])
def test_one_token_is_remembered_once_however_it_is_spelled(site: Site, field: bytes) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        await client.request(MANIFEST)
        token = bearer(ADA)["Authorization"].removeprefix("Bearer ").encode()
        scope = {
            "raw_path": MANIFEST.encode(), "client": None, "server": None, "query_string": b""
        }  # fmt: skip
        (source,) = gateway.core.identity._sources
        remembered: Any = source._remembered  # type: ignore[attr-defined]
        remembered.clear()
        for spelling in (b"Bearer %s", field):
            credential = {b"authorization": spelling % token}
            assert gateway.front.answer_hot(scope, credential) is not None
        assert len(remembered) == 1

    with_gateway(site, scenario, **QUIET)


def test_what_a_client_sends_is_not_remembered(site: Site) -> None:
    """Nothing of a request but the digest of its token."""

    async def scenario(_gateway: Gateway, client: Client) -> None:
        await client.request(ENTRY_URL)
        tracemalloc.start()
        try:
            for number in range(500):
                filler = b"%d" % number * 500
                extra = [(b"accept-encoding", filler), (b"if-none-match", filler)]
                await client.request(f"{ENTRY_URL}?{number}", extra=extra)
            assert tracemalloc.get_traced_memory()[0] < 2**20
        finally:
            tracemalloc.stop()

    with_gateway(site, scenario, **QUIET)
