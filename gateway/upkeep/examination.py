"""An examination of a site as a process of its own: `python -m gateway.upkeep.examination`.

It is what `gateway doctor` does without --fix. It reads one line of JSON from standard input, as
endpoints/findings.py writes it, and ends when standard input ends, also by the death of whoever
started it. It writes lines of JSON to standard output:

    {"progress": {"part": "rows", "done": 500, "total": 1000}}
    {"finding": {"code": …, "severity": …, "text": …, "hint": …, "fixable": …, "user": …, …}}
    {"summary": {…}}    or    {"failed": {"detail": "…"}}    the last line

It writes no file but locks in `plugins/cache/`.
"""

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import orjson

from gateway.errors import GatewayError
from gateway.settings import Settings
from gateway.upkeep.doctor import Doctor, Part, count_site
from gateway.upkeep.findings import Finding
from gateway.upkeep.opening import opened_site

MOST_SHOWN = 100
"""Findings of each code that are written; the summary counts all."""
_PROGRESS_S = 0.25
_MAX_TEXT = 1000

Write = Callable[[str, Any], None]


class _Report:
    """Writes the findings, and counts them."""

    def __init__(self, write: Write, root: Path) -> None:
        self._write = write
        self._root = root
        self._counts: Counter[tuple[str, str]] = Counter()
        self._remaining = 0

    def add(self, finding: Finding) -> None:
        self._remaining += finding.remains
        kind = finding.code, finding.severity
        self._counts[kind] += 1
        if self._counts[kind] <= MOST_SHOWN:
            self._write("finding", self._shown(finding))

    def _shown(self, finding: Finding) -> Mapping[str, Any]:
        return {
            "code": finding.code,
            "severity": finding.severity,
            "text": without_root(finding.text, self._root)[:_MAX_TEXT],
            "hint": finding.hint,
            "fixable": finding.fixable,
            "user": finding.user,
            "slug": finding.slug,
            "version": finding.version,
        }

    def summary(self) -> Mapping[str, Any]:
        counts = [
            {
                "code": code,
                "severity": severity,
                "count": count,
                "shown": min(count, MOST_SHOWN),
            }
            for (code, severity), count in self._counts.items()
        ]
        return {"remaining": self._remaining, "counts": counts}


def without_root(text: str, root: Path) -> str:
    """The text with paths that begin at `plugins/`: whoever reads it over HTTP has no disk."""
    return text.replace(f"{root}{os.sep}", f"plugins{os.sep}").replace(str(root), "plugins")


async def examine(settings: Settings, write: Write) -> None:
    """Raises: GatewayError."""
    began_at = time.monotonic()
    async with opened_site(settings) as (storage, database):
        is_denied = settings.access.missing_installations == "deny"
        doctor = Doctor(storage, database, missing_is_denied=is_denied)
        totals = await count_site(storage, database)
        report = _Report(write, storage.root)
        for part in doctor.parts(totals):
            await _examine_part(part, report, write)
    duration_s = round(time.monotonic() - began_at, 3)
    write("summary", {**report.summary(), **totals, "duration_s": duration_s})


async def _examine_part(part: Part, report: _Report, write: Write) -> None:
    done, said_at = 0, 0.0

    def say() -> None:
        write("progress", {"part": part.name, "done": done, "total": part.total})

    say()
    async with aclosing(part.examined) as examined:
        async for step in examined:
            done += step.count
            for finding in step.reports:
                report.add(finding)
            if time.monotonic() - said_at > _PROGRESS_S:
                said_at = time.monotonic()
                say()
    say()


def _write_line(name: str, content: Any) -> None:
    line = orjson.dumps({name: content}, option=orjson.OPT_APPEND_NEWLINE)
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def _end_with_input() -> None:
    """Blocking."""
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    request = orjson.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()
    settings = Settings.model_validate(request["settings"]).based_at(Path(request["base"]))
    try:
        anyio.run(examine, settings, _write_line)
    except GatewayError as error:
        text = without_root(str(error), settings.plugins_dir)
        if settings.database_dialect == "sqlite":
            text = text.replace(str(settings.sqlite_file), settings.sqlite_file.name)
        _write_line("failed", {"detail": text[:_MAX_TEXT]})


if __name__ == "__main__":
    main()
