"""Caddy's file_server with precompressed brotli files, one core, no checks, no log."""

from benchmarks.processes import HOST, Command
from benchmarks.serve.contestants.contestant import Served, folder_path, missing_program

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


class Caddy:
    name = "caddy"
    about = "Caddy file_server with precompressed br, no checks"

    def missing(self) -> str | None:
        return missing_program("caddy")

    def command(self, site: Served, port: int) -> Command:
        path = site.folder / "Caddyfile"
        path.write_text(_CADDYFILE.format(host=HOST, port=port, root=site.shared))
        # Caddy keeps state in the user's folders otherwise.
        state = {name: str(site.folder / "caddy") for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME")}
        return Command(("caddy", "run", "--config", str(path), "--adapter", "caddyfile"), state)

    def path(self, size_bytes: int) -> str:
        return folder_path(size_bytes)
