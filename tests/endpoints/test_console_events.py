"""`/-/console/events` on a real server: who may watch, what they see, and that it ends in time."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from gateway.endpoints.console import STREAMS
from tests.support.event_streams import EventReader, event_stream
from tests.support.mounted import URL_PREFIX, serving_mounted
from tests.support.processes import children
from tests.support.server import STOP_DEADLINE_S, Server, serving
from tests.support.site import ADA, CLEO, Site, bearer
from tests.support.urls import own
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

EVENTS = "/-/console/events"
TOKEN = "the-token-of-the-administrators"
HOLDER = {"Authorization": f"Bearer {TOKEN}"}
CUT_OFF = "still being answered"
"""In the log, where an answer was cut off."""
AT_ONCE_S = 5.0
"""Less than half of what a server gives requests that run, and of a stream's age."""


def environment(site: Site) -> dict[str, str]:
    return {
        **site.environment,
        "GATEWAY__ADMIN__TOKEN": TOKEN,
        "GATEWAY__IDENTITY__ADMIN_USERS": CLEO,
    }


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[Server]:
    with serving(environment(site)) as running:
        yield running


# Who may, and what they see


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "not_authenticated"),
        ({"Authorization": f"Bearer {TOKEN}x"}, 401, "invalid_token"),
        (bearer(ADA), 403, "admin_required"),
        ({**HOLDER, "Sec-Fetch-Site": "cross-site"}, 403, "origin_not_allowed"),
        ({**HOLDER, "Sec-Fetch-Site": "same-site"}, 403, "origin_not_allowed"),
    ],
)
def test_only_administrators_and_pages_of_ours_watch(
    server: Server, headers: dict[str, str], status: int, code: str
) -> None:
    answer = server.get(EVENTS, headers)
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize("headers", [HOLDER, bearer(CLEO)], ids=["token", "user"])
def test_a_stream_begins_with_the_history_and_goes_on_with_states(
    server: Server, headers: dict[str, str]
) -> None:
    with event_stream(server, EVENTS, {**headers, "Sec-Fetch-Site": "same-origin"}) as stream:
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        assert stream.response.headers["cache-control"] == "no-store"
        events = iter(stream)
        first = next(events)
        assert (first.name, first.data["interval_s"]) == ("history", 2.0)
        states = [stream.until("state").data for _ in range(3)]
        assert stream.retry_ms == 2000
    assert {state["status"] for state in states} == {"ready"}
    assert 0.9 < states[2]["time"] - states[0]["time"] < 10.0


def test_samples_count_requests_and_have_an_id_with_which_a_browser_goes_on(
    server: Server,
) -> None:
    with event_stream(server, EVENTS, HOLDER) as stream:
        stream.until("history")
        stream.until("state")
        for _ in range(10):
            assert server.get(own("Nothing"), bearer(ADA)).status == 404
        sample = stream.until("sample")
    assert sample.data["refusals_per_s"] > 1
    assert float(sample.id or "") == sample.data["time"]
    with event_stream(server, EVENTS, {**HOLDER, "Last-Event-ID": sample.id or ""}) as again:
        names = [event.name for _, event in zip(range(3), again, strict=False)]
    assert "history" not in names
    assert "state" in names


@pytest.mark.parametrize("last", ["", "x", "nan", "1", "9e99", "-1", "9" * 5000])
def test_an_id_that_means_nothing_counts_as_none(server: Server, last: str) -> None:
    with event_stream(server, EVENTS, {**HOLDER, "Last-Event-ID": last}) as stream:
        assert next(iter(stream)).name == "history"


def test_a_head_request_takes_no_place(server: Server) -> None:
    for _ in range(STREAMS + 1):
        answer = server.request("HEAD", EVENTS, HOLDER)
        assert (answer.status, answer.body) == (200, b"")


def test_an_http_1_0_client_gets_events_without_chunks(server: Server) -> None:
    """nginx asks so, unless it is told otherwise."""
    request = f"GET {EVENTS} HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(request.encode())
        received = b""
        while b"event: state" not in received:
            received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert body.startswith(b"retry: 2000\n\nevent: history\n")


# Bounds


def test_streams_are_counted_and_a_client_that_leaves_makes_room(site: Site) -> None:
    with serving(environment(site)) as server:
        with ExitStack() as stack:
            for _ in range(STREAMS):
                stack.enter_context(event_stream(server, EVENTS, HOLDER)).until("history")
            answer = server.get(EVENTS, HOLDER)
            assert (answer.status, answer.code) == (429, "too_many_streams")
            assert answer.headers["retry-after"]
            assert server.get(own("Review"), bearer(ADA)).status == 200
        eventually(lambda: server.request("HEAD", EVENTS, HOLDER).status, lambda it: it == 200)


# The end


def read_to_the_end(stream: EventReader) -> list[str]:
    return [event.data.get("reason") if event.name == "end" else event.name for event in stream]


@pytest.mark.parametrize("delay", ["0", "60"], ids=["at once", "after a delay"])
def test_a_server_that_ends_does_not_wait_for_streams(site: Site, delay: str) -> None:
    settings = {**environment(site), "GATEWAY__SERVER__DRAIN_DELAY": delay}
    with (
        serving(settings, "--workers", "2") as server,
        ExitStack() as stack,
    ):
        streams = [stack.enter_context(event_stream(server, EVENTS, HOLDER)) for _ in range(4)]
        for stream in streams:
            stream.until("state")
        began_at = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        for stream in streams:
            assert read_to_the_end(stream)[-1] == "draining"
        if delay == "0":
            assert server.process.wait(STOP_DEADLINE_S) == 0
        assert time.monotonic() - began_at < AT_ONCE_S
    said = "".join(server.output)
    assert CUT_OFF not in said
    assert "Traceback" not in said


def test_a_client_that_reads_nothing_does_not_hold_the_end_up(site: Site) -> None:
    with serving(environment(site)) as server, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(f"GET {EVENTS} HTTP/1.1\r\nHost: x\r\n".encode())
        connection.sendall(f"Authorization: Bearer {TOKEN}\r\n\r\n".encode())
        assert connection.recv(10) == b"HTTP/1.1 2"
        began_at = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began_at < AT_ONCE_S
    assert CUT_OFF not in "".join(server.output)


def test_workers_are_replaced_although_streams_are_open(site: Site) -> None:
    with (
        serving(environment(site), "--workers", "2") as server,
        event_stream(server, EVENTS, HOLDER) as stream,
    ):
        stream.until("state")
        before = children(server.process.pid)
        began_at = time.monotonic()
        server.process.send_signal(signal.SIGHUP)
        assert read_to_the_end(stream)[-1] == "draining"
        eventually(
            lambda: children(server.process.pid),
            lambda after: len(after) == len(before) and not set(after) & set(before),
        )
        assert time.monotonic() - began_at < 2 * AT_ONCE_S
        with event_stream(server, EVENTS, HOLDER) as again:
            again.until("state")
    assert CUT_OFF not in "".join(server.output)


# Mounted


def test_it_works_in_an_application_and_does_not_keep_it_from_ending(site: Site) -> None:
    with serving_mounted("with_running", environment(site)) as server:
        with event_stream(server, URL_PREFIX + EVENTS, HOLDER) as stream:
            stream.until("history")
            stream.until("state")
            began_at = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            assert read_to_the_end(stream)[-1] == "draining"
            assert server.process.wait(STOP_DEADLINE_S) in (0, -signal.SIGTERM)
        assert time.monotonic() - began_at < AT_ONCE_S
    assert "Traceback" not in "".join(server.output)
