"""`list`: which user has which plugin."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache

import anyio
import click

from gateway.cli.examples import example
from gateway.cli.parameters import pass_site, user_option
from gateway.cli.reporting import Columns, echo_json
from gateway.core import Core
from gateway.database.records import PluginRecord
from gateway.database.survey import Survey
from gateway.disk.storage import PluginStorage
from gateway.identity.chain import NO_CREDENTIALS
from gateway.names import Slug, UserId, Version
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class _Holding:
    """One row of the table, compared with the user's JSON file and the disk."""

    user: UserId
    plugin: Slug
    version: Version | None
    """None: no folder can have the name."""
    enabled: bool
    installed: bool
    published: bool

    @property
    def cells(self) -> Sequence[str]:
        facts = ("yes" if it else "no" for it in (self.enabled, self.installed, self.published))
        return (self.user, self.plugin, self.version or "unusable", *facts)


@click.command("list", epilog=example("gateway list --user ada"))
@user_option(required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@pass_site
def list_(settings: Settings, user: UserId | None, as_json: bool) -> None:
    """Lists which user has which plugin.

    Each row of the table is compared with the user's JSON file and the disk.
    """
    columns = Columns("user", "plugin", "version", "enabled", "installed", "published")

    def show(holdings: Sequence[_Holding]) -> None:
        if not as_json:
            columns.echo(holding.cells for holding in holdings)
            return
        for holding in holdings:
            echo_json(asdict(holding))

    count = anyio.run(_list, settings, user, show)
    if as_json:
        echo_json({"summary": {"rows": count}})
    elif not count:
        click.echo(f"no plugin rows{f' of user {user}' if user else ''}", err=True)


async def _list(
    settings: Settings, only: UserId | None, show: Callable[[Sequence[_Holding]], None]
) -> int:
    """Shows the rows in parts, as they may not all fit into memory. Returns their number."""
    core = Core(settings, NO_CREDENTIALS)
    is_published = cache(_is_published)
    count = 0
    async with core.running(follow_changes=False):
        async for pairs in _records(core, only):
            users = list(dict.fromkeys(user for user, _ in pairs))
            installations = await core.lookups.file_reader.read_all(users)
            count += len(pairs)
            show(
                [
                    _Holding(
                        user,
                        record.slug,
                        record.version,
                        record.enabled,
                        installations[user].allow(record.slug),
                        is_published(core.storage, record),
                    )
                    for user, record in pairs
                ]
            )
    return count


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
