"""`python -m benchmarks`: one command for each thing that is measured.

A new one (lookup, freshness, resources, upstream, scale, soak, all, compare) is a package of its
own beside `serve`, with a click command that is added below.
"""

import click

from benchmarks.serve.command import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measures what the gateway promises. Every figure is a ratio against a rival that was
    measured in the same run; what was not measured is not printed.
    """


for command in (serve,):
    main.add_command(command)
