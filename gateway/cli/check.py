"""`check`: what would stop the site from serving."""

import anyio
import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.cli.parameters import pass_settings
from gateway.settings import Settings
from gateway.upkeep.checks import check_site
from gateway.upkeep.findings import Severity

_MARKS = {
    Severity.NOTE: "[green]ok[/green]",
    Severity.WARNING: "[yellow]warning[/yellow]",
    Severity.ERROR: "[red]error[/red]",
}


@click.command()
@pass_settings
def check(settings: Settings) -> None:
    """Says what would stop the site from serving.

    Checks configuration, database and storage. Exit code 1 if there is an error.
    """
    results = anyio.run(check_site, settings)
    table = Table(box=None, pad_edge=False, show_header=False)
    for result in results:
        hint = f"\n[dim]{escape(result.hint)}[/dim]" if result.hint else ""
        table.add_row(_MARKS[result.severity], result.subject, escape(result.text) + hint)
    Console().print(table)
    if any(result.severity is Severity.ERROR for result in results):
        raise SystemExit(1)
