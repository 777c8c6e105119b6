"""`python -m benchmarks all`, `compare` and `table`."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.report.moved import missing, moves
from benchmarks.report.page import page
from benchmarks.report.promised import NOT_MEASURED, shown_promises
from benchmarks.running import WIDTH, output_option, quick_option, site_dir_option

REPORT_NAME = "report"
_REPORT = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("all")
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Measures this one alone, and reports it with what is there; may be repeated.",
)
@site_dir_option
@quick_option("Three minutes, to see that it works.")
@output_option
def all_(only: Sequence[str], site_dir: Path, quick: bool, output: Path) -> None:
    """Every benchmark, one after the other, and one report of all: report.html, report.json.

    The full run takes an hour. Leave the machine alone meanwhile.
    """
    from benchmarks.registry import BENCHMARKS  # noqa: PLC0415 (each of them may import this)

    names = [str(command.name) for command in BENCHMARKS]
    if unknown := set(only) - set(names):
        raise click.BadParameter(f"{', '.join(sorted(unknown))}: expected {', '.join(names)}")
    console = Console(width=WIDTH, highlight=False)
    chosen = [command for command in BENCHMARKS if not only or command.name in only]
    for command in chosen:
        console.rule(str(command.name))
        _run(command, site_dir, output, quick=quick)
    records = read_records(output, names)
    write_report(output, records)
    console.rule("promises")
    console.print(_promise_table(records))
    console.print(f"{output / REPORT_NAME}.html")
    failed = [
        str(command.name)
        for command in chosen
        if records.get(str(command.name), {"failures": True})["failures"]
    ]
    if failed:
        raise click.ClickException(f"not measured, or not wholly: {', '.join(failed)}")


def _run(command: click.Command, site_dir: Path, output: Path, *, quick: bool) -> None:
    """In a process of its own: nothing that one has left in memory is measured by the next."""
    name = str(command.name)
    (output / f"{name}.json").unlink(missing_ok=True)
    arguments = [name, "--output", str(output), *(["--quick"] if quick else [])]
    if any(parameter.name == "site_dir" for parameter in command.params):
        arguments += ["--site-dir", str(site_dir)]
    # Whether it succeeded is in what it leaves.
    subprocess.run([sys.executable, "-m", "benchmarks", *arguments], check=False)  # noqa: S603


def read_records(folder: Path, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """By command, of those that have left one."""
    files = {name: folder / f"{name}.json" for name in names}
    return {name: json.loads(file.read_bytes()) for name, file in files.items() if file.exists()}


def write_report(folder: Path, records: Mapping[str, Mapping[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"runs": records}, indent=1, ensure_ascii=False)
    (folder / f"{REPORT_NAME}.json").write_text(text + "\n")
    (folder / f"{REPORT_NAME}.html").write_text(page(records))


@click.command()
@click.argument("old", type=_REPORT)
@click.argument("new", type=_REPORT)
def compare(old: Path, new: Path) -> None:
    """What moved from OLD to NEW, beyond noise: JSON files of one benchmark, or of a report.

    A figure has moved where no round of one run lies among the rounds of the other.
    """
    before, after = (_read(path) for path in (old, new))
    found = sorted(moves(before, after), key=lambda move: -abs(move.change))
    console = Console(width=WIDTH, highlight=False)
    table = Table(title=f"{len(found)} figures moved")
    for name in ("benchmark", "figure", "before", "after", "change"):
        justify = "left" if name in ("benchmark", "figure") else "right"
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for move in found:
        color = "green" if move.is_better else "red"
        table.add_row(
            move.command,
            escape(move.after.name),
            *(f"{each.spread.median:,.4g} {each.unit}" for each in (move.before, move.after)),
            f"[{color}]{move.change:+.1%}[/]",
        )
    console.print(table)
    for name in missing(before, after):
        console.print(f"in one of the two only: {name}", style="dim", markup=False)


@click.command()
@click.argument("report", type=_REPORT, default=Path("benchmark-results/report.json"))
def table(report: Path) -> None:
    """The promises of a report that were measured, as a Markdown table for the README."""
    click.echo("| what | promised | outcome | measured |\n|---|---|---|---|")
    for shown in shown_promises(_read(report)["runs"]):
        if shown.outcome == NOT_MEASURED:
            continue
        cells = (shown.text, shown.promised, shown.outcome, shown.brief)
        click.echo(f"| {' | '.join(cell.replace('|', '·') for cell in cells)} |")


def _read(path: Path) -> Mapping[str, Any]:
    """Raises: click.BadParameter."""
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        raise click.BadParameter(f"{path}: expected a JSON file of a benchmark") from None
    if not isinstance(found, dict) or not found.keys() & {"runs", "figures"}:
        raise click.BadParameter(f"{path}: expected a JSON file of a benchmark")
    return found


def _promise_table(records: Mapping[str, Mapping[str, Any]]) -> Table:
    shown = Table()
    for name in ("promise", "promised", "outcome", "measured"):
        shown.add_column(name)
    styles = {"kept": "green", "missed": "red"}
    for each in shown_promises(records):
        outcome = f"[{styles.get(each.outcome, 'yellow')}]{each.outcome}[/]"
        shown.add_row(escape(each.text), each.promised, outcome, escape("\n".join(each.lines)))
    return shown
