"""`check`: what would stop the site from serving."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

import anyio
import click
from rich.console import Console
from rich.markup import escape

from gateway.cli.parameters import pass_settings
from gateway.cli.reporting import echo_json
from gateway.processes.trial import try_listening
from gateway.settings import Settings
from gateway.upkeep.check_results import CheckResult
from gateway.upkeep.checks import check_site
from gateway.upkeep.findings import Severity

_MARKS = {
    Severity.NOTE: "[green]ok     [/green]",
    Severity.WARNING: "[yellow]warning[/yellow]",
    Severity.ERROR: "[red]error  [/red]",
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@pass_settings
def check(settings: Settings, as_json: bool) -> None:
    """Says what would stop the site from serving.

    Checks configuration, database, storage and address, and tries to write what serving writes.
    Run it as the user who will serve. Exit code 1 if there is an error.
    """
    results = [*anyio.run(check_site, settings), try_listening(settings)]
    counts = Counter(result.severity for result in results)
    if as_json:
        for result in results:
            echo_json(asdict(result))
        echo_json({"summary": {f"{severity}s": counts[severity] for severity in Severity}})
    else:
        _show(results)
    if counts[Severity.ERROR]:
        raise SystemExit(1)


def _show(results: Sequence[CheckResult]) -> None:
    console = Console(highlight=False, soft_wrap=True)  # a line is never cut to the terminal
    width = max(len(result.subject) for result in results)
    for result in results:
        mark = _MARKS[result.severity]
        console.print(f"{mark}  {result.subject:<{width}}  {escape(result.text)}")
        if result.hint:
            console.print(f"{'':<{width + 11}}[dim]{escape(result.hint)}[/dim]")
