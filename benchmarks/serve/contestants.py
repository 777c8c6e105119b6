"""The servers that are compared with the gateway, over the same files.

To add one: a row in RIVALS. The bare application is not among them: it is made of the gateway's
answers (apps.py).
"""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks.apps import app_command, plain_app_command
from benchmarks.processes import HOST, Command, Running, ServerFailed, Servers
from benchmarks.sites import Site
from gateway.names import Slug, Version

GATEWAY, BARE = "gateway", "bare"
ABOUT = {
    GATEWAY: "gateway serve: token verified, per-user check, metrics on",
    BARE: "an ASGI application that sends the gateway's bytes and fields, and nothing else",
}
_BROTLI_MODULE = "ngx_http_brotli_static_module.so"
_CADDYFILE = """\
{{
    admin off
    auto_https off
}}
http://{host}:{port} {{
    root * {root}
    file_server {{
        precompressed br
    }}
}}
"""
_NGINX_MAIN = """\
{load_brotli}
daemon off;
master_process off;
pcre_jit on;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections 1024; }}
http {{
    {temporary_folders}
    {content}
}}
"""
_NGINX_FOLDER = """\
    types {{ text/javascript js; }}
    access_log off;
    server_tokens off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    open_file_cache max=1000;
    {use_brotli}
    server {{
        listen {host}:{port};
        root {root};
    }}
"""
_NGINX_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")

FilePath = Callable[[Slug, Version, str], str]
"""The URL's path of a file of a version."""


@dataclass(frozen=True, slots=True)
class Served:
    """What a server must know of a site."""

    folder: Path
    """Theirs to write to."""
    plugins: Path
    shared: Path
    """The published files, with brotli variants beside them."""
    database: Path
    secret: str

    @classmethod
    def of(cls, site: Site) -> "Served":
        """With absolute paths: servers run in another folder."""
        folder, plugins = site.folder.absolute(), site.plugins.absolute()
        return cls(folder, plugins, plugins / "shared", site.database.absolute(), site.secret)


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server, and what it does for a request."""

    name: str
    about: str
    command: Callable[[Served, int], Command]
    """Gets the port; may write files into the folder."""
    path: FilePath
    program: str = ""
    package: str = ""
    """What must be installed."""

    @property
    def missing(self) -> str | None:
        """What is not installed; None if it can run."""
        if self.program and not shutil.which(self.program):
            return f"{self.program} is not installed"
        if self.package and not find_spec(self.package):
            return f"the package {self.package} is not installed"
        return None


def start_rivals(
    servers: Servers, rivals: Iterable[Contestant], served: Served, absent: list[str]
) -> Iterator[tuple[Contestant, Running]]:
    """Those that are installed and start. `absent` gets a line about each of the others."""
    for rival in rivals:
        if rival.missing:
            absent.append(f"{rival.name}: {rival.missing}")
            continue
        try:
            server = servers.start(partial(rival.command, served))
        except ServerFailed as error:
            absent.append(f"{rival.name}: did not start: {error}")
        else:
            yield rival, server


def own_path(slug: Slug, _version: Version, name: str) -> str:
    """The path at the gateway, which knows the caller's version."""
    return f"/api/v1/plugins/{slug}/{name}"


def folder_path(slug: Slug, version: Version, name: str) -> str:
    """The path at servers whose root is `plugins/shared`."""
    return f"/{slug}/v{version}/{name}"


def _design_command(factory: str) -> Callable[[Served, int], Command]:
    """An application that makes the gateway's decisions."""

    def command(site: Served, port: int) -> Command:
        paths = {"plugins": str(site.plugins), "database": str(site.database)}
        return app_command(factory, port, {**paths, "secret": site.secret})

    return command


def _folder_command(factory: str) -> Callable[[Served, int], Command]:
    """An application that serves a folder."""
    return lambda site, port: plain_app_command(factory, port, folder=str(site.shared))


def _caddy_command(site: Served, port: int) -> Command:
    """One core, precompressed brotli files, no log."""
    path = site.folder / "Caddyfile"
    path.write_text(_CADDYFILE.format(host=HOST, port=port, root=site.shared))
    # Otherwise Caddy writes its state into the user's home.
    state = {name: str(site.folder / "caddy") for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    return Command(("caddy", "run", "--config", str(path), "--adapter", "caddyfile"), state)


def _nginx_folder_command(site: Served, port: int) -> Command:
    """brotli_static where Debian's module of that name is installed."""
    use_brotli = "brotli_static on;" if brotli_module() else ""
    content = _NGINX_FOLDER.format(use_brotli=use_brotli, host=HOST, port=port, root=site.shared)
    return nginx_command(site.folder / "nginx", content)


def nginx_command(folder: Path, content: str) -> Command:
    """nginx as one process, its files in `folder`, which is made. content: of the http block."""
    folder.mkdir()
    module = brotli_module()
    path = folder / "nginx.conf"
    path.write_text(
        _NGINX_MAIN.format(
            load_brotli=f"load_module {module};" if module else "",
            folder=folder,
            temporary_folders="\n    ".join(
                f"{name}_temp_path {folder / name};" for name in _NGINX_TEMPORARY
            ),
            content=content,
        )
    )
    return Command(("nginx", "-p", str(folder), "-c", str(path), "-e", f"{folder}/start.log"))


def brotli_module() -> Path | None:
    """The file of nginx's module for brotli; None if it is not installed."""
    ended = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=False)  # noqa: S607
    match = re.search(r"--modules-path=(\S+)", ended.stderr)
    path = Path(match[1]) / _BROTLI_MODULE if match else None
    return path if path is not None and path.is_file() else None


UNCACHED = Contestant(
    "uncached",
    "token, JSON, query and FileResponse for every request, no caches",
    _design_command("create_uncached"),
    own_path,
)
MINIMAL = Contestant(
    "minimal",
    "docs/explanation/minimal.py: token, two TTL caches, FileResponse",
    _design_command("create_minimal"),
    own_path,
)
STATICFILES = Contestant(
    "staticfiles",
    "Starlette StaticFiles, no router, no checks",
    _folder_command("create_staticfiles"),
    folder_path,
)
SERVESTATIC = Contestant(
    "servestatic",
    "ServeStatic ASGI with its .br files, no checks",
    _folder_command("create_servestatic"),
    folder_path,
    package="servestatic",
)
CADDY = Contestant(
    "caddy",
    "Caddy file_server with precompressed br, no checks",
    _caddy_command,
    folder_path,
    program="caddy",
)
NGINX = Contestant(
    "nginx",
    "nginx static folder, sendfile and open_file_cache, no checks",
    _nginx_folder_command,
    folder_path,
    program="nginx",
)
RIVALS = (UNCACHED, MINIMAL, STATICFILES, SERVESTATIC, CADDY, NGINX)
ABOUT |= {rival.name: rival.about for rival in RIVALS}
