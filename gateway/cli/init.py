"""`init`: makes a new site."""

from pathlib import Path

import anyio
import click

from gateway.cli.examples import example
from gateway.cli.next_steps import next_steps
from gateway.settings import load_settings
from gateway.upkeep.new_secrets import add_secrets
from gateway.upkeep.new_site import CONFIG_NAME, install_triggers, make_site, refuse_checkout


@click.command(epilog=example("gateway init site --with-secret"))
@click.argument(
    "folder", default=".", metavar="[DIR]", type=click.Path(file_okay=False, path_type=Path)
)
@click.option(
    "--with-secret",
    is_flag=True,
    help="Make random keys of tokens and of signed URLs, where the configuration has none.",
)
@click.option(
    "--triggers",
    is_flag=True,
    help="Install triggers on both tables, by which PostgreSQL reports every change.",
)
@click.pass_obj
def init(config_file: Path | None, folder: Path, with_secret: bool, triggers: bool) -> None:
    """Makes config.toml, plugins/ and the database in DIR.

    Safe to run again: what exists stays as it is. Says which commands come next.
    """
    if with_secret:
        refuse_checkout(config_file or folder / CONFIG_NAME)
    lines = anyio.run(make_site, folder, config_file)
    config_file = config_file or folder / CONFIG_NAME
    if with_secret:
        lines = [*lines, *add_secrets(config_file)]
    click.echo("\n".join(lines))
    settings = load_settings(config_file)
    if triggers:
        anyio.run(install_triggers, settings)
        click.echo(f"made   triggers that notify '{settings.freshness.postgres_channel}'")
    click.echo()
    click.echo("\n".join(anyio.run(next_steps, settings, config_file)))
