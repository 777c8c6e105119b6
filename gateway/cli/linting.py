"""`lint`: what will not work, or not work well, in a plugin."""

from collections import Counter
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from gateway.cli.examples import example
from gateway.cli.parameters import SLUG, VERSION, pass_settings
from gateway.cli.reporting import echo_json, plural
from gateway.disk.metadata import SCHEMA_FILE
from gateway.lint.findings import Finding
from gateway.lint.linting import LintReport, lint_for_site
from gateway.names import Slug, Version, printable
from gateway.settings import Settings
from gateway.upkeep.findings import Severity

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def _print_schema(ctx: click.Context, _parameter: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        click.echo(SCHEMA_FILE.read_bytes(), nl=False)
        ctx.exit()


@click.command(epilog=example("gateway lint build/NetworkReview"))
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--slug", type=SLUG, help="The slug, if plugin.json and package.json have none.")
@click.option(
    "--version", type=VERSION, help="The version, if plugin.json and package.json have none."
)
@click.option("--strict", is_flag=True, help="Exit code 1 for warnings too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.option(
    "--schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_schema,
    help="Print the JSON Schema of plugin.json instead.",
)
@pass_settings
def lint(
    settings: Settings,
    source: Path,
    slug: Slug | None,
    version: Version | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Says what will not work, or not work well, in a plugin.

    SOURCE is what `gateway publish` takes: a folder, .zip or .tar.gz. Its plugin.json and its
    bundle are read, and compared with what is published on this site, if this is one. Nothing is
    changed, and no code of the plugin is run. Exit code 1 if there is an error.
    """
    report = lint_for_site(settings, source, slug=slug, version=version)
    counts = Counter(finding.severity for finding in report.findings)
    if as_json:
        for finding in report.findings:
            echo_json(
                {
                    "code": finding.code,
                    "severity": finding.severity,
                    "files": finding.files,
                    "text": finding.text,
                }
            )
        echo_json({"summary": {f"{severity}s": counts[severity] for severity in Severity}})
    else:
        _show(report, counts)
    if counts[Severity.ERROR] or (strict and counts[Severity.WARNING]):
        raise SystemExit(1)


def _show(report: LintReport, counts: Counter[Severity]) -> None:
    console = Console(highlight=False, soft_wrap=True)  # a line is never cut to the terminal
    for finding in report.findings:
        console.print(_line(finding))
    name = f"{report.slug} {report.version}" if report.slug else "a plugin without a name"
    found = ", ".join(plural(counts[it], it.value) for it in Severity if counts[it])
    console.print(f"{name}, {plural(report.files, 'file')}: {found or 'nothing to say'}")


def _line(finding: Finding) -> str:
    colour = _COLOURS[finding.severity]
    mark = f"[{colour}]{finding.severity:<7}[/{colour}]"
    sentence = escape(printable(finding.sentence))
    return f"{mark}  {sentence} [dim]\\[{finding.code}][/dim]"
