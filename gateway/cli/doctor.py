"""`doctor`: compares database, JSON files and shared/."""

from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import anyio
import click
from rich.console import Console
from rich.markup import escape

from gateway.cli.examples import example
from gateway.cli.parameters import pass_patient_site
from gateway.cli.reporting import echo_json, plural, report_all
from gateway.disk.audit_log import Author, Record
from gateway.errors import ConfigurationError
from gateway.freshness.announcing import announcing
from gateway.settings import Settings
from gateway.upkeep.backups import Backup
from gateway.upkeep.doctor import Doctor, count_site
from gateway.upkeep.findings import Code, Finding, Severity
from gateway.upkeep.opening import opened_site

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}
# On some sites all users have the same problem. --json lists each of them.
_MOST_SHOWN = 10


@click.command(epilog=example("gateway doctor --fix"))
@click.option("--fix", is_flag=True, help="Mend what can be mended without losing anything.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@pass_patient_site
def doctor(settings: Settings, fix: bool, as_json: bool) -> None:
    """Compares database, JSON files and shared/ with each other.

    Exit code 1 if a problem remains; notes are not problems.
    """
    report = _Report(as_json=as_json)
    anyio.run(_examine, settings, fix, report)
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
            totals = await count_site(storage, database)
            if fix:
                _refuse_without_rows(totals)
            for part in doctor.parts(totals):
                await report_all(*part, report.add)
        report.totals = totals
        report.backup = None if backup is None else backup.written_path
        if report.fixed:
            name = None if report.backup is None else report.backup.name
            storage.audit.append(Record(Author.of_command(), "doctor", backup=name))


def _refuse_without_rows(totals: dict[str, int]) -> None:
    """Raises: ConfigurationError, if --fix would take all plugins from everybody."""
    if totals["folders"] and not totals["users"]:
        raise ConfigurationError(
            f"database.url: no user has a row, and {plural(totals['folders'], 'user')} have"
            " folders: is it the right database? --fix would take all entries from them"
        )


class _Report:
    """Prints findings: as JSON at once, as text at the end, grouped by code and shortened."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._shown: dict[tuple[Severity, Code], list[Finding]] = {}
        self._counts: Counter[tuple[Severity, Code]] = Counter()
        self.fixed = self._remaining = 0
        self.totals: dict[str, int] = {}
        self.backup: Path | None = None

    def add(self, finding: Finding) -> None:
        self.fixed += finding.fixed
        self._remaining += finding.remains
        if self._as_json:
            echo_json(asdict(finding))
            return
        group = finding.severity, finding.code
        self._counts[group] += 1
        findings = self._shown.setdefault(group, [])
        if len(findings) < _MOST_SHOWN:
            findings.append(finding)

    def close(self) -> None:
        """Prints the summary. Raises: SystemExit, if a problem remains."""
        if self._as_json:
            backup = None if self.backup is None else str(self.backup)
            summary = {"remaining": self._remaining, "fixed": self.fixed, "backup": backup}
            echo_json({"summary": {**self.totals, **summary}})
        else:
            self._show()
        if self._remaining:
            raise SystemExit(1)

    def _show(self) -> None:
        console = Console(soft_wrap=True, highlight=False)
        order = list(Severity)
        for group in sorted(self._shown, key=lambda group: (order.index(group[0]), group[1])):
            severity, code = group
            findings, count = self._shown[group], self._counts[group]
            console.print(f"[{_COLOURS[severity]}]{severity:<7}[/]  [bold]{code}[/]  {count:,}")
            for finding in findings:
                console.print(f"    {escape(finding.text)}{'  (fixed)' if finding.fixed else ''}")
            if count > len(findings):
                console.print(f"    … and {count - len(findings):,} more (--json lists all)")
            if findings[0].hint:
                console.print(f"    [dim]{escape(findings[0].hint)}[/]")
        counted = ", ".join(plural(count, name[:-1]) for name, count in self.totals.items())
        remaining = plural(self._remaining, "problem") if self._remaining else "no problems"
        fixed = f", {self.fixed:,} fixed" if self.fixed else ""
        console.print(f"looked at {counted}: {remaining}{fixed}")
        if self.backup is not None:
            console.print(f"originals: {escape(str(self.backup))} (gateway migrate --restore)")
