"""`migrate`: installed_plugins.json files made minimal, and back again."""

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path

import anyio
import click

from gateway.changes import Change
from gateway.cli.opening import PATIENCE, opened_site
from gateway.cli.parameters import user_option
from gateway.cli.reporting import echo_json, plural, progress
from gateway.disk.storage import PluginStorage
from gateway.freshness.announcing import announcing
from gateway.names import UserId
from gateway.settings import Settings, load_settings
from gateway.threads import threads
from gateway.upkeep.backups import (
    Backup,
    Restored,
    Restoring,
    count_originals,
    read_backup,
    restore,
)
from gateway.upkeep.migration import REFUSALS, Chunk, Migration, Outcome, State
from gateway.upkeep.population import chunks_of, users_with_rows, with_folders

_WORDS: dict[StrEnum, tuple[str, str]] = {
    State.MADE_MINIMAL: ("made minimal", "would be made minimal"),
    State.WRITTEN: ("written from the table", "would be written from the table"),
    State.REFUSED: ("refused", "refused"),
    State.LEFT_ALONE: ("left alone", "left alone"),
    State.CHANGED_MEANWHILE: ("left alone", "left alone"),
    State.MINIMAL: ("minimal already", "minimal already"),
    Restoring.RESTORED: ("restored", "would be restored"),
    Restoring.AS_BEFORE: ("as before the migration", "as before the migration"),
    Restoring.CHANGED_SINCE: (
        "left alone: changed since the migration",
        "left alone: changed since the migration",
    ),
    Restoring.FAILED: ("left alone", "left alone"),
}
"""Of a state: what was done, and what a dry run says of it."""


@click.command()
@click.option("--apply", is_flag=True, help="Do it; otherwise only say what would be done.")
@click.option(
    "--restore",
    "backup_file",
    metavar="BACKUP",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Put the originals of this backup back instead.",
)
@click.option(
    "--prefer",
    type=click.Choice(["database"]),
    help="Also drop values that contradict the database; otherwise their files are left alone.",
)
@click.option(
    "--write-missing", is_flag=True, help="Write files for users who have rows but no file."
)
@user_option(required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def migrate(
    config_file: Path | None,
    apply: bool,
    backup_file: Path | None,
    prefer: str | None,
    write_missing: bool,
    user: UserId | None,
    as_json: bool,
) -> None:
    """Makes users' JSON files minimal: what the database says too leaves them.

    Exit code 1 if a file was refused or left alone.
    """
    settings = load_settings(config_file, overrides=PATIENCE)
    report = _Report(applied=apply, as_json=as_json)
    if backup_file is not None:
        if prefer or write_missing or user:
            raise click.UsageError("--restore goes with --apply and --json only")
        anyio.run(_restore, settings, backup_file, report)
    else:
        anyio.run(_migrate, settings, report, prefer is not None, write_missing, user)
    report.close()


class _Report:
    """Says what became of each user, and at the end of all."""

    def __init__(self, *, applied: bool, as_json: bool) -> None:
        self.applied = applied
        self._as_json = as_json
        self._counts: Counter[StrEnum] = Counter()
        self.backup: Path | None = None

    def say(self, outcome: Outcome | Restored) -> None:
        self._counts[outcome.state] += 1
        if outcome.state in (State.MINIMAL, Restoring.AS_BEFORE):
            return
        if self._as_json:
            echo_json(asdict(outcome))
            return
        for line in self._lines(outcome):
            click.echo(line)

    def close(self) -> None:
        """The summary. Raises: SystemExit, if something was refused."""
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
        refused = {*REFUSALS, Restoring.CHANGED_SINCE, Restoring.FAILED}
        if any(self._counts[state] for state in refused):
            raise SystemExit(1)

    def _words(self, state: StrEnum) -> str:
        done, would = _WORDS[state]
        return done if self.applied else would

    def _lines(self, outcome: Outcome | Restored) -> list[str]:
        said = f"user {outcome.user}: {self._words(outcome.state)}"
        if outcome.reason:
            said += f": {outcome.reason}"
        if isinstance(outcome, Restored):
            return [said]
        details = [
            *(f"  {slug}: drops {', '.join(keys)}" for slug, keys in outcome.dropped.items()),
            *(
                f"  {slug}: moves {', '.join(keys)} into installation_metadata"
                for slug, keys in outcome.moved.items()
            ),
            *(f"  {slug}" for slug in outcome.wrote),
            *(f"  {contradiction}" for contradiction in outcome.contradictions),
        ]
        return [said, *details]


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
                storage,
                database,
                backup=backup,
                prefer_database=prefer_database,
                announce=announce,
            )
            count = 1 if only else sum(1 for _ in storage.users_with_folder())
            await _say_all(
                report,
                "comparing",
                count,
                migration.minimise_files(with_folders(storage, only)),
            )
            if write_missing:
                await _say_all(
                    report,
                    "writing",
                    1 if only else await database.count_users(),
                    migration.write_missing_files(users_with_rows(database, only)),
                )
        report.backup = backup.path if backup is not None and backup.is_made else None


async def _say_all(
    report: _Report, what: str, total: int, chunks: AsyncGenerator[Chunk, None]
) -> None:
    with progress(what, total) as advance:
        async with aclosing(chunks):
            async for chunk in chunks:
                for outcome in chunk.outcomes:
                    report.say(outcome)
                advance(chunk.users)


async def _restore(settings: Settings, backup_file: Path, report: _Report) -> None:
    storage = PluginStorage(settings.plugins_dir)
    total = count_originals(backup_file)
    put_back = partial(restore, storage, apply=report.applied)
    with progress("restoring", total) as advance:
        async with announcing(settings) as announce, threads() as in_threads:
            for chunk in chunks_of(read_backup(backup_file)):
                for restored in await in_threads(put_back, chunk):
                    report.say(restored)
                    if restored.state is Restoring.RESTORED and report.applied:
                        announce(Change(user=restored.user))
                advance(len(chunk))
