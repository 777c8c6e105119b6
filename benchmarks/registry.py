"""Every benchmark there is. To add one: a click command with `--quick` and `--output` that writes
`<name>.json` (record.py), and a line here.
"""

import click

from benchmarks.freshness.command import freshness
from benchmarks.lookup.command import lookup
from benchmarks.migration.command import migration
from benchmarks.pages.command import pages
from benchmarks.resources.command import resources
from benchmarks.scale.command import scale
from benchmarks.serve.command import serve
from benchmarks.soak.command import soak
from benchmarks.storm.command import storm
from benchmarks.upstream.command import upstream

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
