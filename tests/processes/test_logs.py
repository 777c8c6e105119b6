"""What log lines show, and what they must not."""

import dataclasses
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.hot_path import access_log
from gateway.hot_path.access_log import AccessLog, AnswerLine
from gateway.http.request_reader import RequestReader
from gateway.processes.logs import WORKER_NAME, JsonFormatter, TextFormatter
from gateway.tracing.current_request import CURRENT, CurrentRequest
from tests.support.server import Server, serving
from tests.support.site import ADA, BEN, Site, bearer, populated
from tests.support.urls import API, SIGNED_ENVIRONMENT, capability, own, public, signed
from tests.support.waiting import eventually

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "logs.md").read_text()
TOKEN = capability(ADA, "Review")
LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3} (?:INFO   |WARNING|ERROR  ) (?:supervisor|\d+ *) \S"
)
FORMATTERS = pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])


@pytest.fixture(scope="module", params=["text", "json"])
def server(site: Site, request: pytest.FixtureRequest) -> Iterator[Server]:
    settings = {
        "GATEWAY__OBSERVABILITY__ACCESS_LOG": "true",
        "GATEWAY__OBSERVABILITY__LOG_FORMAT": request.param,
    }
    with serving({**site.environment, **SIGNED_ENVIRONMENT, **settings}) as running:
        yield running


def said(server: Server) -> str:
    """Without the spaces that align a line."""
    return re.sub(" +", " ", "".join(server.output))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "status", "line"),
    [
        (signed(TOKEN, "Review"), 200, signed("***", "Review")),
        (signed(TOKEN, "Review") + "?v=1", 200, signed("***", "Review") + "?v=1"),
        (signed(TOKEN[:-3], "Review"), 401, signed("***", "Review")),
        (
            f"{API}/%73igned/{TOKEN}/plugins/Review/a.js",
            401,
            f"{API}/%73igned/***/plugins/Review/a.js",
        ),
        (
            f"{API}/%73igned/{TOKEN.replace('.', '%2e')}/plugins/Review/a.js",
            401,
            f"{API}/%73igned/***/plugins/Review/a.js",
        ),
        (f"{API}/signed/{TOKEN}", 404, f"{API}/signed/***"),
        (f"/elsewhere?url={TOKEN}", 404, "/elsewhere?url=***"),
        (f"/elsewhere?url=%2F{TOKEN}%2F", 404, "/elsewhere?url=%***%2F"),
    ],
)
def test_the_token_of_a_signed_url_is_masked(
    server: Server, path: str, status: int, line: str
) -> None:
    answer = server.get(path)
    assert answer.status == status
    eventually(lambda: said(server), lambda output: f"{status} GET {line}" in output)
    assert TOKEN.partition(".")[2][:-3] not in said(server)


@pytest.mark.slow
def test_other_paths_are_logged_as_they_came(server: Server) -> None:
    path = public(f"{ADA}_Review", "dist/remoteEntry.js?v=1.0.0")
    assert server.get(path).status == 200
    eventually(lambda: said(server), lambda output: f"200 GET {path}" in output)


@pytest.mark.slow
def test_every_line_has_the_same_form(server: Server) -> None:
    server.get(public(f"{ADA}_Review", "dist/remoteEntry.js"), bearer(ADA))
    for line in server.output:
        if line.startswith("{"):
            assert {"time", "level", "logger", "worker", "message"} <= json.loads(line).keys()
        else:
            assert LINE.match(line), line


def test_the_page_describes_every_field_of_a_json_line() -> None:
    described: set[str] = set()
    for names in re.findall(r"(?m)^\| ((?:`\w+`(?:, )?)+) \| (?:text|integer|number)", PAGE):
        described.update(re.findall(r"\w+", names))
    answer = {field.name for field in dataclasses.fields(AnswerLine)}
    common = {"time", "level", "logger", "worker", "message", "request_id", "error"}
    assert described == answer | common | {"trace_id", "span_id"}


def test_the_page_shows_a_json_line_as_it_is_written() -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    example = json.loads(shown)
    fields = {field.name: example[field.name] for field in dataclasses.fields(AnswerLine)}
    record = logging.LogRecord(
        "gateway.access", logging.INFO, "", 0, AnswerLine(**fields), (), None
    )
    record.process, record.processName = example["worker"], WORKER_NAME
    written = json.loads(JsonFormatter().format(record))
    assert {**written, "time": ""} == {**example, "time": ""}
    assert list(written) == list(example)


@pytest.mark.slow
def test_files_that_cannot_be_read_are_logged_once(tmp_path: Path) -> None:
    site = populated(tmp_path / "site")
    for user in (ADA, BEN):
        file = site.installations_file(user)
        file.unlink()
        file.mkdir()
    with serving(site.environment) as server:
        for user in (ADA, BEN) * 3:
            assert server.get(own("Review"), bearer(user)).status == 503
        eventually(lambda: said(server), lambda output: "the users' files fail: " in output)
        assert server.stop() == 0
    complaints = [line for line in server.output if " WARNING " in line]
    assert len(complaints) == 1, complaints
    assert "not a regular file" in complaints[0]


def formatted(formatter: logging.Formatter, message: object, *values: object) -> str:
    record = logging.LogRecord("gateway", logging.WARNING, "", 0, message, values, None)
    return formatter.format(record)


@FORMATTERS
@pytest.mark.parametrize(
    "secret",
    [
        "Bearer {}",
        "authorization: bearer {}",
        "postgresql://ada:{}@db.example/braindrive",
        "postgresql://:{}@db.example/braindrive",
        "eyJ{}.eyJzdWIiOiJhIn0.c2lnbmF0dXJl",
        "?token=eyJ{}.eyJzdWIiOiJhIn0.c2lnbmF0dXJl&a=b",
        "?url=%3DeyJ{}%2EeyJzdWIiOiJhIn0%2Ec2lnbmF0dXJl",
        "/signed/{}/plugins/Review",
    ],
)
def test_no_line_shows_a_credential(formatter: logging.Formatter, secret: str) -> None:
    text = "hunter2hunter2hunter2"
    shown = formatted(formatter, "it failed: %s", secret.format(text))
    assert text not in shown
    assert "***" in shown


@FORMATTERS
@given(text=st.text())
def test_a_line_stays_one_line_whatever_is_in_it(formatter: logging.Formatter, text: str) -> None:
    shown = formatted(formatter, "%s", text)
    assert shown.isprintable()


def test_a_file_name_with_a_hash_is_no_credential() -> None:
    path = "/dist/vendors-node_modules_react.4f2a9c1b73d05e864f2a9c1b73d05e86.js"
    assert path in formatted(TextFormatter(), path)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(28, "No space left on device", "/srv/a"), "No space left on device: /srv/a"),
        (OSError(111, "Connect call failed ('::1', 5432, 0, 0)"), "failed ::1, port 5432"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed ('127.0.0.1', 1)"), "1, p"),
        (KeyError("sub"), "key error: 'sub'"),
        (TimeoutError(), "timeout error"),
        (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
    ],
)
def test_an_error_is_shown_as_a_sentence(error: Exception, sentence: str) -> None:
    shown = formatted(TextFormatter(), "it failed: %s", error)
    assert sentence in shown
    assert "Error(" not in shown
    assert "[Errno" not in shown


def _with_traceback(formatter: logging.Formatter) -> str:
    try:
        raise ValueError("first\n2026-11-30T00:00:00.000 ERROR   supervisor a forged line\x1b[2J")
    except ValueError:
        record = logging.LogRecord("gateway", 40, "", 0, "failed", (), sys.exc_info())
    return formatter.format(record)


def test_no_line_of_a_traceback_can_be_taken_for_a_line_of_the_log() -> None:
    first, *others = _with_traceback(TextFormatter()).split("\n")
    assert LINE.match(first)
    assert len(others) > 3
    assert all(line.startswith("    ") and line.isprintable() for line in others)


def test_a_traceback_is_a_field_of_a_json_line() -> None:
    line = json.loads(_with_traceback(JsonFormatter()))
    assert line["message"] == "failed"
    assert line["error"].startswith("Traceback (most recent call last):\n")


@pytest.mark.parametrize(
    ("formatter", "is_shown"),
    [
        (TextFormatter(), lambda line: line.endswith("it failed [an-id]")),
        (JsonFormatter(), lambda line: json.loads(line)["request_id"] == "an-id"),
    ],
)
def test_a_line_about_a_request_has_its_id(
    formatter: logging.Formatter, is_shown: Callable[[str], bool]
) -> None:
    token = CURRENT.set(CurrentRequest("an-id"))
    try:
        assert is_shown(formatted(formatter, "it failed"))
    finally:
        CURRENT.reset(token)
    assert "an-id" not in formatted(formatter, "it failed")


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"/a" * 20_000, "/a" * 1000 + "…"),
        (b"/" + b"a" * 1800 + b"/" + TOKEN.encode(), "/" + "a" * 1800 + "/***"),
        (b"/" + b"a" * 1900 + b"/" + TOKEN.encode(), "/" + "a" * 1900 + "/***"),
    ],
)
def test_a_long_path_is_cut_and_no_token_is_half_shown(
    monkeypatch: pytest.MonkeyPatch, path: bytes, shown: str
) -> None:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(JsonFormatter().format(record))  # type: ignore[method-assign]
    logger = logging.Logger("gateway.access")
    logger.addHandler(handler)
    monkeypatch.setattr(access_log, "logger", logger)
    reader = RequestReader(max_head_bytes=65_536)
    reader.feed(b"GET %b?%b HTTP/1.1\r\nHost: x\r\n\r\n" % (path, b"b" * 20_000))
    AccessLog(1).write(
        reader.next_request(),
        {"client": None},
        CurrentRequest("a"),
        path_kind="hot",
        status=200,
        size=0,
        started_at=0.0,
    )
    (line,) = map(json.loads, lines)
    assert line["path"] == shown
    assert len(line["query"]) == 2001
    assert line["client"] == "unix"
