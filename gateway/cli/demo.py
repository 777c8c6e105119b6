"""`demo`: a site to look at, served in this process until it is stopped."""

import contextlib
import multiprocessing
import shlex
import tempfile
from pathlib import Path

import click
from rich.console import Console

from gateway.application import Gateway
from gateway.cli.examples import example
from gateway.cli.program import shortest_program
from gateway.demo.application import create_demo_app
from gateway.demo.demo_site import USERS, make_demo_site
from gateway.processes.foreground import ForegroundServer, exit_at_signals
from gateway.processes.listener import Listener
from gateway.processes.server import server_config
from gateway.settings import load_settings


@click.command(epilog=example("gateway demo --dir site --port 9000"))
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
    """Serves two plugins to three users, on a page to upgrade them."""
    multiprocessing.current_process().name = "demo"  # as the log calls this process
    console = Console()
    exit_at_signals()
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-")))
        config_file = make_demo_site(folder)
        settings = load_settings(config_file, overrides={"server": {"host": host, "port": port}})
        listener = Listener(settings)
        command = f"{shortest_program()} --config {shlex.quote(str(config_file))}"

        def announce() -> None:
            console.print(
                f"\n  The demo runs at [bold]{listener.name}/[/bold]"
                "   (Ctrl-C ends it)\n\n"
                "  On the page: publish the next version, upgrade Grace to it, and see that\n"
                "  Ada's page stays as it is. Then roll back.\n"
                "  In another terminal:\n"
                f"    {command} list\n"
                f"    {command} update NetworkReview --user {USERS[0].id}\n",
                highlight=False,
                soft_wrap=True,
            )
            if token := settings.admin.token:  # a site of an earlier release has none
                console.print(
                    f"  The console: [bold]{listener.name}/-/console[/bold]\n"
                    f"  Any name, and this password: {token}\n",
                    highlight=False,
                    soft_wrap=True,
                )

        gateway = Gateway(settings)
        application = create_demo_app(gateway)
        config = server_config(application, application, settings)
        ForegroundServer(config, gateway.stream_end, announce).run([listener.socket])
