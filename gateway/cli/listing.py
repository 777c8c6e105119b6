"""`list`: which user has which plugin."""

from collections.abc import AsyncIterator
from functools import cache

import anyio
import click

from gateway.cli.parameters import pass_settings, user_option
from gateway.cli.reporting import Columns
from gateway.core import Core
from gateway.database.records import PluginRecord
from gateway.database.survey import Survey
from gateway.disk.storage import PluginStorage
from gateway.names import UserId
from gateway.settings import Settings


@click.command("list")
@user_option(required=False)
@pass_settings
def list_(settings: Settings, user: UserId | None) -> None:
    """Lists which user has which plugin.

    Each row of the table is compared with the user's JSON file and the disk.
    """
    if not anyio.run(_list, settings, user):
        click.echo(f"no plugin rows{f' of user {user}' if user else ''}", err=True)


async def _list(settings: Settings, only: UserId | None) -> bool:
    """Returns whether there was a row to show."""
    core = Core(settings)
    columns = Columns("user", "plugin", "version", "enabled", "installed", "published")
    is_published = cache(_is_published)
    has_rows = False
    async with core.running(follow_changes=False):
        async for pairs in _records(core, only):
            users = list(dict.fromkeys(user for user, _ in pairs))
            installations = await core.lookups.file_reader.read_all(users)
            has_rows = True
            columns.echo(
                (
                    user,
                    record.slug,
                    record.version or "unusable",
                    _yes(record.enabled),
                    _yes(installations[user].allow(record.slug)),
                    _yes(is_published(core.storage, record)),
                )
                for user, record in pairs
            )
    return has_rows


async def _records(
    core: Core, only: UserId | None
) -> AsyncIterator[list[tuple[UserId, PluginRecord]]]:
    if only is None:
        async for pairs in Survey(core.database.tables).read_all_records():
            yield pairs
    else:
        records = (await core.database.read_records([only]))[only].by_slug
        if records:
            yield [(only, records[slug]) for slug in sorted(records)]


def _is_published(storage: PluginStorage, record: PluginRecord) -> bool:
    version = record.version
    return version is not None and storage.shared.is_published(record.slug, version)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
