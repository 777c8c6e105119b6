"""`token`, `sign`, `explain`: credentials, and why a request answers as it does."""

import time
from pathlib import Path

import anyio
import click
from rich.console import Console
from rich.markup import escape

from gateway.cli.parameters import SLUG, user_option
from gateway.core import Core
from gateway.errors import ConfigurationError
from gateway.identity.jwt import issue_token
from gateway.identity.signed import SignedPaths
from gateway.names import Slug, UserId
from gateway.serving.explain import Explanation
from gateway.settings import Settings, load_settings

_MARKS = {True: "[green]●[/green]", False: "[red]●[/red]"}


@click.command()
@user_option(required=True)
@click.option(
    "--ttl", default=3600, show_default=True, type=click.IntRange(1), help="Life, in seconds."
)
@click.pass_obj
def token(config_file: Path | None, user: UserId, ttl: int) -> None:
    """Prints a bearer token for a user."""
    click.echo(issue_token(load_settings(config_file), user, ttl, time.time()))


@click.command()
@user_option(required=True)
@click.argument("slug", type=SLUG)
@click.option("--ttl", type=click.IntRange(1), help="Life, in seconds; the longest allowed.")
@click.pass_obj
def sign(config_file: Path | None, user: UserId, slug: Slug, ttl: int | None) -> None:
    """Prints a URL prefix that serves SLUG as that user has it, to anyone who holds it."""
    settings = load_settings(config_file)
    signed = SignedPaths(settings.identity.signed)
    if not signed.enabled:
        raise ConfigurationError(
            "identity.signed.secret: expected a secret, signed URLs are made with it"
        )
    signature = signed.sign(user, slug, ttl or settings.identity.signed.max_ttl, time.time())
    click.echo(f"{settings.http.api_prefix}/signed/{signature}/plugins/{slug}/")


@click.command()
@user_option(required=True)
@click.argument("plugin", metavar="SLUG")
@click.argument("path")
@click.pass_obj
def explain(config_file: Path | None, user: UserId, plugin: str, path: str) -> None:
    """Every step of the decision for one file of one user, with its source.

    Exit code 1 if the file would not be served.
    """
    explanation = anyio.run(_explain, load_settings(config_file), user, plugin, path)
    _show(explanation)
    raise SystemExit(0 if explanation.served else 1)


async def _explain(settings: Settings, user: UserId, plugin: str, path: str) -> Explanation:
    core = Core(settings)
    async with core.running(follow_changes=False):
        return await core.explainer.explain(user, plugin, path)


def _show(explanation: Explanation) -> None:
    console = Console()
    width = max((len(step.name) for step in explanation.steps), default=0)
    for step in explanation.steps:
        console.print(
            f"  {step.name:<{width}}  {escape(step.outcome)}  [dim]{escape(step.source)}[/dim]",
            highlight=False,
            soft_wrap=True,
        )
    console.print(
        f"{_MARKS[explanation.served]} {escape(explanation.answer)}",
        highlight=False,
        soft_wrap=True,
    )
