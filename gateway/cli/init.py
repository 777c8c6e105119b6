"""`init`: makes a new site."""

from pathlib import Path

import anyio
import click

from gateway.settings import load_settings
from gateway.upkeep.new_site import CONFIG_NAME, install_triggers, make_site


@click.command()
@click.argument(
    "folder", default=".", metavar="[DIR]", type=click.Path(file_okay=False, path_type=Path)
)
@click.option(
    "--triggers",
    is_flag=True,
    help="Install triggers on both tables, by which PostgreSQL reports every change.",
)
@click.pass_obj
def init(config_file: Path | None, folder: Path, triggers: bool) -> None:
    """Makes config.toml, plugins/ and the database in DIR.

    Safe to run again: what exists stays as it is.
    """
    for line in anyio.run(make_site, folder, config_file):
        click.echo(line)
    if triggers:
        settings = load_settings(config_file or folder / CONFIG_NAME)
        anyio.run(install_triggers, settings)
        click.echo(f"made   triggers that notify '{settings.freshness.postgres_channel}'")
