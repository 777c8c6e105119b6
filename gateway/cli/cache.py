"""`cache show`, `cache purge`: the caches of the running gateways of this site."""

import http.client
import json
from typing import Any, NoReturn

import anyio
import click

from gateway.changes import Change
from gateway.cli.examples import example
from gateway.cli.parameters import SLUG, USER, VERSION, pass_site
from gateway.cli.reporting import Columns
from gateway.cli.running import running_gateways
from gateway.errors import ConfigurationError, GatewayError
from gateway.freshness.announcing import announce_now
from gateway.names import Slug, UserId, Version
from gateway.settings import Settings

_VERSION_COLUMNS = (
    "slug", "version", "build", "files", "bytes", "encoded_files", "differences", "uses",
)  # fmt: skip


@click.group(epilog=example("gateway cache show"))
def cache() -> None:
    """Shows or purges the caches of running gateways."""


@cache.command(epilog=example("gateway cache show --json"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@pass_site
def show(settings: Settings, as_json: bool) -> None:
    """Shows the caches of one worker of this host's gateway. Needs admin.token."""
    state = _ask(settings)
    if as_json:
        click.echo(json.dumps(state, indent=2))
    else:
        _show(state)


@cache.command(epilog=example("gateway cache purge --plugin NetworkReview"))
@click.option("--user", type=USER, metavar="ID", help="Purge what is cached about this user.")
@click.option("--plugin", type=SLUG, metavar="SLUG", help="Purge the files of this plugin.")
@click.option("--version", type=VERSION, help="Purge only the files of this version.")
@click.option(
    "--hard", is_flag=True, help="Also drop the old answers that are used while a source fails."
)
@pass_site
def purge(
    settings: Settings,
    user: UserId | None,
    plugin: Slug | None,
    version: Version | None,
    hard: bool,
) -> None:
    """Makes all workers ask their sources again.

    Without options: about everything.
    """
    if version is not None and plugin is None:
        raise click.UsageError("--version needs --plugin")
    change = Change(user, plugin, version, hard=hard)
    anyio.run(announce_now, settings, change, _fail)
    click.echo("told all workers")


def _fail(whom: str, error: OSError) -> NoReturn:
    raise GatewayError(f"{whom} were not told: {error}") from error


def _ask(settings: Settings) -> Any:
    """Raises: ConfigurationError; GatewayError, if no gateway answers, or with an error."""
    token = settings.admin.token
    if not token:
        raise ConfigurationError(
            "admin.token: expected a token, only its holder may see the caches"
        )
    with running_gateways(settings) as gateways:
        if not gateways:
            raise GatewayError(
                "no gateway of this site answers on this host"
                " (it must run as this user, or this command as root, with the same admin.token)"
            )
        address, connection = gateways[0]
        try:
            connection.request("GET", "/-/cache", headers={"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            content = json.loads(response.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise GatewayError(f"the gateway at {address} did not answer: {error}") from None
    if response.status != 200:
        raise GatewayError(f"the gateway answered {response.status}: {content.get('detail')}")
    return content


def _show(state: Any) -> None:
    click.echo(
        f"worker {state['worker']}:"
        f" {state['asset_bytes'] / 2**20:.1f} MiB of files,"
        f" {state['changes_heard']} changes heard\n"
    )
    caches = state["caches"]
    counters = [name.replace("_", " ") for name in next(iter(caches.values()))]
    Columns("cache", *counters).echo((name, *of.values()) for name, of in caches.items())
    click.echo()
    versions = (tuple(version[name] for name in _VERSION_COLUMNS) for version in state["versions"])
    Columns(*_VERSION_COLUMNS).echo(versions)
