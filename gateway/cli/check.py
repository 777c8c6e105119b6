"""`check`: what would stop the site from serving, and how an application's answers differ."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import IO

import anyio
import click
from rich.console import Console
from rich.markup import escape

from gateway.cli.examples import example
from gateway.cli.parameters import Name, pass_site, user_option
from gateway.cli.reporting import echo_json
from gateway.cli.running import running_gateways
from gateway.errors import ConfigurationError
from gateway.identity.jwt import issue_token
from gateway.names import UserId, printable
from gateway.processes.trial import try_listening
from gateway.settings import Settings
from gateway.upkeep.asking import Server, ask
from gateway.upkeep.beside import Asker, Questions, choose_file, compare_beside
from gateway.upkeep.check_results import CheckResult
from gateway.upkeep.checks import check_site
from gateway.upkeep.comparison import APPLICATION, GATEWAY
from gateway.upkeep.findings import Severity

_MARKS = {
    Severity.NOTE: "[green]ok     [/green]",
    Severity.WARNING: "[yellow]warning[/yellow]",
    Severity.ERROR: "[red]error  [/red]",
}
_SERVER = Name("url", lambda text: Server.parse(str(text)))
# For three questions to three servers, whose clocks may differ a little.
_TOKEN_TTL_S = 300.0
_MAX_TOKEN_CHARACTERS = 16_384


@click.command(epilog=example("gateway check --application http://127.0.0.1:8005 --user ada"))
@click.option(
    "--application",
    type=_SERVER,
    metavar="URL",
    help="Also ask this application and the running gateway for the same, and compare.",
)
@click.option(
    "--proxy", type=_SERVER, metavar="URL", help="With --application: ask through this proxy too."
)
@click.option(
    "--gateway",
    type=_SERVER,
    metavar="URL|SOCKET",
    help="With --application: where the gateway runs; by default it is found.",
)
@click.option(
    "--url",
    metavar="PATH",
    type=Name("path", lambda text: _parse_target(str(text))),
    help="With --application: the public URL of a file to compare; by default one is chosen.",
)
@user_option(required=False, help_text="With --application: compare this user's manifests.")
@click.option(
    "--token-file",
    type=click.File(),
    metavar="FILE",
    help="With --application: the same, with a token of the application's; - is standard input.",
)
@click.option(
    "--origin",
    metavar="URL",
    type=Name("url", lambda text: _parse_origin(str(text))),
    help="With --application: the origin of the front end's pages, if it is another than the API's;"
    " by default the first of http.cors_origins.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@pass_site
def check(
    settings: Settings,
    application: Server | None,
    proxy: Server | None,
    gateway: Server | None,
    url: str | None,
    user: UserId | None,
    token_file: IO[str] | None,
    origin: str | None,
    as_json: bool,
) -> None:
    """Says what would stop the site from serving.

    Checks configuration, database, storage and address, and tries to write what serving writes.
    Run it as the user who will serve. Exit code 1 if there is an error.

    --application also compares the answers of the running gateway with those of an application
    that serves the same site.
    """
    if application is None and (proxy or gateway or url or user or token_file or origin):
        raise click.UsageError(
            "--proxy, --gateway, --url, --user, --token-file and --origin go with --application"
        )
    results = [*anyio.run(check_site, settings), try_listening(settings)]
    if application is not None and _has_error(results):
        results.append(CheckResult.warning(APPLICATION, "not asked, because of the errors"))
    elif application is not None:
        file = url or anyio.run(choose_file, settings, user)
        token = _token(settings, user, token_file)
        origin = origin or next(iter(settings.http.cors_origins), None)
        questions = Questions(settings.http.api_prefix, file, token, origin)
        with _asking(settings, gateway) as asker:
            results += _compare(questions, asker, application, proxy)
    _report(results, as_json=as_json)


def _parse_target(text: str) -> str:
    """The path of a URL, which may have a query. Raises: ValueError."""
    if not text.startswith("/") or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"{text!r}: expected a path such as /api/v1/public/plugins/ID/dist/x.js")
    return text


def _parse_origin(text: str) -> str:
    """Raises: ValueError."""
    if "://" not in text:
        raise ValueError(f"{text!r}: expected an origin such as https://app.example")
    return str(Server.parse(text))


def _token(settings: Settings, user: UserId | None, file: IO[str] | None) -> str | None:
    """A user's token: theirs, or one made with the gateway's key.

    Raises: ConfigurationError; click.UsageError.
    """
    if user is not None and file is not None:
        raise click.UsageError("expected --user or --token-file, not both")
    if user is not None:
        return issue_token(settings, user, _TOKEN_TTL_S, time.time())
    if file is None:
        return None
    token = file.read(_MAX_TOKEN_CHARACTERS).strip().removeprefix("Bearer ").strip()
    if not token or not token.isascii() or not token.isprintable():
        raise ConfigurationError("--token-file: expected a token, on one line")
    if token == settings.admin.token:
        raise ConfigurationError("--token-file: this is admin.token: expected the token of a user")
    return token


@contextmanager
def _asking(settings: Settings, gateway: Server | None) -> Iterator[Asker | None]:
    """What asks the gateway; None if none is found."""
    if gateway is not None:
        yield gateway.ask
        return
    with running_gateways(settings) as gateways:
        yield partial(ask, gateways[0].connection) if gateways else None


def _compare(
    questions: Questions, asker: Asker | None, application: Server, proxy: Server | None
) -> Sequence[CheckResult]:
    if asker is not None:
        return list(compare_beside(questions, asker, application, proxy))
    text = "no gateway of this site answers on this host, to the user who runs this command"
    return [CheckResult.error(GATEWAY, text, "start it, or name it with --gateway")]


def _has_error(results: Sequence[CheckResult]) -> bool:
    """Whether this site cannot serve. Its address may be another than that of the settings."""
    return any(it.severity is Severity.ERROR and it.subject != "address" for it in results)


def _report(results: Sequence[CheckResult], *, as_json: bool) -> None:
    counts = Counter(result.severity for result in results)
    if as_json:
        for result in results:
            echo_json(asdict(result))
        echo_json({"summary": {f"{severity}s": counts[severity] for severity in Severity}})
    else:
        _show(results)
    if counts[Severity.ERROR]:
        raise SystemExit(1)


def _show(results: Sequence[CheckResult]) -> None:
    console = Console(highlight=False, soft_wrap=True)  # a line is never cut to the terminal
    width = max(len(result.subject) for result in results)
    for result in results:
        mark = _MARKS[result.severity]
        console.print(f"{mark}  {result.subject:<{width}}  {escape(printable(result.text))}")
        if result.hint:
            console.print(f"{'':<{width + 11}}[dim]{escape(printable(result.hint))}[/dim]")
