"""`migrate`: makes installed_plugins.json files minimal, and restores them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path

import anyio
import click

from gateway.changes import Change
from gateway.cli.examples import example
from gateway.cli.parameters import pass_patient_site, user_option
from gateway.cli.reporting import echo_json, plural, progress, report_all
from gateway.disk.audit_log import Author, Record
from gateway.disk.storage import PluginStorage
from gateway.errors import ConfigurationError
from gateway.freshness.announcing import announcing
from gateway.names import UserId
from gateway.settings import Settings
from gateway.threads import in_threads
from gateway.upkeep.backups import Backup, RestoredFile, RestoreState, read_backup, restore
from gateway.upkeep.migration import CHANGES, REFUSALS, FileState, MigratedFile, Migration
from gateway.upkeep.opening import opened_site
from gateway.upkeep.population import chunks_of, users_with_rows, with_folders

_WORDS: Mapping[StrEnum, str] = {
    FileState.MADE_MINIMAL: "made minimal",
    FileState.WRITTEN: "written from the table",
    FileState.REFUSED: "refused",
    FileState.LEFT_ALONE: "left alone",
    FileState.CHANGED_MEANWHILE: "left alone",
    FileState.MINIMAL: "minimal already",
    RestoreState.RESTORED: "restored",
    RestoreState.AS_BEFORE: "as before the migration",
    RestoreState.CHANGED_SINCE: "left alone: changed since the migration",
    RestoreState.FAILED: "left alone",
}
_CHANGED = {*CHANGES, RestoreState.RESTORED}
_REFUSED = {*REFUSALS, RestoreState.CHANGED_SINCE, RestoreState.FAILED}


@click.command(epilog=example("gateway migrate --apply"))
@click.option(
    "--apply",
    is_flag=True,
    help="Change the files; without it the command only says what it would change.",
)
@click.option(
    "--restore",
    "backup_file",
    metavar="BACKUP",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Instead, restore the original files from this backup.",
)
@click.option(
    "--prefer",
    type=click.Choice(["database"]),
    help="Also drop values that contradict the database; without it such files stay as they are.",
)
@click.option(
    "--write-missing", is_flag=True, help="Write files for users who have rows but no file."
)
@user_option(required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@pass_patient_site
def migrate(
    settings: Settings,
    apply: bool,
    backup_file: Path | None,
    prefer: str | None,
    write_missing: bool,
    user: UserId | None,
    as_json: bool,
) -> None:
    """Makes users' JSON files minimal.

    Removes values that are copies of values in the database.

    Exit code 1 if a file was refused or left alone.
    """
    report = _Report(applied=apply, as_json=as_json)
    if backup_file is not None:
        if prefer or write_missing or user:
            raise click.UsageError("--restore goes with --apply and --json only")
        anyio.run(_restore, settings, backup_file, report)
    else:
        if write_missing:
            _require_denied(settings)
        anyio.run(_migrate, settings, report, prefer is not None, write_missing, user)
    report.close()


def _require_denied(settings: Settings) -> None:
    """Raises: ConfigurationError, if new files would take from users what is installed later."""
    if settings.access.missing_installations == "allow":
        raise ConfigurationError(
            'access.missing_installations: --write-missing is for "deny", this site has "allow":'
            " a file that exists decides, and plugins installed without it would not be served"
        )


class _Report:
    """Prints what was done with each file, and a summary."""

    def __init__(self, *, applied: bool, as_json: bool) -> None:
        self.applied = applied
        self._as_json = as_json
        self._counts: Counter[StrEnum] = Counter()
        self.backup: Path | None = None

    def add(self, file: MigratedFile | RestoredFile) -> None:
        self._counts[file.state] += 1
        if file.state in (FileState.MINIMAL, RestoreState.AS_BEFORE):
            return
        if self._as_json:
            echo_json(asdict(file))
            return
        for line in self._lines(file):
            click.echo(line)

    def close(self) -> None:
        """Prints the summary. Raises: SystemExit, if a file was refused or left alone."""
        if self._as_json:
            backup = None if self.backup is None else str(self.backup)
            summary = {"applied": self.applied, "backup": backup, "users": self._counts}
            echo_json({"summary": summary})
        else:
            counted = (
                f"{plural(count, 'user')} {self._words(state)}"
                for state, count in self._counts.items()
            )
            click.echo("; ".join(counted) or "no users with a file")
            if self.backup is not None:
                click.echo(f"originals: {self.backup} (gateway migrate --restore)")
            elif not self.applied:
                click.echo("nothing was written: a dry run, --apply does it")
        if any(self._counts[state] for state in _REFUSED):
            raise SystemExit(1)

    @property
    def has_changed(self) -> bool:
        """Whether a file was changed."""
        return self.applied and any(self._counts[state] for state in _CHANGED)

    def _words(self, state: StrEnum) -> str:
        is_plan = state in _CHANGED and not self.applied
        return f"would be {_WORDS[state]}" if is_plan else _WORDS[state]

    def _lines(self, file: MigratedFile | RestoredFile) -> list[str]:
        summary = f"user {file.user}: {self._words(file.state)}"
        if file.reason:
            summary += f": {file.reason}"
        if isinstance(file, RestoredFile):
            return [summary]
        details = [
            *(f"  {slug}: drops {', '.join(keys)}" for slug, keys in file.dropped.items()),
            *(
                f"  {slug}: moves {', '.join(keys)} into installation_metadata"
                for slug, keys in file.moved.items()
            ),
            *(f"  {slug}" for slug in file.wrote),
            *(f"  {contradiction}" for contradiction in file.contradictions),
        ]
        return [summary, *details]


async def _migrate(
    settings: Settings,
    report: _Report,
    prefer_database: bool,
    write_missing: bool,
    only: UserId | None,
) -> None:
    async with opened_site(settings) as (storage, database):
        backup = Backup(storage, "migrate", datetime.now(UTC)) if report.applied else None
        async with announcing(settings) as announce:
            migration = Migration(
                storage, database, backup=backup, prefer_database=prefer_database, announce=announce
            )
            count = 1 if only else sum(1 for _ in storage.users.ids())
            files = migration.minimise_files(with_folders(storage, only))
            await report_all("comparing", count, files, report.add)
            if write_missing:
                count = 1 if only else await database.count_users()
                files = migration.write_missing_files(users_with_rows(database, only))
                await report_all("writing", count, files, report.add)
        report.backup = None if backup is None else backup.written_path
        if report.backup is not None:
            _note_run(storage, "migrate", only, report.backup)


def _note_run(storage: PluginStorage, action: str, user: UserId | None, backup_file: Path) -> None:
    """One audit record for a run: the backup names the users whose files it changed."""
    storage.audit.append(Record(Author.of_command(), action, user, backup=backup_file.name))


async def _restore(settings: Settings, backup_file: Path, report: _Report) -> None:
    storage = PluginStorage(settings.plugins_dir)
    total = sum(1 for _ in read_backup(backup_file))
    put_back = partial(restore, storage, apply=report.applied)
    with progress("restoring", total) as advance:
        async with announcing(settings) as announce:
            for chunk in chunks_of(read_backup(backup_file)):
                for restored in await in_threads(put_back, chunk):
                    report.add(restored)
                    if restored.state is RestoreState.RESTORED and report.applied:
                        announce(Change(user=restored.user))
                advance(len(chunk))
    if report.has_changed:
        _note_run(storage, "restore", None, backup_file)
