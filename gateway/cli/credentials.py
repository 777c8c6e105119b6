"""`token`, `sign`: credentials for one user."""

import time
from contextlib import suppress

import anyio
import click

from gateway.cli.examples import example
from gateway.cli.parameters import SLUG, pass_site, user_option
from gateway.errors import ConfigurationError, SourceUnavailable
from gateway.identity.jwt import issue_token
from gateway.identity.signed import sign_path
from gateway.names import Slug, UserId
from gateway.settings import Settings
from gateway.upkeep.opening import opened_database


@click.command(
    epilog=example(
        'curl -H "Authorization: Bearer $(gateway token --user ada)"'
        " http://127.0.0.1:8000/api/v1/plugins/manifest"
    )
)
@user_option(required=True)
@click.option(
    "--ttl",
    default=3600,
    show_default=True,
    type=click.IntRange(1),
    help="Lifetime of the token, in seconds.",
)
@pass_site
def token(settings: Settings, user: UserId, ttl: int) -> None:
    """Prints a bearer token for a user."""
    click.echo(issue_token(settings, user, ttl, time.time()))


@click.command(
    epilog=example(
        'curl "http://127.0.0.1:8000$(gateway sign --user ada NetworkReview)dist/remoteEntry.js"'
    )
)
@user_option(required=True)
@click.argument("slug", type=SLUG)
@click.option(
    "--ttl",
    type=click.IntRange(1),
    help="Lifetime of the URL, in seconds; by default identity.signed.max_ttl.",
)
@pass_site
def sign(settings: Settings, user: UserId, slug: Slug, ttl: int | None) -> None:
    """Prints the beginning of a signed URL.

    Everybody who has the URL gets the files of SLUG at the user's version, without a credential.
    """
    click.echo(sign_path(settings, user, slug, ttl, time.time()))
    # The user may get the plugin later, and no database is needed to sign.
    with suppress(ConfigurationError, SourceUnavailable):
        if not anyio.run(_has_row, settings, user, slug):
            click.echo(f"warning: {user} has no row of {slug}: the URL answers 404", err=True)


async def _has_row(settings: Settings, user: UserId, slug: Slug) -> bool:
    async with opened_database(settings) as database:
        rows = (await database.read_rows([user]))[user]
    return any(row.plugin_slug == slug for row in rows)
