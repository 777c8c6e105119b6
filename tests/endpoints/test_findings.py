"""`/-/findings`: the examination in a process of its own, which reads, and which always ends."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway.endpoints.event_stream import StreamEnd
from gateway.endpoints.findings import Findings
from gateway.identity.callers import Callers
from gateway.identity.chain import NO_CREDENTIALS
from gateway.settings import load_settings
from gateway.upkeep.examination import MOST_SHOWN
from tests.support.commands import run
from tests.support.event_streams import Event, event_stream
from tests.support.mounted import URL_PREFIX, serving_mounted
from tests.support.processes import children
from tests.support.server import STOP_DEADLINE_S, Server, serving
from tests.support.site import ADA, BEN, CLEO, Site, bearer, contents, populated, with_refusals
from tests.support.urls import own
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

FINDINGS = "/-/findings"
TOKEN = "the-token-of-the-administrators"
HOLDER = {"Authorization": f"Bearer {TOKEN}"}
ADMIN = {"GATEWAY__ADMIN__TOKEN": TOKEN, "GATEWAY__IDENTITY__ADMIN_USERS": CLEO}


def findings_in(server: Server, path: str = FINDINGS) -> list[Event]:
    with event_stream(server, path, HOLDER) as stream:
        return list(stream)


def names(events: list[Event]) -> list[str]:
    return [event.name for event in events]


def named(events: list[Event], name: str) -> list[Any]:
    return [event.data for event in events if event.name == name]


# What it finds


def test_it_finds_what_doctor_finds_and_sums_it_up(either_site: Site) -> None:
    site = with_refusals(either_site, ADA)
    site.write_installations(BEN, b"{")
    printed = run(site.environment, "doctor")
    with serving({**site.environment, **ADMIN}) as server:
        events = findings_in(server)
    assert names(events)[-1] == "summary"
    found = named(events, "finding")
    (summary,) = named(events, "summary")
    assert {"version_without_folder", "entry_without_row", "broken_installations"} <= {
        finding["code"] for finding in found
    }
    for finding in found:
        assert finding["code"] in printed.output
        assert str(site.plugins) not in finding["text"]
    (broken,) = [finding for finding in found if finding["code"] == "broken_installations"]
    assert broken == {
        "code": "broken_installations", "severity": "error", "fixable": False,
        "text": f"plugins/users/user_{BEN}/installed_plugins.json: not valid JSON",
        "hint": "repair the file, or restore it from a backup",
        "user": BEN, "slug": None, "version": None,
    }  # fmt: skip
    assert {"folders": 3, "users": 3, "versions": 3}.items() <= summary.items()
    assert sum(count["count"] for count in summary["counts"]) == len(found)
    assert f"{summary['remaining']} problems" in printed.output
    parts = {progress["part"]: progress for progress in named(events, "progress")}
    assert list(parts) == ["JSON files", "rows", "modules", "versions", "staging"]
    assert parts["rows"] == {"part": "rows", "done": 3, "total": 3}


def test_of_many_findings_of_a_kind_some_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    site = populated(tmp_path)
    many: dict[str, Any] = {f"Gone{number}": {} for number in range(MOST_SHOWN + 20)}
    site.write_installations(ADA, {"Review": {}, "Eyes": {}, **many})
    with serving({**site.environment, **ADMIN}) as server:
        events = findings_in(server)
    shown = [it for it in named(events, "finding") if it["code"] == "entry_without_row"]
    assert len(shown) == MOST_SHOWN
    (summary,) = named(events, "summary")
    assert {
        "code": "entry_without_row", "severity": "warning", "count": MOST_SHOWN + 20,
        "shown": MOST_SHOWN,
    } in summary["counts"]  # fmt: skip


def test_it_changes_nothing(tmp_path: Path) -> None:
    site = with_refusals(populated(tmp_path), ADA)
    with serving({**site.environment, **ADMIN}) as server:
        before = contents(site.folder)
        assert names(findings_in(server))[-1] == "summary"
        after = contents(site.folder)
    changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    assert all(path.startswith("plugins/cache/locks/") for path in changed), changed
    assert not any(after.get(path) for path in changed), "locks are empty files"


def test_a_site_that_cannot_be_examined_is_said_without_paths_of_the_disk(tmp_path: Path) -> None:
    site = populated(tmp_path)
    with serving({**site.environment, **ADMIN}) as server:
        site.execute("ALTER TABLE plugin RENAME TO elsewhere")
        (failed,) = named(findings_in(server), "failed")
        assert "no table 'plugin'" in failed["detail"]
        site.database.unlink()
        (failed,) = named(findings_in(server), "failed")
        assert f"no database file {site.database.name}" in failed["detail"]


def test_where_no_process_can_be_started_it_is_said(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = load_settings(environ=site.environment)
    findings = Findings(settings, Callers(settings, NO_CREDENTIALS), StreamEnd())
    monkeypatch.setattr(sys, "executable", str(site.folder / "no-python"))

    async def events() -> list[bytes]:
        return [event async for event in findings._events()]

    comment, failed = asyncio.run(events())
    assert comment.startswith(b":")
    assert failed.startswith(b"event: failed\ndata: {")
    assert "no-python" in caplog.text


def test_a_process_that_ends_before_it_has_read_its_order_is_said(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(environ=site.environment)
    findings = Findings(settings, Callers(settings, NO_CREDENTIALS), StreamEnd())
    monkeypatch.setattr(sys, "executable", "/bin/false")

    async def until_told() -> None:
        for _ in range(30):
            *_, last = [event async for event in findings._events()]
            assert last.startswith(b"event: failed\n")

    uvloop.run(until_told())


# Who may, and how often


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[Server]:
    with serving({**site.environment, **ADMIN}) as running:
        yield running


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "not_authenticated"),
        (bearer(ADA), 403, "admin_required"),
        ({**HOLDER, "Sec-Fetch-Site": "cross-site"}, 403, "origin_not_allowed"),
    ],
)
def test_only_administrators_and_pages_of_ours_examine(
    server: Server, headers: dict[str, str], status: int, code: str
) -> None:
    answer = server.get(FINDINGS, headers)
    assert (answer.status, answer.code) == (status, code)


def test_a_browser_that_connects_again_is_told_to_stop(server: Server) -> None:
    events = findings_in(server)
    last = {**HOLDER, "Last-Event-ID": events[-1].id or ""}
    answer = server.get(FINDINGS, last)
    assert (answer.status, answer.body) == (204, b"")
    assert server.get(FINDINGS, bearer(CLEO)).status == 200


# How it ends. The table `plugin` is locked: the examination waits for it.


def processes_of(server: Server) -> list[int]:
    """Examinations of the server's workers."""
    return [pid for worker in children(server.process.pid) for pid in children(worker)]


def examination_of(server: Server) -> int:
    """The process of the examination, which waits."""
    (process,) = eventually(lambda: processes_of(server), lambda found: len(found) == 1)
    return process


def is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def is_ended(pid: int) -> None:
    eventually(lambda: is_running(pid), lambda running: not running)


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Server]:
    site = populated(tmp_path)
    with serving({**site.environment, **ADMIN}) as server:
        assert server.get(own("Review"), bearer(ADA)).status == 200
        with site.locked():
            yield server


def test_one_runs_at_a_time_and_ends_when_its_client_leaves(
    waiting: Server,
) -> None:
    with event_stream(waiting, FINDINGS, HOLDER):
        process = examination_of(waiting)
        eventually(lambda: os.getpriority(os.PRIO_PROCESS, process), lambda it: it == 19)
        command = Path(f"/proc/{process}/cmdline").read_bytes()
        assert b"gateway.upkeep.examination" in command
        assert b"sqlite" not in command
        answer = waiting.get(FINDINGS, HOLDER)
        assert (answer.status, answer.code) == (409, "already_examining")
        assert waiting.get(own("Review"), bearer(ADA)).status == 200
    is_ended(process)
    eventually(lambda: waiting.request("HEAD", FINDINGS, HOLDER).status, lambda it: it == 200)
    assert processes_of(waiting) == []


def test_a_server_that_ends_does_not_wait_for_it(waiting: Server) -> None:
    with event_stream(waiting, FINDINGS, HOLDER) as stream:
        process = examination_of(waiting)
        began_at = time.monotonic()
        waiting.process.send_signal(signal.SIGTERM)
        assert [event.data for event in stream if event.name == "end"] == [{"reason": "draining"}]
        assert waiting.process.wait(STOP_DEADLINE_S) == 0
        assert time.monotonic() - began_at < STOP_DEADLINE_S / 3
    is_ended(process)
    assert "Traceback" not in "".join(waiting.output)


def test_it_ends_with_a_worker_that_is_killed(waiting: Server) -> None:
    with event_stream(waiting, FINDINGS, HOLDER):
        process = examination_of(waiting)
        (worker,) = children(waiting.process.pid)
        os.kill(worker, signal.SIGKILL)
        is_ended(process)


def test_an_examination_that_is_killed_is_said(waiting: Server) -> None:
    with event_stream(waiting, FINDINGS, HOLDER) as stream:
        os.kill(examination_of(waiting), signal.SIGKILL)
        events = list(stream)
    assert names(events) == ["failed"]
    assert "ended early" in events[0].data["detail"]


def test_it_works_in_an_application(site: Site) -> None:
    with serving_mounted("with_running", {**site.environment, **ADMIN}) as server:
        assert names(findings_in(server, URL_PREFIX + FINDINGS))[-1] == "summary"
