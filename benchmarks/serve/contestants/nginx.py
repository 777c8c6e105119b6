"""nginx serving the folder: one process, sendfile, open_file_cache, no checks, no log.

brotli_static where Debian's module of that name is installed.
"""

import re
import subprocess
from pathlib import Path

from benchmarks.processes import HOST, Command
from benchmarks.serve.contestants.contestant import Served, folder_path, missing_program

_BROTLI_MODULE = "ngx_http_brotli_static_module.so"
_MAIN = """\
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
_CONTENT = """\
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
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Nginx:
    name = "nginx"
    about = "nginx static folder, sendfile and open_file_cache, no checks"

    def missing(self) -> str | None:
        return missing_program("nginx")

    def command(self, site: Served, port: int) -> Command:
        folder = site.folder / "nginx"
        folder.mkdir()
        path = folder / "nginx.conf"
        content = _CONTENT.format(
            use_brotli="brotli_static on;" if brotli_module() else "",
            host=HOST,
            port=port,
            root=site.shared,
        )
        path.write_text(main_part(folder, content))
        return Command(("nginx", "-p", str(folder), "-c", str(path), "-e", f"{folder}/start.log"))

    def path(self, size_bytes: int) -> str:
        return folder_path(size_bytes)


def main_part(folder: Path, content: str) -> str:
    """A configuration of one process with files of its own in `folder`; `content`: of http."""
    module = brotli_module()
    return _MAIN.format(
        load_brotli=f"load_module {module};" if module else "",
        folder=folder,
        temporary_folders="\n    ".join(
            f"{name}_temp_path {folder / name};" for name in _TEMPORARY
        ),
        content=content,
    )


def brotli_module() -> Path | None:
    """The module's file, which nginx says where to look for."""
    told = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=False)  # noqa: S607
    match = re.search(r"--modules-path=(\S+)", told.stderr)
    path = Path(match[1]) / _BROTLI_MODULE if match else None
    return path if path is not None and path.is_file() else None
