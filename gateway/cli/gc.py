"""`gc`: versions that nobody needs any more."""

import time
from collections.abc import Sequence
from pathlib import Path

import anyio
import click
from rich.console import Console
from rich.filesize import decimal

from gateway.cli.opening import PATIENCE, opened_database
from gateway.disk.storage import PluginStorage
from gateway.freshness.announcing import announcing
from gateway.lifecycle.garbage import DAY_S, Candidate, Collector, Fate
from gateway.settings import Settings, load_settings


@click.command()
@click.option("--apply", is_flag=True, help="Remove them; otherwise they are only named.")
@click.pass_obj
def gc(config_file: Path | None, apply: bool) -> None:
    """Versions that no row refers to, past lifecycle.retention_days, asked for by nobody.

    A version that was never seen without a reference is retained from this run on.
    """
    anyio.run(_gc, load_settings(config_file, overrides=PATIENCE), apply)


async def _gc(settings: Settings, apply: bool) -> None:
    storage = PluginStorage(settings.plugins_dir)
    async with announcing(settings) as announce:
        await _collect(settings, Collector(settings, storage, announce, time.time), apply)


async def _collect(settings: Settings, collector: Collector, apply: bool) -> None:
    with Console(stderr=True).status("looking at versions"):
        async with opened_database(settings) as database:
            referred = await database.read_all_versions()
        found = await anyio.to_thread.run_sync(lambda: list(collector.candidates(referred)))
    _show(found)
    if apply:
        async for candidate in collector.collect(found):
            click.echo(f"removed {candidate.slug} {candidate.version}")
    elif any(candidate.fate is Fate.COLLECTABLE for candidate in found):
        click.echo("nothing was removed: --apply does")


def _show(found: Sequence[Candidate]) -> None:
    for candidate in found:
        if candidate.fate is not Fate.REFERRED:
            kept = f" {candidate.retained_for_s / DAY_S:.1f} days" * bool(candidate.retained_for_s)
            name = f"{candidate.slug} {candidate.version}"
            click.echo(
                f"{name:<40} {decimal(candidate.size_bytes):>10}  {candidate.fate.value}{kept}"
            )
    sizes = [one.size_bytes for one in found if one.fate is Fate.COLLECTABLE]
    click.echo(f"{len(found)} versions, {len(sizes)} of them collectable: {decimal(sum(sizes))}")
