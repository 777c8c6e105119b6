"""`proxy-config`: prints the configuration of a reverse proxy in front of the gateway."""

import re
from ipaddress import ip_network
from typing import Literal

import click

from gateway.cli.examples import example
from gateway.cli.parameters import Name, pass_settings
from gateway.cli.running import running_gateways
from gateway.errors import ConfigurationError
from gateway.proxies import (
    MODES,
    Certificate,
    Entrance,
    Mode,
    Upstream,
    address_of,
    caddy,
    nginx,
    remarks_on,
    upstream_of,
    vite,
)
from gateway.proxies.one_origin import application_address
from gateway.settings import Settings

_LISTEN = re.compile(r"(?:[A-Za-z0-9.-]+:|\[[0-9A-Fa-f:]+\]:)?(?P<port>[0-9]{1,5})")
_UPSTREAM = re.compile(
    r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):(?P<port>[0-9]{1,5})|/[A-Za-z0-9_./-]+"
)
_SERVER_NAME = re.compile(r"[A-Za-z0-9_*.-]+")
_FOLDER = re.compile(r"/[A-Za-z0-9_./-]+")


def _matching(pattern: re.Pattern[str], expected: str) -> Name:
    def parse(value: object) -> str:
        match = pattern.fullmatch(str(value))
        if not match or not 0 < int(match.groupdict().get("port") or 1) < 65536:
            raise ValueError(f"{value!r}: expected {expected}")
        return str(value)

    return Name("text", parse)


def _network(value: object) -> str:
    text = str(value)
    try:
        if "%" not in text:  # an IPv6 address with a zone, which may be any text
            return str(ip_network(text))
    except ValueError:
        pass
    raise ValueError(f"{text!r}: expected an address, or a network such as 10.0.0.0/8")


@click.command(
    "proxy-config",
    epilog=example("gateway proxy-config nginx --application http://127.0.0.1:8005 > nginx.conf"),
)
@click.argument("proxy", type=click.Choice(["nginx", "caddy", "vite"]))
@click.option(
    "--mode",
    type=click.Choice(MODES),
    help="proxy: the gateway sends the files; accel: it tells the proxy which file to send;"
    " authorize: the proxy asks it who may have a file. By default what delivery.mode says.",
)
@click.option(
    "--upstream",
    metavar="HOST:PORT|SOCKET",
    type=_matching(_UPSTREAM, "HOST:PORT or the absolute path of a Unix socket"),
    help="Where the gateway listens.",
)
@click.option(
    "--port", type=click.IntRange(1, 65535), help="The TCP port of the gateway, as given to serve."
)
@click.option(
    "--application",
    metavar="URL",
    type=Name("text", lambda text: application_address(str(text))),
    help="The application that answers the rest of the host, such as http://127.0.0.1:8005.",
)
@click.option(
    "--listen",
    show_default="80, or 443 with TLS",
    metavar="[ADDRESS:]PORT",
    type=_matching(_LISTEN, "PORT or ADDRESS:PORT, with a port from 1 to 65535"),
    help="Where the proxy listens.",
)
@click.option(
    "--tls",
    nargs=2,
    metavar="CERT KEY",
    type=_matching(_FOLDER, "an absolute path"),
    help="Serve HTTPS with these PEM files. With --application, a --server-name and no --listen,"
    " Caddy gets a certificate by itself.",
)
@click.option(
    "--server-name",
    metavar="NAME",
    type=_matching(_SERVER_NAME, "the name of a host"),
    help="Host name to answer for; by default all.",
)
@click.option(
    "--metrics-allow",
    multiple=True,
    metavar="NETWORK",
    type=Name("text", _network),
    help="Clients that may read /-/metrics through the proxy, an address or a network such as"
    " 10.0.0.0/8; may be repeated. By default nobody.",
)
@click.option(
    "--permissions-folder",
    default="/run/plugin_permissions",
    show_default=True,
    metavar="DIR",
    type=_matching(_FOLDER, "an absolute path"),
    help="nginx, authorize: folder of the remembered permissions; it should be in memory (tmpfs).",
)
@click.option("--brotli", is_flag=True, help="nginx: use the module brotli_static.")
@click.option("--site", is_flag=True, help="nginx: print only what belongs inside http {}.")
@pass_settings
def proxy_config(
    settings: Settings,
    proxy: Literal["nginx", "caddy", "vite"],
    mode: Mode | None,
    upstream: str | None,
    port: int | None,
    application: str | None,
    listen: str | None,
    tls: tuple[str, str] | None,
    server_name: str | None,
    metrics_allow: tuple[str, ...],
    permissions_folder: str,
    brotli: bool,
    site: bool,
) -> None:
    """Prints a configuration of nginx, Caddy or Vite's proxy.

    It is made for these settings.
    """
    settings = _listening_at(settings, upstream, port)
    delivery = settings.delivery.mode
    mode = mode or ("proxy" if delivery == "direct" else delivery)
    behind = upstream_of(settings, mode, application or "")
    certificate = Certificate(*tls) if tls else None
    entrance = Entrance(listen, server_name, certificate, metrics_allow)
    if proxy == "nginx":
        options = nginx.Options(permissions_folder, brotli=brotli, complete=not site)
        text = nginx.configuration(behind, entrance, options)
    elif brotli or site:
        raise ConfigurationError("--brotli and --site are for nginx")
    else:
        text = (caddy.configuration if proxy == "caddy" else _vite_entries)(behind, entrance)
    click.echo(text, nl=False)
    for remark in remarks_on(settings, mode, entrance):
        click.echo(f"Warning: {remark}", err=True)


def _vite_entries(behind: Upstream, entrance: Entrance) -> str:
    """Raises: ConfigurationError."""
    if any(entrance):
        raise ConfigurationError(
            "--listen, --server-name, --tls and --metrics-allow are for nginx and Caddy"
        )
    if not behind.application:
        raise ConfigurationError("--application: expected the URL of the application")
    return vite.configuration(behind)


def _running_elsewhere(settings: Settings) -> str | None:
    """The address of the running gateway, unless one runs where the settings say, or none.

    Says on stderr that it is another address.
    """
    with running_gateways(settings) as gateways:
        addresses = [gateway.address for gateway in gateways]
    expected = address_of(settings)
    if not addresses or expected in addresses:
        return None
    if len(addresses) > 1:
        listed = ", ".join(addresses)
        click.echo(f"Note: gateways run at {listed}; --upstream names one of them", err=True)
        return None
    click.echo(f"Note: the gateway runs at {addresses[0]}, not at {expected}", err=True)
    return addresses[0]


def _listening_at(settings: Settings, upstream: str | None, port: int | None) -> Settings:
    """The settings with the address that the options name, or at which a gateway runs.

    Raises: click.UsageError.
    """
    if upstream is None and port is None:
        upstream = _running_elsewhere(settings)
    if upstream is not None and port is not None:
        raise click.UsageError("--upstream already names a port: expected no --port")
    server: dict[str, str | int] = {}
    if upstream is not None and upstream.startswith("/"):
        server = {"uds": upstream}
    elif upstream is not None:
        host, _, number = upstream.rpartition(":")
        server = {"uds": "", "host": host.strip("[]"), "port": int(number)}
    elif port is not None:
        server = {"uds": "", "port": port}
    return settings.model_copy(update={"server": settings.server.model_copy(update=server)})
