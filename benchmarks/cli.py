"""`python -m benchmarks`: one command for each benchmark, and those that read their records.

To add a benchmark: a command made by `benchmark` (benchmark.py), and a line in BENCHMARKS.
"""

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

from benchmarks.benchmark import OUTPUT, SITE_DIR, WIDTH, promise_table, quick_option
from benchmarks.freshness.command import freshness
from benchmarks.lookup.command import lookup
from benchmarks.migration import migration
from benchmarks.pages.command import pages
from benchmarks.report import markdown_table, missing_figures, moves, page, shown_promises
from benchmarks.resources import resources
from benchmarks.scale.command import scale
from benchmarks.serve.command import serve
from benchmarks.soak.command import soak
from benchmarks.storm import storm
from benchmarks.upstream import upstream

BENCHMARKS: tuple[click.Command, ...] = (
    pages,
    storm,
    serve,
    upstream,
    lookup,
    scale,
    freshness,
    soak,
    resources,
    migration,
)
_NAMES = [str(command.name) for command in BENCHMARKS]
_REPORT_NAME = "report"
_REPORT = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measures what the gateway promises; what was not measured in the run is not printed."""


@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Measures this one alone, and reports it with what is there; may be repeated.",
)
def _all(only: Sequence[str], site_dir: Path, quick: bool, output: Path) -> None:
    """Every benchmark, one after the other, and one report of all: report.html, report.json.

    The full run takes an hour. Leave the machine alone meanwhile.
    """
    if unknown := set(only) - set(_NAMES):
        raise click.BadParameter(f"{', '.join(sorted(unknown))}: expected {', '.join(_NAMES)}")
    console = Console(width=WIDTH, highlight=False)
    chosen = [command for command in BENCHMARKS if not only or command.name in only]
    for command in chosen:
        console.rule(str(command.name))
        _run(command, site_dir, output, quick=quick)
    records = _read_records(output)
    _write_report(output, records)
    console.rule("promises")
    console.print(promise_table(shown_promises(records)))
    console.print(f"{output / _REPORT_NAME}.html")
    failed = [
        str(command.name)
        for command in chosen
        if records.get(str(command.name), {"failures": True})["failures"]
    ]
    if failed:
        raise click.ClickException(f"not measured, or not wholly: {', '.join(failed)}")


_ALL = click.command("all")(_all)
_ALL.params += [SITE_DIR, quick_option("Three minutes, to see that it works."), OUTPUT]


@click.command()
@click.argument("old", type=_REPORT)
@click.argument("new", type=_REPORT)
def compare(old: Path, new: Path) -> None:
    """What moved from OLD to NEW, beyond noise: JSON files of one benchmark, or of a report.

    A figure has moved where no round of one run lies among the rounds of the other.
    """
    before, after = _read(old), _read(new)
    moved = sorted(moves(before, after), key=lambda move: -abs(move.change))
    console = Console(width=WIDTH, highlight=False)
    table = Table("benchmark", "figure", title=f"{len(moved)} figures moved")
    for name in ("before", "after", "change"):
        table.add_column(name, justify="right")
    for move in moved:
        color = "green" if move.is_better else "red"
        table.add_row(
            move.command,
            escape(move.after.name),
            *(f"{side.spread.median:,.4g} {side.unit}" for side in (move.before, move.after)),
            f"[{color}]{move.change:+.1%}[/]",
        )
    console.print(table)
    for name in missing_figures(before, after):
        console.print(f"in one of the two only: {name}", style="dim", markup=False)


@click.command()
@click.argument("report", type=_REPORT, default=Path("benchmark-results/report.json"))
def table(report: Path) -> None:
    """The promises of a report that were measured, as a Markdown table for the README.

    Of each promise it shows the worst case.
    """
    for line in markdown_table(_read(report)["runs"]):
        click.echo(line)


for _command in (*BENCHMARKS, _ALL, compare, table):
    main.add_command(_command)


def _run(command: click.Command, site_dir: Path, output: Path, *, quick: bool) -> None:
    """In a process of its own: nothing that one has left in memory is measured by the next."""
    name = str(command.name)
    (output / f"{name}.json").unlink(missing_ok=True)
    arguments = [name, "--output", str(output), *(["--quick"] if quick else [])]
    if SITE_DIR in command.params:
        arguments += ["--site-dir", str(site_dir)]
    # The record that it leaves says whether it succeeded.
    subprocess.run([sys.executable, "-m", "benchmarks", *arguments], check=False)  # noqa: S603


def _read_records(folder: Path) -> dict[str, Mapping[str, Any]]:
    """Records by command, as far as there are files."""
    files = {name: folder / f"{name}.json" for name in _NAMES}
    return {name: json.loads(file.read_bytes()) for name, file in files.items() if file.exists()}


def _write_report(folder: Path, records: Mapping[str, Mapping[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"runs": records}, indent=1, ensure_ascii=False)
    (folder / f"{_REPORT_NAME}.json").write_text(text + "\n")
    (folder / f"{_REPORT_NAME}.html").write_text(page(records))


def _read(path: Path) -> Mapping[str, Any]:
    """A record or a report. Raises: click.BadParameter."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        raise click.BadParameter(f"{path}: expected a JSON file of a benchmark") from None
    if not isinstance(content, dict) or not content.keys() & {"runs", "figures"}:
        raise click.BadParameter(f"{path}: expected a JSON file of a benchmark")
    return content
