"""`python -m benchmarks`: one command for each thing that is measured.

A new one (lookup, resources, scale, soak, all, compare) is a package of its
own beside `serve`, with a click command that is added below.
"""

import click

from benchmarks.freshness.command import freshness
from benchmarks.migration.command import migration
from benchmarks.serve.command import serve
from benchmarks.upstream.command import upstream


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measures what the gateway promises; what was not measured in the run is not printed."""


for command in (serve, freshness, migration, upstream):
    main.add_command(command)
