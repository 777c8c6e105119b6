"""`explain`: why a request answers as it does, and what to do about it."""

import sys

import anyio
import click
from rich.console import Console
from rich.markup import escape

from gateway.application import Gateway
from gateway.cli.examples import example
from gateway.cli.parameters import pass_site, user_option
from gateway.cli.reporting import echo_json
from gateway.core import Core
from gateway.identity.chain import NO_CREDENTIALS
from gateway.names import UserId, printable
from gateway.serving.explain import Explanation
from gateway.settings import Settings

_MARKS = {True: "[green]●[/green]", False: "[red]●[/red]"}


@click.command(epilog=example("gateway explain --user ada NetworkReview dist/remoteEntry.js"))
@user_option(required=False)
@click.option(
    "--url", metavar="URL", help="Explain this URL, or path of a URL, instead of SLUG and PATH."
)
@click.option(
    "--token",
    metavar="TOKEN",
    help="With --url: the bearer token that the client sends; - reads it from standard input.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.argument("plugin", metavar="SLUG", required=False)
@click.argument("path", required=False)
@pass_site
def explain(
    settings: Settings,
    user: UserId | None,
    url: str | None,
    token: str | None,
    as_json: bool,
    plugin: str | None,
    path: str | None,
) -> None:
    """Shows why a file is served or refused, and what to do.

    Shows every step of the decision, and its source: for a user's file by SLUG and PATH, or for a
    whole --url, asked for by the holder of --token, by --user, or without a credential. Exit code 1
    if the file would not be served.
    """
    if url is not None:
        if plugin is not None or (user is not None and token is not None):
            raise click.UsageError("--url goes with --user or --token, without SLUG and PATH")
        explanation = anyio.run(_explain_url, settings, url, user, _read_token(token))
    elif user is None or plugin is None or path is None or token is not None:
        raise click.UsageError("expected --url, or --user with SLUG and PATH")
    else:
        explanation = anyio.run(_explain, settings, user, plugin, path)
    if as_json:
        echo_json(explanation.as_json())
    else:
        _show(explanation)
    raise SystemExit(0 if explanation.served else 1)


def _read_token(token: str | None) -> str | None:
    if token == "-":  # noqa: S105  # the usual name of standard input
        token = sys.stdin.readline()
    return None if token is None else token.strip()


async def _explain(settings: Settings, user: UserId, plugin: str, path: str) -> Explanation:
    core = Core(settings, NO_CREDENTIALS)
    async with core.running(follow_changes=False):
        return await core.explainer.explain(user, plugin, path)


async def _explain_url(
    settings: Settings, url: str, user: UserId | None, token: str | None
) -> Explanation:
    gateway = Gateway(settings, None if user is None else NO_CREDENTIALS)
    async with gateway.core.running(follow_changes=False):
        return await gateway.url_explainer.explain(url, user=user, token=token)


def _show(explanation: Explanation) -> None:
    console = Console(highlight=False, soft_wrap=True)
    width = max((len(step.name) for step in explanation.steps), default=0)
    for step in explanation.steps:
        outcome, source = (escape(printable(text)) for text in (step.outcome, step.source))
        console.print(f"  {step.name:<{width}}  {outcome}  [dim]{source}[/dim]")
    console.print(f"{_MARKS[explanation.served]} {escape(printable(explanation.answer))}")
    if explanation.advice:
        console.print(f"  {escape(explanation.advice)}")
