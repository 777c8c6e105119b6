"""`proxy-config`: what a reverse proxy in front of the gateway must be told."""

import re
from pathlib import Path
from typing import Literal

import click

from gateway.errors import ConfigurationError
from gateway.proxies import MODES, Mode, caddy, facts_of, nginx, remark_on
from gateway.settings import load_settings

_LISTEN = re.compile(r"(?:[A-Za-z0-9.-]+:|\[[0-9A-Fa-f:]+\]:)?[0-9]{1,5}")
_SERVER_NAME = re.compile(r"[A-Za-z0-9_*.-]+")
_FOLDER = re.compile(r"/[A-Za-z0-9_./-]+")


def _matching(pattern: re.Pattern[str], expected: str) -> click.ParamType[str]:
    class Matching(click.ParamType[str]):
        name = "text"

        def convert(
            self, value: str, param: click.Parameter | None, ctx: click.Context | None
        ) -> str:
            if not pattern.fullmatch(value):
                self.fail(f"{value!r}: expected {expected}", param, ctx)
            return value

    return Matching()


@click.command("proxy-config")
@click.argument("proxy", type=click.Choice(["nginx", "caddy"]))
@click.option(
    "--mode",
    type=click.Choice(MODES),
    help="proxy: the gateway sends files; accel: it names them; authorize: it is asked who may"
    " have them. Otherwise what delivery.mode says.",
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
    help="Host name to answer for; otherwise all.",
)
@click.option(
    "--permissions-folder",
    default="/run/plugin_permissions",
    show_default=True,
    metavar="DIR",
    type=_matching(_FOLDER, "an absolute path"),
    help="nginx, authorize: where permissions are remembered; in memory (tmpfs).",
)
@click.option("--brotli", is_flag=True, help="nginx: use its brotli_static module.")
@click.option("--site", is_flag=True, help="nginx: only what belongs inside http {}.")
@click.pass_obj
def proxy_config(
    config_file: Path | None,
    proxy: Literal["nginx", "caddy"],
    mode: Mode | None,
    listen: str,
    server_name: str | None,
    permissions_folder: str,
    brotli: bool,
    site: bool,
) -> None:
    """Prints a configuration of nginx or Caddy for the current settings."""
    settings = load_settings(config_file)
    if mode is None:
        mode = "proxy" if settings.delivery.mode == "direct" else settings.delivery.mode
    facts = facts_of(settings, mode)
    if proxy == "nginx":
        text = nginx.configuration(
            facts,
            listen=listen,
            server_name=server_name or "_",
            permissions_folder=permissions_folder,
            brotli=brotli,
            complete=not site,
        )
    else:
        if brotli or site:
            raise ConfigurationError("--brotli and --site are for nginx")
        text = caddy.configuration(facts, listen=listen, server_name=server_name or "")
    click.echo(text, nl=False)
    if remark := remark_on(settings, mode):
        click.echo(f"Warning: {remark}", err=True)
