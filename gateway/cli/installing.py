"""`install`, `update`, `rollback`, `uninstall`, `enable`, `disable`: change what one user has."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import click

from gateway.cli.examples import example
from gateway.cli.parameters import SLUG, SOURCE_URL, VERSION, pass_site, user_option
from gateway.disk.audit_log import Author
from gateway.disk.storage import PluginStorage
from gateway.errors import ConfigurationError, SourceUnavailable
from gateway.freshness.announcing import announcing
from gateway.lifecycle.installing import Lifecycle, Outcome
from gateway.names import Slug, UserId, Version, newest_version
from gateway.settings import Settings
from gateway.upkeep.new_site import is_of_application

Command = Callable[[Lifecycle, Author], Awaitable[Outcome]]

_OF_AN_APPLICATION = "note: an application owns this database; this changed its rows"

_slug = click.argument("slug", type=SLUG)
_user = user_option(required=True)


def _version(help_text: str) -> Callable[[Any], Any]:
    return click.option("--version", type=VERSION, help=help_text)


@click.command(epilog=example("gateway install NetworkReview --user ada"))
@_slug
@_user
@_version("The version; by default the newest published one.")
@click.option(
    "--source-url",
    type=SOURCE_URL,
    metavar="URL",
    help="Where the plugin came from, http or https; written into the user's JSON file.",
)
@pass_site
def install(
    settings: Settings, slug: Slug, user: UserId, version: Version | None, source_url: str | None
) -> None:
    """Gives a published plugin to a user."""
    metadata = {} if source_url is None else {"source_url": source_url}
    outcome = _run(
        settings, lambda lifecycle, by: lifecycle.install(user, slug, version, metadata, by=by)
    )
    if not outcome.changed and version is None:
        _echo_newer(settings, outcome)
    else:
        _echo(outcome, f"installed {slug} {outcome.version} for {user}")


def _echo_newer(settings: Settings, outcome: Outcome) -> None:
    """Without a version, `install` means the newest one, but leaves the one that the user has."""
    held = Version(str(outcome.version))
    published = PluginStorage(settings.plugins_dir).shared.versions_of(outcome.slug)
    newest = newest_version({*published, held})
    if newest == held:
        _echo(outcome, "")
    else:
        has = f"{outcome.user} has {outcome.slug} {held}"
        click.echo(f"nothing was changed: {has}, gateway update moves them to {newest}")


@click.command(epilog=example("gateway update NetworkReview --user ada"))
@_slug
@_user
@_version("The version; by default the newest published one.")
@pass_site
def update(settings: Settings, slug: Slug, user: UserId, version: Version | None) -> None:
    """Moves a user to another version of a plugin.

    Pages that are open continue to load the files of the old version.
    """
    outcome = _run(settings, lambda lifecycle, by: lifecycle.update(user, slug, version, by=by))
    _echo(outcome, f"updated {slug} of {user} from {outcome.previous_version} to {outcome.version}")


@click.command(epilog=example("gateway rollback NetworkReview --user ada"))
@_slug
@_user
@_version("The version; by default the one that the user had before.")
@pass_site
def rollback(settings: Settings, slug: Slug, user: UserId, version: Version | None) -> None:
    """Moves a user back to an earlier version of a plugin."""
    outcome = _run(settings, lambda lifecycle, by: lifecycle.rollback(user, slug, version, by=by))
    _echo(
        outcome,
        f"rolled {slug} of {user} back from {outcome.previous_version} to {outcome.version}",
    )


@click.command(epilog=example("gateway uninstall NetworkReview --user ada"))
@_slug
@_user
@pass_site
def uninstall(settings: Settings, slug: Slug, user: UserId) -> None:
    """Takes a plugin from a user, with their configuration of it."""
    outcome = _run(settings, lambda lifecycle, by: lifecycle.uninstall(user, slug, by=by))
    name = " ".join(filter(None, (slug, outcome.previous_version)))
    _echo(outcome, f"uninstalled {name} of {user}")


def _enabling(name: str, *, enabled: bool) -> click.Command:
    @click.command(
        name,
        help=f"{name.capitalize()}s a plugin that a user has.",
        epilog=example(f"gateway {name} NetworkReview --user ada"),
    )
    @_slug
    @_user
    @pass_site
    def command(settings: Settings, slug: Slug, user: UserId) -> None:
        outcome = _run(
            settings,
            lambda lifecycle, by: lifecycle.set_enabled(user, slug, enabled=enabled, by=by),
        )
        _echo(outcome, f"{name}d {slug} {outcome.version} of {user}", f"{name}d")

    return command


enable = _enabling("enable", enabled=True)
disable = _enabling("disable", enabled=False)


def _run(settings: Settings, command: Command) -> Outcome:
    storage = PluginStorage(settings.plugins_dir)

    async def run() -> Outcome:
        async with announcing(settings) as announce:
            outcome = await command(Lifecycle(settings, storage, announce), Author.of_command())
        with suppress(ConfigurationError, SourceUnavailable):  # the change is committed
            if outcome.changed and await is_of_application(settings):
                click.echo(_OF_AN_APPLICATION, err=True)
        return outcome

    return anyio.run(run)


def _echo(outcome: Outcome, done: str, state: str = "") -> None:
    """`state`: what enabling or disabling makes of the plugin; it may be so already."""
    if outcome.changed:
        click.echo(done)
    else:
        parts = (f"{outcome.user} already has {outcome.slug} {outcome.version}", state)
        click.echo(f"nothing to do: {', '.join(filter(None, parts))}")
