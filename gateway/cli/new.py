"""`new`: a plugin to begin with."""

import shlex
from pathlib import Path

import click

from gateway.cli.examples import example
from gateway.cli.parameters import Name
from gateway.names import Slug
from gateway.upkeep.new_plugin import BUNDLERS, make_plugin, parse_plugin_name


@click.command(epilog=example("gateway new Notes --bundler vite"))
@click.argument("name", type=Name("name", parse_plugin_name))
@click.option(
    "--bundler",
    type=click.Choice(BUNDLERS),
    default=BUNDLERS[0],
    show_default=True,
    help="What builds it.",
)
@click.option(
    "--dir",
    "parent",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    show_default=True,
    help="Make its folder in this one.",
)
def new(name: Slug, bundler: str, parent: Path) -> None:
    """Makes a plugin to begin with, in the new folder NAME.

    NAME is the plugin's slug and the name of its first React component, such as NetworkReview.
    """
    folder = make_plugin(parent, name, bundler)
    click.echo(f"made {folder}, a plugin that npm builds with {bundler}. Next:\n")
    click.echo(f"    cd {shlex.quote(str(folder))}")
    click.echo("    npm install")
    click.echo("    npm run watch        builds it, now and after each change")
    click.echo(
        "    gateway dev .        in a second terminal: serves it, with a page that shows it"
    )
