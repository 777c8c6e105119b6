"""`doctor`: database, JSON files and shared/ held against each other."""

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import anyio
import click
from rich.console import Console
from rich.markup import escape

from gateway.cli.opening import PATIENCE, opened_site
from gateway.cli.reporting import echo_json, plural, progress
from gateway.errors import ConfigurationError
from gateway.freshness.announcing import announcing
from gateway.settings import Settings, load_settings
from gateway.upkeep.backups import Backup
from gateway.upkeep.doctor import Doctor, Examined, shared_folders
from gateway.upkeep.findings import Code, Finding, Severity

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}
# A site where everybody has the same problem is not told 100,000 times; --json tells all.
_MOST_SHOWN = 10


@click.command()
@click.option("--fix", is_flag=True, help="Mend what can be mended without losing anything.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def doctor(config_file: Path | None, fix: bool, as_json: bool) -> None:
    """Holds database, JSON files and shared/ against each other.

    Exit code 1 if a problem remains; notes are none.
    """
    report = _Report(as_json=as_json)
    anyio.run(_examine, load_settings(config_file, overrides=PATIENCE), fix, report)
    report.close()


async def _examine(settings: Settings, fix: bool, report: "_Report") -> None:
    async with opened_site(settings) as (storage, database):
        backup = Backup(storage, "doctor", datetime.now(UTC)) if fix else None
        async with announcing(settings) as announce:
            doctor = Doctor(
                storage,
                database,
                missing_is_denied=settings.access.missing_installations == "deny",
                backup=backup,
                announce=announce,
            )
            folders = sum(1 for _ in storage.user_folders())
            users = await database.count_users()
            if fix and folders and not users:
                raise ConfigurationError(
                    f"database.url: no user has a row, and {plural(folders, 'user')} have folders:"
                    " is it the right database? --fix would take all entries from them"
                )
            versions = sum(1 for _ in shared_folders(storage))
            await _say_all(report, "JSON files", folders, doctor.examine_files())
            await _say_all(report, "rows", users, doctor.examine_rows())
            await _say_all(report, "modules", None, doctor.examine_modules())
            await _say_all(report, "versions", versions, doctor.examine_versions())
            await _say_all(report, "staging", None, doctor.examine_staging())
        report.looked_at = {"folders": folders, "users": users, "versions": versions}
        report.backup = backup.path if backup is not None and backup.is_made else None


async def _say_all(
    report: "_Report", what: str, total: int | None, examined: AsyncGenerator[Examined, None]
) -> None:
    with progress(what, total) as advance:
        async with aclosing(examined):
            async for part in examined:
                for finding in part.findings:
                    report.say(finding)
                advance(part.count)


class _Report:
    """Findings: at once for machines, by code and shortened for people."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._shown: dict[tuple[Severity, Code], list[Finding]] = {}
        self._counts: Counter[tuple[Severity, Code]] = Counter()
        self._fixed = self._remaining = 0
        self.looked_at: dict[str, int] = {}
        self.backup: Path | None = None

    def say(self, finding: Finding) -> None:
        self._fixed += finding.fixed
        self._remaining += finding.remains
        if self._as_json:
            echo_json(asdict(finding))
            return
        group = finding.severity, finding.code
        self._counts[group] += 1
        shown = self._shown.setdefault(group, [])
        if len(shown) < _MOST_SHOWN:
            shown.append(finding)

    def close(self) -> None:
        """The summary. Raises: SystemExit, if a problem remains."""
        if self._as_json:
            backup = None if self.backup is None else str(self.backup)
            summary = {"remaining": self._remaining, "fixed": self._fixed, "backup": backup}
            echo_json({"summary": {**self.looked_at, **summary}})
        else:
            self._show()
        if self._remaining:
            raise SystemExit(1)

    def _show(self) -> None:
        console = Console(soft_wrap=True, highlight=False)
        order = list(Severity)
        for group in sorted(self._shown, key=lambda group: (order.index(group[0]), group[1])):
            severity, code = group
            shown, count = self._shown[group], self._counts[group]
            console.print(f"[{_COLOURS[severity]}]{severity:<7}[/]  [bold]{code}[/]  {count:,}")
            for finding in shown:
                console.print(f"    {escape(finding.text)}{'  (fixed)' if finding.fixed else ''}")
            if count > len(shown):
                console.print(f"    … and {count - len(shown):,} more (--json lists all)")
            if shown[0].hint:
                console.print(f"    [dim]{escape(shown[0].hint)}[/]")
        counted = ", ".join(plural(self.looked_at[name], name[:-1]) for name in self.looked_at)
        remaining = plural(self._remaining, "problem") if self._remaining else "no problems"
        fixed = f", {self._fixed:,} fixed" if self._fixed else ""
        console.print(f"looked at {counted}: {remaining}{fixed}")
        if self.backup is not None:
            console.print(f"originals: {escape(str(self.backup))} (gateway migrate --restore)")
