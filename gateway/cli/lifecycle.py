"""`install`, `update`, `rollback`, `uninstall`, `enable`, `disable`: what one user has."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import click

from gateway.cli.parameters import SLUG, TEXT, VERSION, user_option
from gateway.disk.storage import PluginStorage
from gateway.freshness.announcing import announcing
from gateway.lifecycle.installing import Lifecycle, Outcome
from gateway.names import Slug, UserId, Version
from gateway.settings import load_settings

Command = Callable[[Lifecycle], Awaitable[Outcome]]

_slug = click.argument("slug", type=SLUG)
_user = user_option(required=True)


def _version(help_text: str) -> Callable[[Any], Any]:
    return click.option("--version", type=VERSION, help=help_text)


@click.command()
@_slug
@_user
@_version("Otherwise the newest published one.")
@click.option(
    "--source-url",
    type=TEXT,
    metavar="URL",
    help="Where the plugin came from, for the user's JSON.",
)
@click.pass_obj
def install(
    config_file: Path | None,
    slug: Slug,
    user: UserId,
    version: Version | None,
    source_url: str | None,
) -> None:
    """Gives a published plugin to a user."""
    metadata = {} if source_url is None else {"source_url": source_url}
    outcome = _run(config_file, lambda all_: all_.install(user, slug, version, metadata))
    _say(outcome, f"installed {slug} {outcome.version} for {user}")


@click.command()
@_slug
@_user
@_version("Otherwise the newest published one.")
@click.pass_obj
def update(config_file: Path | None, slug: Slug, user: UserId, version: Version | None) -> None:
    """Moves a user to another version of a plugin he has.

    Pages that are open go on loading the files of the old one.
    """
    outcome = _run(config_file, lambda all_: all_.update(user, slug, version))
    _say(outcome, f"updated {slug} of {user} from {outcome.previous_version} to {outcome.version}")


@click.command()
@_slug
@_user
@_version("Otherwise the one he had before.")
@click.pass_obj
def rollback(config_file: Path | None, slug: Slug, user: UserId, version: Version | None) -> None:
    """Moves a user back to an earlier version of a plugin."""
    outcome = _run(config_file, lambda all_: all_.rollback(user, slug, version))
    _say(
        outcome,
        f"rolled {slug} of {user} back from {outcome.previous_version} to {outcome.version}",
    )


@click.command()
@_slug
@_user
@click.pass_obj
def uninstall(config_file: Path | None, slug: Slug, user: UserId) -> None:
    """Takes a plugin, and the user's configuration of it, from a user."""
    outcome = _run(config_file, lambda all_: all_.uninstall(user, slug))
    name = " ".join(filter(None, (slug, outcome.previous_version)))
    _say(outcome, f"uninstalled {name} of {user}")


def _enabling(name: str, *, enabled: bool) -> click.Command:
    @click.command(name, help=f"{name.capitalize()}s a plugin that a user has.")
    @_slug
    @_user
    @click.pass_obj
    def command(config_file: Path | None, slug: Slug, user: UserId) -> None:
        outcome = _run(config_file, lambda all_: all_.set_enabled(user, slug, enabled=enabled))
        _say(outcome, f"{name}d {slug} {outcome.version} of {user}")

    return command


enable = _enabling("enable", enabled=True)
disable = _enabling("disable", enabled=False)


def _run(config_file: Path | None, command: Command) -> Outcome:
    settings = load_settings(config_file)
    storage = PluginStorage(settings.plugins_dir)

    async def run() -> Outcome:
        async with announcing(settings) as announce:
            return await command(Lifecycle(settings, storage, announce))

    return anyio.run(run)


def _say(outcome: Outcome, done: str) -> None:
    if outcome.changed:
        click.echo(done)
    else:
        click.echo(f"nothing to do: {outcome.user} has {outcome.slug} {outcome.version} like that")
