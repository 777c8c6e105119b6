"""`gc`: removes versions that nobody needs any more."""

import time
from collections.abc import Collection, Sequence
from dataclasses import asdict

import anyio
import click
from anyio.to_thread import run_sync
from rich.console import Console
from rich.filesize import decimal

from gateway.cli.examples import example
from gateway.cli.parameters import pass_patient_site
from gateway.cli.reporting import echo_json
from gateway.disk.audit_log import Author, Record
from gateway.disk.storage import PluginStorage
from gateway.freshness.announcing import announcing
from gateway.lifecycle.garbage import DAY_S, Candidate, Collector, Fate
from gateway.settings import Settings
from gateway.upkeep.opening import opened_database


@click.command(epilog=example("gateway gc --apply"))
@click.option("--apply", is_flag=True, help="Remove the collectable versions.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@pass_patient_site
def gc(settings: Settings, apply: bool, as_json: bool) -> None:
    """Lists versions that no user has; --apply removes them.

    A version is collectable when lifecycle.retention_days have passed since its last row was
    removed, and nobody has requested its files lately. If that moment is not known, the days
    count from the first run that finds no row.
    """
    anyio.run(_collect, settings, apply, as_json)


async def _collect(settings: Settings, apply: bool, as_json: bool) -> None:
    async with announcing(settings) as announce:
        storage = PluginStorage(settings.plugins_dir)
        collector = Collector(settings, storage, announce, time.time)
        with Console(stderr=True).status("looking at versions"):
            async with opened_database(settings) as database:
                referred = await database.read_all_versions()
            candidates = await run_sync(lambda: list(collector.candidates(referred)))
        if not as_json:
            _show(candidates)
        removed: list[Candidate] = []
        if apply:
            author = Author.of_command()
            async for candidate in collector.collect(candidates):
                slug, version = candidate.slug, candidate.version
                storage.audit.append(Record(author, "gc", plugin=slug, before=version))
                removed.append(candidate)
                if not as_json:
                    click.echo(f"removed {slug} {version}")
        if as_json:
            _show_json(candidates, removed)
        elif not apply and _collectable_sizes(candidates):
            click.echo("nothing was removed: --apply does")


def _show(candidates: Sequence[Candidate]) -> None:
    for candidate in candidates:
        if candidate.fate is not Fate.REFERRED:
            days = candidate.retained_for_s / DAY_S
            fate = candidate.fate.value + (f" {days:.1f} days" if days else "")
            name = f"{candidate.slug} {candidate.version}"
            click.echo(f"{name:<40} {decimal(candidate.size_bytes):>10}  {fate}")
    sizes = _collectable_sizes(candidates)
    total = decimal(sum(sizes))
    click.echo(f"{len(candidates)} versions, {len(sizes)} of them collectable: {total}")


def _show_json(candidates: Sequence[Candidate], removed: Collection[Candidate]) -> None:
    """A line for each published version, also those that rows refer to."""
    for candidate in candidates:
        fate = candidate.fate.name.lower()
        echo_json({**asdict(candidate), "fate": fate, "removed": candidate in removed})
    sizes = _collectable_sizes(candidates)
    counts = {"versions": len(candidates), "collectable": len(sizes), "removed": len(removed)}
    echo_json({"summary": {**counts, "collectable_bytes": sum(sizes)}})


def _collectable_sizes(candidates: Sequence[Candidate]) -> list[int]:
    return [version.size_bytes for version in candidates if version.fate is Fate.COLLECTABLE]
