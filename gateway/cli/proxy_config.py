"""`proxy-config`: prints the configuration of a reverse proxy in front of the gateway."""

import re
from typing import Literal

import click

from gateway.cli.parameters import Name, pass_settings
from gateway.errors import ConfigurationError
from gateway.proxies import MODES, Mode, caddy, nginx, remark_on, upstream_of
from gateway.settings import Settings

_LISTEN = re.compile(r"(?:[A-Za-z0-9.-]+:|\[[0-9A-Fa-f:]+\]:)?[0-9]{1,5}")
_SERVER_NAME = re.compile(r"[A-Za-z0-9_*.-]+")
_FOLDER = re.compile(r"/[A-Za-z0-9_./-]+")


def _matching(pattern: re.Pattern[str], expected: str) -> Name:
    def parse(text: object) -> str:
        if not pattern.fullmatch(str(text)):
            raise ValueError(f"{text!r}: expected {expected}")
        return str(text)

    return Name("text", parse)


@click.command("proxy-config")
@click.argument("proxy", type=click.Choice(["nginx", "caddy"]))
@click.option(
    "--mode",
    type=click.Choice(MODES),
    help="proxy: the gateway sends the files; accel: it tells the proxy which file to send;"
    " authorize: the proxy asks it who may have a file. By default what delivery.mode says.",
)
@click.option(
    "--listen",
    default="80",
    show_default=True,
    metavar="[ADDRESS:]PORT",
    type=_matching(_LISTEN, "PORT or ADDRESS:PORT"),
    help="Where the proxy listens.",
)
@click.option(
    "--server-name",
    metavar="NAME",
    type=_matching(_SERVER_NAME, "the name of a host"),
    help="Host name to answer for; by default all.",
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
    proxy: Literal["nginx", "caddy"],
    mode: Mode | None,
    listen: str,
    server_name: str | None,
    permissions_folder: str,
    brotli: bool,
    site: bool,
) -> None:
    """Prints an nginx or Caddy configuration for these settings."""
    if mode is None:
        mode = "proxy" if settings.delivery.mode == "direct" else settings.delivery.mode
    upstream = upstream_of(settings, mode)
    if proxy == "nginx":
        text = nginx.configuration(
            upstream,
            listen=listen,
            server_name=server_name or "_",
            permissions_folder=permissions_folder,
            brotli=brotli,
            complete=not site,
        )
    else:
        if brotli or site:
            raise ConfigurationError("--brotli and --site are for nginx")
        text = caddy.configuration(upstream, listen=listen, server_name=server_name or "")
    click.echo(text, nl=False)
    if remark := remark_on(settings, mode):
        click.echo(f"Warning: {remark}", err=True)
