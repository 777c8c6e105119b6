"""The audit log as files: whole lines, private, bounded, and never in the way of a change."""

import json
import logging
import multiprocessing
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.disk import audit_log
from gateway.disk.audit_log import AuditLog, Author, Record

ADA = Author("ada", "http")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


def record(number: int = 0, **fields: Any) -> Record:
    return Record(ADA, "update", "ada", "Review", "1.0.0", f"1.0.{number}", **fields)


def versions(log: AuditLog) -> list[str]:
    return [line["to"] for line in log.records()]


def test_nothing_is_made_before_the_first_record(folder: Path) -> None:
    assert list(AuditLog(folder).records()) == []
    assert not folder.exists()


def test_a_record_is_one_line_with_all_names(folder: Path) -> None:
    AuditLog(folder).append(record(1))
    (line,) = (folder / "changes.jsonl").read_text().splitlines()
    written = json.loads(line)
    assert written.pop("time").endswith("Z")
    assert written == {
        "by": "ada", "via": "http", "action": "update", "user": "ada", "plugin": "Review",
        "from": "1.0.0", "to": "1.0.1", "result": "done",
    }  # fmt: skip


def test_nobody_else_can_read_it_whatever_the_umask(folder: Path) -> None:
    umask = os.umask(0)
    try:
        AuditLog(folder).append(record())
    finally:
        os.umask(umask)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "changes.jsonl").stat().st_mode) == 0o600


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_what_root_begins_belongs_to_the_owner_of_the_site(folder: Path) -> None:
    """A server that does not run as root goes on writing after a command of root."""
    os.chown(folder.parent, 12345, 12346)
    AuditLog(folder).append(record())
    for path in (folder, folder / "changes.jsonl"):
        assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12346)


@pytest.mark.parametrize("text", ["a\r\nb", "\x1b[31m", "\x7f\x85\x9b", "é€😀", "\ud800", '"\\'])
def test_any_text_stays_inside_its_line(folder: Path, text: str) -> None:
    log = AuditLog(folder)
    log.append(Record(Author(text, "command"), "update", text, text, text, text))
    content = (folder / "changes.jsonl").read_bytes()
    assert content.endswith(b"\n")
    assert all(0x20 <= byte < 0x7F for byte in content[:-1])
    (line,) = log.records()
    assert (line["by"], line["plugin"]) == (text, text)


def test_a_text_has_a_bound(folder: Path) -> None:
    log = AuditLog(folder)
    log.append(Record(Author("a" * 10_000, "http"), "update", plugin="😀" * 10_000))
    assert len((folder / "changes.jsonl").read_bytes()) < 8192
    (line,) = log.records()
    assert line["plugin"] == "😀" * 256


def test_what_was_refused_displaces_no_change(folder: Path, small: None) -> None:
    log = AuditLog(folder)
    log.append(record(1))
    for _ in range(200):
        log.append(record(2, result="not_installed"))
    assert versions(log).count("1.0.1") == 1


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of ten lines, of which three are kept."""
    size = len(record(10).line(datetime.now(UTC)))
    for kind in ("CHANGES", "REFUSALS"):
        monkeypatch.setattr(audit_log, f"_MAX_{kind}_BYTES", size * 10)
        monkeypatch.setattr(audit_log, f"_MAX_{kind}_FILES", 3)


def test_full_files_are_kept_up_to_a_bound_and_read_in_their_order(
    folder: Path, small: None
) -> None:
    log = AuditLog(folder)
    for number in range(10, 75):
        log.append(record(number))
    assert versions(log) == [f"1.0.{number}" for number in range(40, 75)]
    assert len(list(folder.iterdir())) == 4


def test_changes_and_refusals_come_in_one_order(folder: Path) -> None:
    log = AuditLog(folder)
    for number in range(6):
        log.append(record(number, **({"result": "not_installed"} if number % 2 else {})))
    assert versions(log) == [f"1.0.{number}" for number in range(6)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_processes_lose_no_line_while_files_become_full(
    folder: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_log, "_MAX_CHANGES_FILES", 1000)
    processes, lines = 4, 100

    def write(process: int) -> None:
        log = AuditLog(folder)
        for number in range(lines):
            log.append(Record(ADA, "update", "ada", f"P{process}", None, f"{number:03}"))

    context = multiprocessing.get_context("fork")
    running = [context.Process(target=write, args=(number,)) for number in range(processes)]
    for process in running:
        process.start()
    for process in running:
        process.join(60)
    written = sorted((line["plugin"], line["to"]) for line in AuditLog(folder).records())
    assert written == [
        (f"P{process}", f"{number:03}") for process in range(processes) for number in range(lines)
    ]
    full = [path for path in folder.iterdir() if path.name != "changes.jsonl"]
    assert all(path.stat().st_size > 1000 for path in full), "a file was renamed before it was full"


@pytest.mark.parametrize(
    "rest",
    [
        b'{"time": "2026',
        b"\xff\xfe",
        b"[]\n",
        b"null\n",
        b'{"time":1}\n',
        b'{"time":"2026-01-01"}\n',
    ],
)
def test_a_line_that_was_cut_off_spoils_no_other(folder: Path, rest: bytes) -> None:
    log = AuditLog(folder)
    log.append(record(1))
    with (folder / "changes.jsonl").open("ab") as file:
        file.write(rest)
    log.append(record(2))
    assert versions(log) == ["1.0.1", "1.0.2"]


@pytest.mark.parametrize("obstacle", ["file", "link", "folder", "fifo"])
def test_what_cannot_be_written_is_said_once_until_it_can(
    folder: Path, obstacle: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = folder / "changes.jsonl"
    if obstacle == "file":
        path = folder
        folder.write_bytes(b"")
    else:
        folder.mkdir()
        target = folder.parent / "elsewhere"
        target.write_bytes(b"")
        if obstacle == "link":
            path.symlink_to(target)
        elif obstacle == "folder":
            path.mkdir()
        else:
            os.mkfifo(path)
    log = AuditLog(folder)
    with caplog.at_level(logging.WARNING):
        log.append(record(1))
        log.append(record(2))
        assert len(caplog.records) == 1
        assert "the audit log cannot be written, changes are not recorded" in caplog.text
        path.rmdir() if obstacle == "folder" else path.unlink()
        log.append(record(3))
        log.append(record(4))
    assert [one.message for one in caplog.records][1:] == ["audit records are written again"]
    assert versions(log) == ["1.0.3", "1.0.4"]
    if obstacle != "file":
        assert target.read_bytes() == b""


def test_a_command_is_by_the_user_of_the_operating_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert Author.of_command() == Author("root", "command")
    monkeypatch.setattr(os, "getuid", lambda: 987_654)
    assert Author.of_command() == Author("uid 987654", "command")
