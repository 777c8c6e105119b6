"""`python -m benchmarks`: one command for each thing that is measured, and those over them."""

import click

from benchmarks.registry import BENCHMARKS
from benchmarks.report.command import all_, compare, table


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measures what the gateway promises; what was not measured in the run is not printed."""


for command in (*BENCHMARKS, all_, compare, table):
    main.add_command(command)
