"""`publish`: makes a plugin's files a version that all users share."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from gateway.cli.examples import example
from gateway.cli.parameters import SLUG, VERSION, pass_site
from gateway.cli.reporting import plural
from gateway.disk.audit_log import Author
from gateway.disk.storage import PluginStorage
from gateway.freshness.announcing import announce_now
from gateway.lifecycle.comparing import compare, held_versions
from gateway.lifecycle.publishing import publish as publish_version
from gateway.lint.linting import LintReport, lint_for_site
from gateway.names import Slug, Version, printable
from gateway.settings import Settings
from gateway.upkeep.findings import Severity

_MOST_WARNINGS = 3


@click.command(epilog=example("gateway publish build/NetworkReview"))
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--slug", type=SLUG, help="The slug, if plugin.json and package.json have none.")
@click.option(
    "--version", type=VERSION, help="The version, if plugin.json and package.json have none."
)
@pass_site
def publish(settings: Settings, source: Path, slug: Slug | None, version: Version | None) -> None:
    """Publishes a folder, .zip or .tar.gz for all users.

    The files are checked, encoded, and never changed afterwards. If the version is published
    already, other content is refused. The same content changes no file, and gives the version
    its record if it has none. What `gateway lint` finds is a warning on stderr.
    """
    storage = PluginStorage(settings.plugins_dir)
    with _progress_bars("copying", "encoding", "writing") as show:
        published = publish_version(
            storage,
            source,
            slug=slug,
            version=version,
            max_encoded_bytes=settings.cache.assets.max_file_bytes,
            progress=show,
        )
    names = f"{published.slug} {published.version}"
    if published.has_new_record:
        storage.audit.append(published.audited(Author.of_command()))
        anyio.run(announce_now, settings, published.change)
    if published.is_new:
        click.echo(f"published {names}, build {published.build}, {published.files} files")
    else:
        end = "; its record is new" if published.has_new_record else ""
        click.echo(f"{names} is there already with the same content, build {published.build}{end}")
    held = anyio.run(held_versions, settings, published.slug)
    with _progress_bars("comparing") as show:
        compare(settings, storage, published, held, show)
    _warn(source, lint_for_site(settings, published.folder, slug=slug, version=version))


def _warn(source: Path, report: LintReport) -> None:
    """On stderr, what `gateway lint` finds; notes are left to it."""
    problems = [it for it in report.findings if it.severity is not Severity.NOTE]
    for finding in problems[:_MOST_WARNINGS]:
        click.echo(f"warning: {printable(finding.sentence)}", err=True)
    if len(problems) > _MOST_WARNINGS:
        count = plural(len(problems) - _MOST_WARNINGS, "more warning")
        click.echo(f"warning: {count}: gateway lint {shlex.quote(str(source))}", err=True)


@contextmanager
def _progress_bars(*steps: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal's stderr for each step; yields what shows (step, done, total)."""
    columns = (TextColumn("{task.description:>9}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    # Without a terminal, rich would print an empty line at the end.
    bars = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
    with bars:
        tasks = {step: bars.add_task(step, total=None) for step in steps}
        yield lambda step, done, total: bars.update(tasks[step], completed=done, total=total)
