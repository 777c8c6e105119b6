"""`init`, `check`, `list`: a site, made and looked at."""

from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path

import anyio
import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.cli.parameters import user_option
from gateway.cli.tables import Columns
from gateway.core import Core
from gateway.database.tables import PluginRecord
from gateway.disk.storage import PluginStorage
from gateway.names import UserId
from gateway.settings import Settings, load_settings
from gateway.threads import threads
from gateway.upkeep.checks import Finding, Level
from gateway.upkeep.checks import check as check_site
from gateway.upkeep.site import CONFIG_NAME, install_triggers, make_site

_MARKS = {
    Level.OK: "[green]ok[/green]",
    Level.WARNING: "[yellow]warning[/yellow]",
    Level.ERROR: "[red]error[/red]",
}


@click.command()
@click.argument(
    "folder", default=".", metavar="[DIR]", type=click.Path(file_okay=False, path_type=Path)
)
@click.option(
    "--triggers", is_flag=True, help="Make PostgreSQL tell of changes, by triggers on both tables."
)
@click.pass_obj
def init(config_file: Path | None, folder: Path, triggers: bool) -> None:
    """Makes config.toml, plugins/ and the database in DIR. Again without harm."""
    for line in anyio.run(make_site, folder, config_file):
        click.echo(line)
    if triggers:
        settings = load_settings(config_file or folder / CONFIG_NAME)
        anyio.run(install_triggers, settings)
        click.echo(f"made   triggers that notify '{settings.freshness.postgres_channel}'")


@click.command()
@click.pass_obj
def check(config_file: Path | None) -> None:
    """Configuration, database and storage: what would stop the site from serving.

    Exit code 1 if something would.
    """
    settings = load_settings(config_file)
    findings = anyio.run(_collect, settings)
    console = Console()
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in findings:
        hint = f"\n[dim]{escape(finding.hint)}[/dim]" if finding.hint else ""
        table.add_row(_MARKS[finding.level], finding.subject, escape(finding.text) + hint)
    console.print(table)
    if any(finding.level is Level.ERROR for finding in findings):
        raise SystemExit(1)


async def _collect(settings: Settings) -> list[Finding]:
    return [finding async for finding in check_site(settings)]


@click.command("list")
@user_option(required=False)
@click.pass_obj
def list_(config_file: Path | None, user: UserId | None) -> None:
    """Who has what: rows of the table, held against the JSON files and the disk."""
    if not anyio.run(_list, load_settings(config_file), user):
        click.echo(f"no plugin rows{f' of user {user}' if user else ''}", err=True)


async def _list(settings: Settings, only: UserId | None) -> bool:
    """False: there is nothing to show."""
    core = Core(settings)
    columns = Columns("user", "plugin", "version", "enabled", "installed", "published")
    published = cache(_is_published)
    found = False
    async with core.running(follow_changes=False), threads() as in_threads:
        async for pairs in _records(core, only):
            users = list(dict.fromkeys(user for user, _ in pairs))
            installations = await core.lookups.file_reader.read_all(users, in_threads)
            found = True
            columns.echo(
                (
                    user,
                    record.slug,
                    record.version or "unusable",
                    _yes(record.enabled),
                    _yes(installations[user].allow(record.slug)),
                    _yes(published(core.storage, record)),
                )
                for user, record in pairs
            )
    return found


async def _records(
    core: Core, only: UserId | None
) -> AsyncIterator[list[tuple[UserId, PluginRecord]]]:
    if only is None:
        async for pairs in core.database.read_all_records():
            yield pairs
    else:
        records = (await core.database.read_records([only]))[only].by_slug
        if records:
            yield [(only, records[slug]) for slug in sorted(records)]


def _is_published(storage: PluginStorage, record: PluginRecord) -> bool:
    version = record.version
    return version is not None and storage.is_published(record.slug, version)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
