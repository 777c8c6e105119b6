"""`service-unit`: prints a systemd unit for the gateway."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from gateway.cli.examples import example
from gateway.cli.parameters import address_options, load_site, server_overrides
from gateway.cli.program import program
from gateway.processes.service_unit import Service, service_unit
from gateway.settings import ENVIRONMENT_PREFIX, find_config_file


@click.command(
    "service-unit",
    epilog=example(
        "gateway service-unit --uds /run/gateway/gateway.sock --workers 4 > gateway.service"
    ),
)
@click.option("--user", default="gateway", show_default=True, help="Who serves.")
@click.option("--group", show_default="the user's name", help="Their group.")
@click.option(
    "--environment-file",
    default="/etc/gateway/gateway.env",
    show_default=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file with the secrets, NAME=VALUE on each line.",
)
@address_options
@click.pass_obj
def service_unit_(
    config_file: Path | None,
    /,
    user: str,
    group: str | None,
    environment_file: Path,
    **options: Any,
) -> None:
    """Prints a systemd unit that runs `gateway serve`.

    It serves with these settings. It may write what serving writes, and no more: that depends on
    access.changes.
    """
    settings = load_site(config_file, server_overrides(options))
    config_file = config_file or find_config_file(os.environ)
    service = Service(
        user=user,
        group=group or user,
        environment_file=environment_file.absolute(),
        command=_command(config_file, options),
        directory=(config_file.absolute().parent if config_file else Path.cwd()),
        needed=_needed(config_file),
        variables=sorted(name for name in os.environ if name.startswith(ENVIRONMENT_PREFIX)),
    )
    click.echo(service_unit(settings, service), nl=False)


def _command(config_file: Path | None, options: Mapping[str, Any]) -> Sequence[str]:
    config = ["--config", str(config_file.absolute())] if config_file else []
    given = {name: value for name, value in options.items() if value is not None}
    if "uds" in given:
        given["uds"] = Path(given["uds"]).absolute()
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    return [*program(), *config, "serve", *words]


def _needed(config_file: Path | None) -> list[Path]:
    """The interpreter and its packages, and the configuration."""
    programs = [Path(prefix) for prefix in (sys.prefix, sys.base_prefix)]
    return [*programs, config_file.absolute()] if config_file else programs
