"""`serve`: keeps workers serving until it is stopped."""

import logging.config
from pathlib import Path
from typing import Any

import anyio
import click

from gateway.cli.opening import opened_database
from gateway.processes.listener import Listener
from gateway.processes.logs import log_config
from gateway.processes.supervisor import Supervisor
from gateway.processes.worker import DID_NOT_START
from gateway.settings import Settings, load_settings
from gateway.upkeep.checks import require_servable


@click.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="TCP port; 0 takes a free one.")
@click.option("--uds", metavar="PATH", help="Unix socket to listen on instead.")
@click.option("--workers", type=click.IntRange(1, 256), help="Processes that serve.")
@click.option("--dev", is_flag=True, default=None, help="Development: changes show at once.")
@click.pass_obj
def serve(
    config_file: Path | None,
    host: str | None,
    port: int | None,
    uds: str | None,
    workers: int | None,
    dev: bool | None,
) -> None:
    """Serves the site that the configuration describes."""
    socket_path = None if uds is None else str(Path(uds).absolute())
    server = {"host": host, "port": port, "uds": socket_path, "workers": workers}
    overrides: dict[str, dict[str, Any]] = {
        "server": {key: value for key, value in server.items() if value is not None},
        "dev": {} if dev is None else {"enabled": dev},
    }

    def read_settings() -> Settings:
        settings = load_settings(config_file, overrides=overrides)
        require_servable(settings)
        anyio.run(_open_database, settings)
        return settings

    settings = read_settings()
    logging.config.dictConfig(log_config(settings.observability))
    if not Supervisor(Listener(settings), settings, read_settings).run():
        raise SystemExit(DID_NOT_START)


async def _open_database(settings: Settings) -> None:
    """Raises: ConfigurationError, one line here instead of a traceback in each worker."""
    async with opened_database(settings):
        pass
