"""Which answers are logged, and what their lines say."""

import asyncio
import dataclasses
import json
import logging
import re
from itertools import cycle, repeat
from typing import Any

import pytest
from starlette.types import Message

from gateway.hot_path import access_log
from gateway.hot_path.access_log import CLIENT_GONE, AccessLog, AnswerLine
from gateway.hot_path.exchange import Exchange
from gateway.processes.logs import JsonFormatter
from gateway.tracing.current_request import CURRENT, CurrentRequest
from tests.hot_path.test_exchange import LENGTH_2, SCOPE, WHOLE, Client, body, request, start
from tests.hot_path.test_request_ids import hot_count, warm
from tests.support.listeners import ENTRY_URL, Running, three_listeners, user_request
from tests.support.server import serving
from tests.support.site import ADA, Site, bearer
from tests.support.sockets import LAST, converse
from tests.support.urls import MANIFEST, SIGNED_ENVIRONMENT, capability, own, public, signed
from tests.support.waiting import eventually

FIELDS = {field.name for field in dataclasses.fields(AnswerLine)}


class Lines(logging.Handler):
    """What was logged of answers."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[AnswerLine] = []
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        assert isinstance(record.msg, AnswerLine)
        self.lines.append(record.msg)
        self.records.append(record)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """In the place of the logger, which a server sets up anew when it starts."""
    handler, logger = Lines(), logging.Logger("gateway.access")
    logger.addHandler(handler)
    monkeypatch.setattr(access_log, "logger", logger)
    return handler


def asked(running: Running, *requests: bytes) -> None:
    """Sends the requests on one connection. The last answer of it is logged too, if chosen."""
    running.ask("ours", *requests, LAST)


def warmed(running: Running, *requests: bytes) -> None:
    for one in requests:
        running.warm(one)


@pytest.mark.parametrize(
    ("share", "choices", "taken"),
    [(0.01, [0.0, 0.00999, 0.01, 0.5], [True, True, False, False]), (1, [0.0, 0.99], [True] * 2)],
)
def test_an_answer_is_chosen_with_the_chance_of_the_share(
    share: float, choices: list[float], taken: list[bool]
) -> None:
    log = AccessLog(share, iter(choices).__next__)
    assert [log.takes_next() for _ in choices] == taken


@pytest.mark.parametrize(
    ("status", "is_taken"),
    [(200, False), (304, False), (400, True), (404, True), (503, True), (CLIENT_GONE, False)],
)
def test_refusals_are_taken_without_a_choice(status: int, is_taken: bool) -> None:
    assert AccessLog(0.01, repeat(0.5).__next__).takes(status) is is_taken


def test_what_is_not_logged_stays_on_the_hot_path(site: Site, log: Lines) -> None:
    """A third of the answers is chosen, and those are hot too."""
    choices = cycle([0.5, 0.5, 0.0])
    with three_listeners(site, AccessLog(0.01, lambda: next(choices))) as running:
        warmed(running, user_request())
        log.lines.clear()
        calls, at_once = running.app.calls, running.at_once()
        asked(running, *[user_request()] * 30)
        assert running.app.calls == calls + 1  # LAST alone
        assert running.at_once() == at_once + 30
    hot = [line for line in log.lines if line.path_kind == "hot"]
    assert len(hot) == 10
    assert {(line.path, line.status, line.user) for line in hot} == {(ENTRY_URL, 200, ADA)}
    assert len({line.request_id for line in hot}) == 10


def test_a_logged_hot_answer_has_the_id_of_its_line(site: Site, log: Lines) -> None:
    with three_listeners(site, AccessLog(1)) as running:
        warmed(running, user_request())
        given = user_request(ENTRY_URL, "X-Request-ID: given")
        received = converse(running.port, [user_request(), given, LAST], keep_all=True)
    made, second, _ = re.findall(rb"\r\nx-request-id: (\S+)\r\n", received)
    assert second == b"given"
    assert [line.request_id for line in log.lines[-3:-1]] == [made.decode(), "given"]
    assert {line.path_kind for line in log.lines[-3:-1]} == {"hot"}


@pytest.mark.parametrize(
    ("url", "user"),
    [
        (own("Review"), ADA),
        (MANIFEST, ADA),
        (signed(capability(ADA, "Review"), "Review"), ADA),
        (public(f"{ADA}_Review"), ADA),
        (public("Eyes"), None),
    ],
)
def test_the_user_is_known_on_both_paths(
    site: Site, log: Lines, url: str, user: str | None
) -> None:
    with three_listeners(site, AccessLog(1), **SIGNED_ENVIRONMENT) as running:
        warmed(running, user_request(url))
        asked(running, user_request(url), user_request(url, "Range: bytes=0-1"))
    mine = [line for line in log.lines if line.path == url]
    assert {line.path_kind for line in mine} == {"hot", "cold"}
    assert {line.user for line in mine} == {user}


def test_a_line_says_what_the_answer_was(site: Site, log: Lines) -> None:
    with three_listeners(site, AccessLog(1)) as running:
        warmed(running, user_request(f"{ENTRY_URL}?v=1"))
        asked(
            running,
            user_request(f"{ENTRY_URL}?v=1"),
            user_request(own("Review", "dist/missing.js")),
            user_request(method="HEAD"),
        )
        running.ask("ours", b"GET / HTTP/1.1\r\n\r\n")
    hot, missing, head, _, unreadable = log.lines[-5:]
    assert (hot.path, hot.query, hot.status, hot.path_kind) == (ENTRY_URL, "v=1", 200, "hot")
    assert (hot.code, hot.reason, hot.client, hot.method) == (None, None, "127.0.0.1", "GET")
    assert hot.bytes > 0
    assert 0 < hot.duration_s < 5
    assert (missing.status, missing.code, missing.path_kind) == (404, "asset_not_found", "cold")
    assert missing.reason is not None
    assert "dist/missing.js" in missing.reason
    assert (head.method, head.status, head.bytes) == ("HEAD", 200, 0)
    assert (unreadable.status, unreadable.code, unreadable.method, unreadable.path) == (
        400,
        "bad_request",
        None,
        None,
    )
    for record in log.records:
        line = json.loads(JsonFormatter().format(record))
        assert line.keys() == {"time", "level", "logger", "worker", "message", *FIELDS}


def test_the_hot_path_knows_nothing_of_the_request_before_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hot request that waits for a cold one on the same connection."""
    known: list[CurrentRequest | None] = []
    with three_listeners(site) as running:
        front = running.app.gateway.front
        answer_hot = front.answer_hot

        def note(scope: Any, *arguments: Any) -> Any:
            if "type" not in scope:  # asked by the connection, not by the application
                known.append(CURRENT.get())
            return answer_hot(scope, *arguments)

        monkeypatch.setattr(front, "answer_hot", note)
        running.ask("ours", user_request("/nowhere") + user_request() + LAST)
    assert known == [None] * 3


@pytest.mark.slow
def test_a_server_that_logs_a_hundredth_answers_on_the_hot_path(site: Site) -> None:
    hundredth = {"GATEWAY__OBSERVABILITY__ACCESS_LOG": "0.01"}
    with serving({**site.environment, **hundredth}) as server:
        warm(server, own("Review"), bearer(ADA))
        before = hot_count(server)
        for _ in range(300):
            assert server.get(own("Review"), bearer(ADA)).status == 200
        assert hot_count(server) == before + 300
        assert server.get(own("Review", "dist/missing.js"), bearer(ADA)).status == 404
        eventually(lambda: "".join(server.output), lambda said: " 404 GET " in said)
    # Three are expected; thirty or more happen once in 10^20 runs.
    assert sum(" 200 GET " in line for line in server.output) < 30


def logged_of(log: Lines, *messages: Message, disconnects: bool = False) -> AnswerLine:
    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)
        if disconnects:
            exchange.disconnect()

    client: Any = Client()
    exchange = Exchange(client, client, request(), SCOPE, AccessLog(1))
    asyncio.run(exchange.run(application))
    (line,) = log.lines
    return line


LONG = (b"content-length", b"4")


def test_an_answer_in_pieces_is_one_line(log: Lines) -> None:
    line = logged_of(log, start(200, LONG), body(b"ab", more=True), body(b"cd"))
    assert (line.status, line.bytes, line.code) == (200, 4, None)


def test_chunks_are_counted_without_their_frames(log: Lines) -> None:
    assert logged_of(log, start(), body(b"ab", more=True), body(b"c")).bytes == 3


def test_a_whole_answer_is_a_line(log: Lines) -> None:
    line = logged_of(log, WHOLE)
    assert (line.status, line.bytes) == (200, 2)


def test_a_client_that_goes_away_before_the_answer_is_told_apart(log: Lines) -> None:
    line = logged_of(log, disconnects=True)
    assert (line.status, line.code) == (CLIENT_GONE, "client_gone")


def test_a_client_that_goes_away_in_the_middle_too(log: Lines) -> None:
    line = logged_of(log, start(200, LONG), body(b"ab", more=True), disconnects=True)
    assert (line.status, line.code, line.bytes) == (200, "client_gone", 2)


def test_an_answer_that_breaks_off_is_told_apart(log: Lines) -> None:
    line = logged_of(log, start(200, LONG), body(b"ab", more=True))
    assert (line.status, line.code, line.bytes) == (200, "broken_off", 2)


def test_an_application_that_fails_is_a_500(log: Lines) -> None:
    line = logged_of(log, start(200, LENGTH_2), body(b"abc"))
    assert (line.status, line.code) == (500, "internal_error")
