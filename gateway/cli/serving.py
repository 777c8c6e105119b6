"""`serve`: keeps workers serving until it is stopped."""

import logging.config
from pathlib import Path
from typing import Any

import anyio
import click

from gateway.cli.examples import example
from gateway.cli.parameters import address_options, load_site, server_overrides
from gateway.processes.listener import Listener
from gateway.processes.logs import log_config
from gateway.processes.supervisor import Supervisor
from gateway.processes.worker import DID_NOT_START
from gateway.settings import Settings
from gateway.upkeep.checks import require_servable
from gateway.upkeep.opening import opened_database


@click.command(epilog=example("gateway serve --port 8010 --workers 2"))
@address_options
@click.option("--dev", is_flag=True, default=None, help="Development: changes show at once.")
@click.pass_obj
def serve(config_file: Path | None, /, dev: bool | None, **options: Any) -> None:
    """Serves the site that the configuration describes."""
    overrides = server_overrides(options)
    if dev is not None:
        overrides["dev"] = {"enabled": dev}

    def read_settings() -> Settings:
        settings = load_site(config_file, overrides)
        require_servable(settings)
        return settings

    def read_usable_settings() -> Settings:
        settings = read_settings()
        anyio.run(_open_database, settings)
        return settings

    settings = read_settings()
    logging.config.dictConfig(log_config(settings.observability))
    anyio.run(_open_database, settings)  # what it waits for is logged
    if not Supervisor(Listener(settings), settings, read_usable_settings).run():
        raise SystemExit(DID_NOT_START)


async def _open_database(settings: Settings) -> None:
    """Raises: ConfigurationError, one line here instead of a traceback in each worker."""
    async with opened_database(settings):
        pass
