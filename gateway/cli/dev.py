"""`dev`: while it runs, the folder that a bundler writes is one user's version of a plugin."""

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import click

from gateway.application import Gateway
from gateway.cli.dev_terminal import Terminal
from gateway.cli.examples import example
from gateway.cli.parameters import SLUG, has_variables, is_site_described
from gateway.demo.application import create_demo_app
from gateway.demo.demo_site import find_demo_user, make_demo_site
from gateway.development.dev_server import DevServer
from gateway.development.developed_plugin import DevelopedPlugin
from gateway.development.development import Development
from gateway.development.plugin_folder import PluginFolder
from gateway.errors import ConfigurationError
from gateway.lint.linting import lint_for_site
from gateway.names import Slug, UserId, parse_user_id
from gateway.processes.foreground import ForegroundServer, exit_at_signals
from gateway.processes.listener import Listener
from gateway.processes.server import server_config
from gateway.settings import Settings, find_config_file, load_settings
from gateway.upkeep.checks import require_servable
from gateway.upkeep.developing import find_developer

_Overrides = Mapping[str, Mapping[str, Any]]

_SETTINGS: _Overrides = {
    "server": {"workers": 1, "uds": ""},
    "dev": {"enabled": True},
    "access": {"changes": "off"},
    "delivery": {"mode": "direct"},
    "http": {"require_integrity": False},  # nobody has published what a bundler has just written
}


@click.command(epilog=example("gateway dev build/NetworkReview --user ada"))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--user", metavar="ID", help="Who gets the plugin; on a temporary site also a name.")
@click.option("--slug", type=SLUG, help="The plugin, if plugin.json does not name it.")
@click.option(
    "--from", "dev_server", metavar="URL", help="Bundler's dev server that has the plugin's files."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Loopback address.")
@click.option("--port", type=click.IntRange(0, 65535), help="TCP port; 0: a free one.")
@click.pass_obj
def dev(
    config_file: Path | None,
    /,
    folder: Path,
    user: str | None,
    slug: Slug | None,
    dev_server: str | None,
    host: str,
    port: int | None,
) -> None:
    """Serves what a bundler writes as one user's plugin.

    FOLDER is the plugin's folder, or the one that the bundler writes. Each finished build is
    served at once. Nobody else gets it, nothing is published, and the database stays as it is.
    Without a site, it makes a temporary one with a page that shows the plugin.
    """
    multiprocessing.current_process().name = "dev"  # as the log calls this process
    exit_at_signals()
    plugin_folder = PluginFolder(folder)
    slug = plugin_folder.slug() if slug is None else slug
    server = None if dev_server is None else DevServer(dev_server)
    address = {"host": host} if port is None else {"host": host, "port": port}
    overrides = {**_SETTINGS, "server": {**_SETTINGS["server"], **address}}
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-dev-")))
        site = _own_site(config_file, user, overrides)
        if site is None:
            site = _temporary_site(work / "site", user, overrides)
        _serve(site, plugin_folder, slug, server, work / "builds")


class _Site(NamedTuple):
    settings: Settings
    user: UserId | None
    """Who gets the plugin; None: its only user."""
    page: str | None
    """Path and query of the host page; None: the site's pages are elsewhere."""


def _own_site(config_file: Path | None, user: str | None, overrides: _Overrides) -> _Site | None:
    """The site that `serve` would serve; None: nothing describes one."""
    if not is_site_described(config_file):
        return None
    try:
        user_id = None if user is None else parse_user_id(user)
    except ValueError as error:
        raise ConfigurationError(f"--user: {error}") from None
    settings = load_settings(config_file, overrides=overrides)
    try:
        require_servable(settings)
    except ConfigurationError as error:
        if config_file is not None or has_variables():
            raise
        found = find_config_file(os.environ)
        raise ConfigurationError(
            f"{found}, the site of this folder, cannot be served: {error};"
            " in a folder without a config.toml, gateway dev makes a site of its own"
        ) from None
    return _Site(settings, user_id, page=None)


def _temporary_site(folder: Path, user: str | None, overrides: _Overrides) -> _Site:
    chosen = find_demo_user(user)
    settings = load_settings(make_demo_site(folder), environ={}, overrides=overrides)
    return _Site(settings, chosen.id, page=f"/?user={chosen.key}")


def _serve(
    site: _Site, folder: PluginFolder, slug: Slug, server: DevServer | None, work: Path
) -> None:
    settings = site.settings
    developer = anyio.run(find_developer, settings, site.user, slug)
    plugin = DevelopedPlugin(
        developer.user,
        slug,
        developer.database_id,
        developer.scope,
        None if server is None else server.url,
    )
    listener = Listener(settings)
    terminal = Terminal(plugin, folder, listener.name, site.page)
    development = (
        Development.of_folder(folder, plugin, settings, work, terminal.report)
        if server is None
        else Development.of_dev_server(folder, plugin, settings, work, server)
    )
    terminal.lint = lambda version: lint_for_site(
        settings, development.folder_of(version), slug=slug
    )
    _server(site, development, terminal.announce).run([listener.socket])


def _server(
    site: _Site, development: Development, announce: Callable[[], None]
) -> ForegroundServer:
    gateway = Gateway(site.settings, development=development)
    if site.page is None:
        config = server_config(gateway.front, gateway.front, site.settings)
    else:
        pages = create_demo_app(gateway)
        config = server_config(pages, pages, site.settings)
    return ForegroundServer(config, gateway.stream_end, announce)
