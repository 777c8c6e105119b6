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

from benchmarks.benchmark import OUTPUT, SITE_DIR, WIDTH, promise_table, quick_option
from benchmarks.browser.command import browser
from benchmarks.comparison import REPORT_FILE, compare, read_report
from benchmarks.freshness.command import freshness
from benchmarks.lookup.command import lookup
from benchmarks.migration import migration
from benchmarks.pages.command import pages
from benchmarks.report import markdown_table, page, shown_promises
from benchmarks.resources import resources
from benchmarks.scale.command import scale
from benchmarks.serve.command import serve
from benchmarks.soak.command import soak
from benchmarks.storm import storm
from benchmarks.upgrade import upgrade
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
    upgrade,
    browser,
)
_NAMES = [str(command.name) for command in BENCHMARKS]
_REPORT_NAME = "report"


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
@click.argument("report", type=REPORT_FILE, default=Path("benchmark-results/report.json"))
def table(report: Path) -> None:
    """The promises of a report that were measured, as the Markdown table of performance.md.

    Of each promise it shows the worst case.
    """
    for line in markdown_table(read_report(report)["runs"]):
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
