"""`audit`: who changed what, and what was refused."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from gateway.cli.parameters import SLUG, USER, Name, pass_settings
from gateway.cli.reporting import Columns, printable
from gateway.disk.storage import PluginStorage
from gateway.names import Slug, UserId
from gateway.settings import Settings
from gateway.upkeep.population import chunks_of

_DURATION = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_COLUMNS = ("time", "by", "via", "action", "user", "plugin", "from", "to", "result")


def _parse_since(text: object) -> datetime:
    """Raises: ValueError."""
    try:
        if match := _DURATION.fullmatch(str(text)):
            return datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
        moment = datetime.fromisoformat(str(text))
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r}: expected a date, a time in ISO 8601, or a duration such as 2h or 7d"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@click.command()
@click.option("--user", type=USER, metavar="ID", help="Only changes of what this user has.")
@click.option("--plugin", type=SLUG, metavar="SLUG", help="Only changes of this plugin.")
@click.option(
    "--since",
    type=Name("moment", _parse_since),
    metavar="WHEN",
    help="Only changes since a date or time (ISO 8601; UTC, unless it names a zone),"
    " or for as long as 30m, 2h, 7d.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@pass_settings
def audit(
    settings: Settings,
    user: UserId | None,
    plugin: Slug | None,
    since: datetime | None,
    as_json: bool,
) -> None:
    """Shows who changed what, when, and what was refused; the newest last."""
    wanted = {"user": user, "plugin": plugin}
    records = (
        record
        for record in PluginStorage(settings.plugins_dir).audit.records()
        if all(value in (None, record.get(name)) for name, value in wanted.items())
        and (since is None or _moment(record) >= since)
    )
    if as_json:
        for record in records:
            click.echo(json.dumps(record))
    else:
        _show(records)


def _moment(record: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(record["time"])


def _show(records: Iterator[dict[str, Any]]) -> None:
    columns = Columns(*_COLUMNS)
    for rows in chunks_of(records):
        columns.echo(
            [printable(str(record.get(name) or "-")) for name in _COLUMNS] for record in rows
        )
