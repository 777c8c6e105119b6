"""`cache show`, `cache purge`: the caches of the running gateways of this site."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any, NoReturn

import anyio
import click

from gateway.changes import Change
from gateway.cli.parameters import SLUG, USER, VERSION, pass_settings
from gateway.cli.reporting import Columns
from gateway.errors import ConfigurationError, GatewayError
from gateway.freshness.announcing import announce_now
from gateway.names import Slug, UserId, Version
from gateway.settings import Settings

_TIMEOUT_S = 5.0
_VERSION_COLUMNS = ("slug", "version", "build", "files", "bytes", "encoded_files", "uses")


@click.group()
def cache() -> None:
    """Shows or purges the caches of running gateways."""


@cache.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@pass_settings
def show(settings: Settings, as_json: bool) -> None:
    """Shows the caches of one worker of this host's gateway. Needs admin.token."""
    state = _ask(settings)
    if as_json:
        click.echo(json.dumps(state, indent=2))
    else:
        _show(state)


@cache.command()
@click.option("--user", type=USER, metavar="ID", help="Purge what is cached about this user.")
@click.option("--plugin", type=SLUG, metavar="SLUG", help="Purge the files of this plugin.")
@click.option("--version", type=VERSION, help="Purge only the files of this version.")
@click.option(
    "--hard", is_flag=True, help="Also drop the old answers that are used while a source fails."
)
@pass_settings
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
    if not settings.admin.token:
        raise ConfigurationError(
            "admin.token: expected a token, only its holder may see the caches"
        )
    connection = _connection(settings)
    try:
        connection.request(
            "GET", "/-/cache", headers={"Authorization": f"Bearer {settings.admin.token}"}
        )
        response = connection.getresponse()
        content = json.loads(response.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise GatewayError(f"no gateway answers at {connection.host}: {error}") from None
    finally:
        connection.close()
    if response.status != 200:
        raise GatewayError(f"the gateway answered {response.status}: {content.get('detail')}")
    return content


def _connection(settings: Settings) -> http.client.HTTPConnection:
    server = settings.server
    if server.uds:
        return _UnixConnection(settings.path(server.uds))
    return http.client.HTTPConnection(server.host, server.port, timeout=_TIMEOUT_S)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


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
