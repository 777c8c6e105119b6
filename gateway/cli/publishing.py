"""`publish`: a plugin's files become a version that all users share."""

from pathlib import Path

import anyio
import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from gateway.changes import Change
from gateway.cli.parameters import SLUG, VERSION
from gateway.disk.storage import PluginStorage
from gateway.freshness.announcing import announcing
from gateway.lifecycle.publishing import publish as publish_version
from gateway.names import Slug, Version
from gateway.settings import Settings, load_settings


@click.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--slug", type=SLUG, help="Where plugin.json and package.json do not say it.")
@click.option("--version", type=VERSION, help="Where plugin.json and package.json do not say it.")
@click.pass_obj
def publish(
    config_file: Path | None, source: Path, slug: Slug | None, version: Version | None
) -> None:
    """Publishes a folder, .zip or .tar.gz: checked, encoded, and never changed afterwards.

    The same version again with the same content is nothing to do; with other content it is
    refused.
    """
    settings = load_settings(config_file)
    storage = PluginStorage(settings.plugins_dir)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:>9}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        tasks = {
            what: bars.add_task(what, total=None) for what in ("copying", "encoding", "writing")
        }

        def show(what: str, done: int, total: int) -> None:
            bars.update(tasks[what], completed=done, total=total)

        published = publish_version(
            storage,
            source,
            slug=slug,
            version=version,
            max_encoded_bytes=settings.cache.assets.max_file_bytes,
            progress=show,
        )
    names = f"{published.slug} {published.version}"
    if published.is_new:
        change = Change(slug=published.slug, version=published.version)
        anyio.run(_announce, settings, change)
        click.echo(f"published {names}, build {published.build}, {published.files} files")
    else:
        click.echo(f"{names} is there already with the same content, build {published.build}")


async def _announce(settings: Settings, change: Change) -> None:
    async with announcing(settings) as announce:
        announce(change)
