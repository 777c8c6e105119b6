"""`serve` and `demo`: commands that run until they are stopped."""

import contextlib
import logging.config
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import click
import uvicorn
from rich.console import Console

from gateway.cli.opening import opened_database
from gateway.demo.application import create_demo_app
from gateway.demo.site import DemoSite
from gateway.processes.listener import Listener
from gateway.processes.logs import log_config
from gateway.processes.supervisor import Supervisor
from gateway.processes.worker import DID_NOT_START, server_config
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
        _require_database(settings)
        return settings

    settings = read_settings()
    logging.config.dictConfig(log_config(settings.observability))
    if not Supervisor(Listener(settings), settings, read_settings).run():
        raise SystemExit(DID_NOT_START)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="TCP port."
)
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Make the site here and keep it; otherwise it is temporary.",
)
def demo(host: str, port: int, folder: Path | None) -> None:
    """A seeded site with two plugins and three users, served with a page to look at."""
    console = Console()
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-")))
        site = DemoSite(folder)
        site.make()
        settings = load_settings(
            site.config_file, overrides={"server": {"host": host, "port": port}}
        )
        listener = Listener(settings)

        def announce() -> None:
            console.print(
                f"\n  The demo runs at [bold]{listener.name}/[/bold]"
                "   (Ctrl-C ends it)\n"
                f"  Its site: gateway --config {site.config_file} list\n",
                highlight=False,
                soft_wrap=True,
            )

        application, front = create_demo_app(settings)
        config = server_config(application, front, settings, log_level="warning")
        # uvicorn raises the signal again after its shutdown: exit then, so that the temporary site
        # is removed on the way out.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: sys.exit(0))
        _AnnouncingServer(config, announce).run([listener.socket])


class _AnnouncingServer(uvicorn.Server):
    """Announces its URL when it listens."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce()


def _require_database(settings: Settings) -> None:
    """Opens the database once, so that an error in it is one line here, not a worker's traceback.

    Raises: ConfigurationError.
    """

    async def open_once() -> None:
        async with opened_database(settings):
            pass

    anyio.run(open_once)
