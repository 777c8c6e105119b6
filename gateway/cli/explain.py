"""`explain`: why a request answers as it does."""

import anyio
import click
from rich.console import Console
from rich.markup import escape

from gateway.cli.parameters import pass_settings, user_option
from gateway.core import Core
from gateway.identity.chain import NO_CREDENTIALS
from gateway.names import UserId
from gateway.serving.explain import Explanation
from gateway.settings import Settings

_MARKS = {True: "[green]●[/green]", False: "[red]●[/red]"}


@click.command()
@user_option(required=True)
@click.argument("plugin", metavar="SLUG")
@click.argument("path")
@pass_settings
def explain(settings: Settings, user: UserId, plugin: str, path: str) -> None:
    """Shows every step of the decision about one user's file.

    Each step names its source. Exit code 1 if the file would not be served.
    """
    explanation = anyio.run(_explain, settings, user, plugin, path)
    _show(explanation)
    raise SystemExit(0 if explanation.served else 1)


async def _explain(settings: Settings, user: UserId, plugin: str, path: str) -> Explanation:
    core = Core(settings, NO_CREDENTIALS)
    async with core.running(follow_changes=False):
        return await core.explainer.explain(user, plugin, path)


def _show(explanation: Explanation) -> None:
    console = Console(highlight=False, soft_wrap=True)
    width = max((len(step.name) for step in explanation.steps), default=0)
    for step in explanation.steps:
        console.print(
            f"  {step.name:<{width}}  {escape(step.outcome)}  [dim]{escape(step.source)}[/dim]"
        )
    console.print(f"{_MARKS[explanation.served]} {escape(explanation.answer)}")
