"""Cache-Status and Server-Timing: what an answer rests on, for those who ask to be told."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from starlette.types import Message

from gateway import Gateway
from gateway.changes import ANYTHING, Change
from gateway.names import UserId
from tests.support.asgi import Client, Headers, body, fields, status, with_gateway
from tests.support.scrapes import hot_answers
from tests.support.server import serving
from tests.support.settings import QUIET
from tests.support.site import ADA, BEN, NOBODY, Site, bearer, token
from tests.support.urls import ENTRY_URL, MANIFEST, own, public
from tests.support.waiting import until_answer

pytestmark = pytest.mark.slow

ON = {"GATEWAY__OBSERVABILITY__DEBUG_HEADERS": "true"}
NAMES = {b"cache-status", b"server-timing"}

# Structured fields (RFC 8941 §3): tokens, integers, strings and parameters, as far as
# Cache-Status (RFC 9211 §2) has them.
_TOKEN = r"[A-Za-z*][-A-Za-z0-9!#$%&'*+.^_`|~:/]*"
_STRING = r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"'
_PARAMETER = re.compile(rf"; *([a-z*][a-z0-9_.*-]*)(?:=(-?\d{{1,15}}|{_TOKEN}|{_STRING}|\?[01]))?")
_MEMBER = re.compile(rf"({_TOKEN}|{_STRING})")
_FORWARDED = {
    "bypass",
    "method",
    "uri-miss",
    "vary-miss",
    "miss",
    "request",
    "stale",
    "partial",
}
_METRIC = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]+);dur=(\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Member:
    """One cache's part in an answer."""

    name: str
    parameters: dict[str, str | bool]

    @property
    def outcome(self) -> str:
        """`hit`, or why the request was forwarded: exactly one of the two (RFC 9211 §2.1)."""
        hit, forwarded = self.parameters.get("hit"), self.parameters.get("fwd")
        assert (hit is None) != (forwarded is None), self
        assert hit in (None, True), self
        assert forwarded is None or forwarded in _FORWARDED, self
        return str(forwarded or "hit")


def parse_cache_status(text: str) -> list[Member]:
    """Raises: ValueError, where `text` is no list of the form of RFC 9211."""
    members = []
    at = 0
    while True:
        if (name := _MEMBER.match(text, at)) is None:
            raise ValueError(f"no member at {text[at:]!r}")
        at = name.end()
        parameters: dict[str, str | bool] = {}
        while parameter := _PARAMETER.match(text, at):
            parameters[parameter[1]] = True if parameter[2] is None else parameter[2]
            at = parameter.end()
        members.append(Member(name[1], parameters))
        if at == len(text):
            return members
        comma = re.compile(r"[ \t]*,[ \t]*").match(text, at)
        if comma is None:
            raise ValueError(f"no comma at {text[at:]!r}")
        at = comma.end()


def parse_server_timing(text: str) -> dict[str, float]:
    """Milliseconds by name. Raises: ValueError."""
    found = {}
    for part in text.split(", "):
        if (metric := _METRIC.fullmatch(part)) is None:
            raise ValueError(f"not a metric: {part!r}")
        assert metric[1] not in found, text
        found[metric[1]] = float(metric[2])
    return found


@pytest.mark.parametrize(
    "text", ["", "a b", "a;=1", "a,", "a; hit=", ", a", 'a; detail="x', "a hit"]
)
def test_the_parser_of_this_test_is_strict(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_cache_status(text)


def members(answer: list[Message]) -> list[Member]:
    return parse_cache_status(fields(answer)[b"cache-status"].decode())


def layers(answer: list[Message]) -> dict[str, str]:
    """The outcome of each cache, by its name."""
    found = members(answer)
    names = [member.name for member in found]
    assert len(names) == len(set(names)), names
    return {member.name: member.outcome for member in found}


def in_process(
    site: Site, scenario: Callable[[Gateway, Client], Awaitable[None]], **environment: str
) -> None:
    with_gateway(site, scenario, **{**QUIET, **ON, **environment})


# When they are there


@pytest.mark.parametrize(
    "path", [ENTRY_URL, MANIFEST, "/-/live", "/-/ready", "/nothing", own("No")]
)
def test_they_are_absent_unless_they_are_asked_for(site: Site, path: str) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        for _ in range(2):
            assert not NAMES & set(fields(await client.request(path)))

    with_gateway(site, scenario)


@pytest.mark.parametrize(
    ("path", "expected", "extra"),
    [
        (ENTRY_URL, 200, []),
        (ENTRY_URL, 304, [(b"if-none-match", b"*")]),
        (ENTRY_URL, 206, [(b"range", b"bytes=0-0")]),
        (ENTRY_URL, 416, [(b"range", b"bytes=999999-")]),
        (ENTRY_URL, 412, [(b"if-match", b'"other"')]),
        (MANIFEST, 200, []),
        (own("Review", "dist/none.js"), 404, []),
        (own("Nothing"), 404, []),
        (public("Eyes"), 200, []),
        (public("Review"), 409, []),
    ],
)
def test_they_are_on_every_answer_that_rests_on_a_cache(
    site: Site, path: str, expected: int, extra: Headers
) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        for _ in range(3):
            answer = await client.request(path, extra=extra)
            assert status(answer) == expected
            assert layers(answer)
            timing = parse_server_timing(fields(answer)[b"server-timing"].decode())
            assert max(timing.values()) == timing["total"]

    in_process(site, scenario)


@pytest.mark.parametrize(
    ("user", "path"), [(None, ENTRY_URL), (None, "/-/live"), (ADA, "/nothing")]
)
def test_an_answer_that_rests_on_no_cache_names_none(
    site: Site, user: str | None, path: str
) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        found = fields(await client.request(path, user))
        assert b"cache-status" not in found
        assert parse_server_timing(found[b"server-timing"].decode()).keys() == {"total"}

    in_process(site, scenario)


def test_each_field_is_there_once_over_real_http(site: Site) -> None:
    with serving({**site.environment, **ON}) as server:
        for _ in range(2):
            answer = server.get(own("Review"), bearer(ADA))
            names = [name for name, _ in answer.fields]
            assert {names.count(name.decode()) for name in NAMES} == {1}
            assert parse_cache_status(answer.headers["cache-status"])
            parse_server_timing(answer.headers["server-timing"])


# What they say


def test_each_layer_misses_at_first_and_hits_then(site: Site) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        first, second = await client.request(ENTRY_URL), await client.request(ENTRY_URL)
        expected = {"versions", "installations", "assets"}
        assert layers(first) == dict.fromkeys(expected, "miss")
        assert layers(second) == dict.fromkeys(expected, "hit")
        for answer in (first, second):
            for member in members(answer):
                assert member.parameters.get("stored") == (
                    None if member.outcome == "hit" else True
                )

    in_process(site, scenario)


def test_of_requests_that_wait_for_one_load_all_but_one_are_collapsed(site: Site) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        answers = await asyncio.gather(*(client.request(ENTRY_URL) for _ in range(5)))
        for layer in ("versions", "installations", "assets"):
            found = [it for answer in answers for it in members(answer) if it.name == layer]
            began = [
                it for it in found if it.outcome == "miss" and "collapsed" not in it.parameters
            ]
            assert len(began) == 1, found
            assert began[0].parameters["stored"]
            assert {it.outcome for it in found} <= {"miss", "hit"}
            if layer == "versions":  # what all of them wait for first
                assert [it.parameters.get("collapsed") for it in found].count(True) == 4

    in_process(site, scenario)


def test_a_no_that_is_too_old_to_be_believed_was_asked_for_by_the_request(site: Site) -> None:
    """A "no" is never older than negative_ttl, though the user's other rows are fresh."""

    async def scenario(_gateway: Gateway, client: Client) -> None:
        await client.request(ENTRY_URL)
        await asyncio.sleep(0.02)
        missing = await client.request(own("Missing"))
        assert status(missing) == 404
        assert layers(missing) == {"versions": "request", "installations": "request"}
        assert set(layers(await client.request(ENTRY_URL)).values()) == {"hit"}

    settings = {
        f"GATEWAY__CACHE__{cache}__NEGATIVE_TTL": "0.01" for cache in ("INSTALLATIONS", "VERSIONS")
    }
    in_process(site, scenario, **settings)


def test_a_pinned_url_rests_on_the_builds_too(site: Site) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        manifest = json.loads(body(await client.request(MANIFEST)))
        answer = await client.request(
            f"/api/v1/plugins/Review/{manifest['Review']['bundlelocation']}"
        )
        assert status(answer) == 200
        assert "builds" in layers(answer)

    in_process(site, scenario)


def test_one_users_hit_is_another_users_miss(site: Site) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        await client.request(ENTRY_URL, ADA)
        ben = layers(await client.request(ENTRY_URL, BEN))
        assert (ben["versions"], ben["installations"]) == ("miss", "miss")
        assert layers(await client.request(ENTRY_URL, ADA))["versions"] == "hit"

    in_process(site, scenario)


def test_what_was_forgotten_is_a_miss_and_what_was_expired_is_stale(site: Site) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        for change in (Change(user=UserId(ADA)), ANYTHING):
            await client.request(ENTRY_URL)
            gateway.core.invalidation.apply(change)
            found = layers(await client.request(ENTRY_URL))
            expected = "stale" if change == ANYTHING else "miss"
            assert (found["versions"], found["installations"]) == (expected, expected)
            assert found["assets"] == "hit"

    in_process(site, scenario)


def test_a_known_no_is_told_from_a_yes(site: Site) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        extra = [(b"authorization", f"Bearer {token(NOBODY)}".encode())]
        for outcome in ("miss", "hit"):
            answer = await client.request(ENTRY_URL, None, extra=extra)
            found = {member.name: member for member in members(answer)}
            assert found["installations"].outcome == outcome
            assert found["installations"].parameters["detail"] == "negative"
        yes = members(await client.request(ENTRY_URL))
        assert not [member for member in yes if "detail" in member.parameters]

    in_process(site, scenario, GATEWAY__CACHE__INSTALLATIONS__NEGATIVE_TTL="60")


def test_ttl_counts_down_and_is_negative_for_what_stands_in(site: Site) -> None:
    """RFC 9211 §2.5: a negative value is how long ago the answer was still fresh."""

    async def scenario(_gateway: Gateway, client: Client) -> None:
        def ttl(answer: list[Message]) -> int:
            (found,) = (it.parameters["ttl"] for it in members(answer) if it.name == "versions")
            return int(str(found))

        first = await client.request(ENTRY_URL)
        assert 0 <= ttl(first) <= 2
        away = site.database.rename(site.folder / "away.db")
        seen: set[tuple[str, str]] = set()

        async def look() -> set[tuple[str, str]]:
            answer = await client.request(ENTRY_URL)
            assert status(answer) == 200
            (versions,) = (it for it in members(answer) if it.name == "versions")
            assert "stored" not in versions.parameters
            if ttl(answer) < 0:
                seen.add((versions.outcome, str(versions.parameters["detail"])))
            return seen

        try:
            expected = {("stale", "source-failed"), ("hit", "stale")}  # asked, and left alone
            await until_answer(look, lambda outcomes: outcomes == expected)
        finally:
            away.rename(site.database)

    in_process(site, scenario, GATEWAY__CACHE__VERSIONS__TTL="2")


def test_they_name_no_user_and_no_path(site: Site) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        answer = await client.request(ENTRY_URL)
        text = b" ".join(fields(answer)[name] for name in NAMES).decode()
        assert ADA not in text
        assert "Review" not in text
        assert str(site.folder) not in text

    in_process(site, scenario)


# And what they must not change


def test_no_answer_that_tells_how_it_was_decided_takes_the_hot_path(site: Site) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        for _ in range(3):
            assert status(await client.request(ENTRY_URL)) == 200
            assert status(await client.request(MANIFEST)) == 200
        assert hot_answers(gateway) == {}
        assert set(layers(await client.request(ENTRY_URL)).values()) == {"hit"}

    in_process(site, scenario)


@pytest.mark.parametrize("path", [ENTRY_URL, MANIFEST, own("Nothing"), public("Eyes")])
def test_all_else_of_the_answer_is_as_without_them(site: Site, path: str) -> None:
    answers = []

    async def scenario(_gateway: Gateway, client: Client) -> None:
        for _ in range(2):
            answer = await client.request(path)
            own = {*NAMES, b"x-request-id"}
            rest = {name: it for name, it in fields(answer).items() if name not in own}
            answers.append((status(answer), rest, body(answer)))

    with_gateway(site, scenario)
    in_process(site, scenario)
    assert all(answer == answers[0] for answer in answers)


def test_a_304_refreshes_what_a_client_keeps_with_fields_of_its_own(site: Site) -> None:
    """RFC 9111 §3.2: a client takes over the fields of a 304; they are those of this request."""

    async def scenario(_gateway: Gateway, client: Client) -> None:
        first = await client.request(ENTRY_URL)
        extra = [(b"if-none-match", fields(first)[b"etag"])]
        second = await client.request(ENTRY_URL, extra=extra)
        assert status(second) == 304
        assert set(layers(second).values()) == {"hit"}

    in_process(site, scenario)
