"""`audit`: who changed what, and what was refused."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import click

from gateway.cli.examples import example
from gateway.cli.parameters import SLUG, USER, Name, pass_site
from gateway.cli.reporting import Columns
from gateway.disk.audit_query import AuditQuery, parse_since
from gateway.disk.storage import PluginStorage
from gateway.names import Slug, UserId, printable
from gateway.settings import Settings
from gateway.upkeep.population import chunks_of

_COLUMNS = ("time", "by", "via", "action", "user", "plugin", "from", "to", "result")


@click.command(epilog=example("gateway audit --user ada --since 7d"))
@click.option("--user", type=USER, metavar="ID", help="Only changes of what this user has.")
@click.option("--plugin", type=SLUG, metavar="SLUG", help="Only changes of this plugin.")
@click.option(
    "--since",
    type=Name("moment", parse_since),
    metavar="WHEN",
    help="Only changes since a date or time (ISO 8601; UTC, unless it names a zone),"
    " or for as long as 30m, 2h, 7d.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@pass_site
def audit(
    settings: Settings,
    user: UserId | None,
    plugin: Slug | None,
    since: datetime | None,
    as_json: bool,
) -> None:
    """Shows who changed what, and what was refused.

    The oldest entry is the first.
    """
    log = PluginStorage(settings.plugins_dir).audit
    records = AuditQuery(user, plugin, since).records(log)
    if as_json:
        for record in records:
            click.echo(json.dumps(record))
    else:
        _show(records)


def _show(records: Iterator[dict[str, Any]]) -> None:
    columns = Columns(*_COLUMNS)
    for rows in chunks_of(records):
        columns.echo(
            [printable(str(record.get(name) or "-")) for name in _COLUMNS] for record in rows
        )
