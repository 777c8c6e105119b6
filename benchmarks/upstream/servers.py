"""Who is measured: nginx alone, nginx in each mode with its gateway, the gateway with workers.

nginx runs with what `gateway proxy-config nginx --site` prints, in one process. It and the gateway
behind it share the server's core, so the figure is what one core gives for both.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.browser import script_request
from benchmarks.cores import Cores
from benchmarks.processes import (
    HOST,
    Command,
    Running,
    ServerFailed,
    free_port,
    gateway_command,
    inherited_environment,
    running,
)
from benchmarks.serve.cells import Cell
from benchmarks.serve.contestants.nginx import Nginx, brotli_module, main_part
from benchmarks.serve.entries import Entry
from benchmarks.serve.probe import Answer, ask, objection
from benchmarks.site import SLUG, Site, asset_path

STATIC = "static"
PINNED, AUTHORIZE, ACCEL, PROXY = "pinned", "authorize", "accel", "proxy"
NGINX_SERVERS = (STATIC, PINNED, AUTHORIZE, ACCEL, PROXY)
WORKERS = (1, 2, 4)
ABOUT = {
    STATIC: "nginx alone, plain folder, open_file_cache, no checks",
    PINNED: "nginx, a pinned URL of the public route, sent without asking",
    AUTHORIZE: "nginx, bearer token; permissions remembered for delivery.authorize_ttl",
    ACCEL: "nginx, bearer token; the gateway names the file for each request",
    PROXY: "nginx, bearer token; the gateway sends the file",
    **{
        f"{n} workers": f"the gateway alone, {n} workers on all cores but the load's"
        for n in WORKERS
    },
}
_DEADLINE_S = 60.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Front:
    """A started server, and the path of the file of a size."""

    name: str
    running: Running
    path: Callable[[int], str]


def start_all(
    stack: ExitStack, site: Site, cores: Cores, numbers_of_workers: Sequence[int]
) -> list[Front]:
    """All of them. Raises: ServerFailed."""
    own = _own_path

    def nginx_alone(port: int) -> Command:
        return Nginx().command(site, port)

    static = _start(stack, site, cores.server, nginx_alone)
    fronts = [Front(STATIC, static, Nginx().path)]
    for mode, delivery in ((AUTHORIZE, AUTHORIZE), (ACCEL, ACCEL), (PROXY, "direct")):
        settings = {**site.environment, "GATEWAY__DELIVERY__MODE": delivery}
        gateway = _start(stack, site, cores.server, partial(gateway_command, settings))
        nginx = _start(
            stack,
            site,
            cores.server,
            lambda port, m=mode, s=settings, g=gateway: _nginx(site, m, s, g.port, port),  # type: ignore[misc]
        )
        nginx = replace(nginx, behind=(gateway,))
        if mode == AUTHORIZE:
            prefix = _kept_tree(site, gateway)
            fronts.append(Front(PINNED, nginx, lambda size, p=prefix: p + asset_path(size)))  # type: ignore[misc]
        fronts.append(Front(mode, nginx, own))
    for number in numbers_of_workers:
        workers = _start(
            stack,
            site,
            cores.all_servers,
            lambda port, n=number: gateway_command(site.environment, port, "--workers", str(n)),  # type: ignore[misc]
        )
        fronts.append(Front(f"{number} workers", workers, own))
    return fronts


def entry(front: Front, site: Site, cell: Cell) -> Entry | str:
    """The request for a cell; or the last objection to its answer, once the time is over."""
    until = time.monotonic() + _DEADLINE_S
    path = front.path(cell.size_bytes)
    while True:
        headers = dict(script_request(site.token, cell.case.accept_encoding))
        answer = ask(front.running.port, path, headers)
        if cell.case.status == 304:
            headers["If-None-Match"] = answer.field("etag") or "missing"
            answer = ask(front.running.port, path, headers)
        objected = objection(answer, cell, site) or _by_whom(front, answer)
        if objected is None:
            return Entry(front.name, cell, front.running, path, headers, len(answer.content))
        if time.monotonic() >= until:
            return objected
        time.sleep(_POLL_S)


def _by_whom(front: Front, answer: Answer) -> str | None:
    """nginx makes its own ETag, of time and size; the gateway's has 32 digits."""
    sent_by_nginx = len(answer.field("etag") or "") < 32
    if front.name in (PINNED, AUTHORIZE) and not sent_by_nginx:
        return "is answered by the gateway"
    return None


def _own_path(size_bytes: int) -> str:
    return f"/api/v1/plugins/{SLUG}/{asset_path(size_bytes)}"


def _kept_tree(site: Site, gateway: Running) -> str:
    """The beginning of a pinned URL by database id, once its tree is there.

    Raises: ServerFailed.
    """
    headers = {
        **script_request(site.token, "identity"),
        "X-Original-URI": f"/api/v1/plugins/{SLUG}/dist/remoteEntry.js",
    }
    until = time.monotonic() + _DEADLINE_S
    while time.monotonic() < until:
        tree = ask(gateway.port, "/-/authorize", headers).field("x-plugin-tree") or "-"
        if tree != "-":
            return f"/api/v1/public/plugins/{site.user}_{tree}/"
        time.sleep(_POLL_S)
    raise ServerFailed("the gateway made no tree")


def _start(
    stack: ExitStack, site: Site, core: int | Sequence[int], command: Callable[[int], Command]
) -> Running:
    port = free_port()
    return stack.enter_context(running(command(port), port, core=core, folder=site.folder))


def _nginx(
    site: Site, mode: str, environment: dict[str, str], upstream_port: int, port: int
) -> Command:
    folder = site.folder / f"nginx-{mode}"
    folder.mkdir()
    options = ["--mode", mode, "--listen", f"{HOST}:{port}", "--site"]
    options += ["--permissions-folder", str(folder / "permissions")]
    options += ["--brotli"] if brotli_module() else []
    printed = subprocess.run(  # noqa: S603 (a command of our own)
        [
            sys.executable,
            "-m",
            "gateway",
            "--config",
            "config.toml",
            "proxy-config",
            "nginx",
            *options,
        ],
        env={**inherited_environment(), **environment, "GATEWAY__SERVER__PORT": str(upstream_port)},
        cwd=site.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if printed.returncode:
        raise ServerFailed(printed.stderr)
    path = Path(folder / "nginx.conf")
    path.write_text(main_part(folder, printed.stdout))
    return Command(("nginx", "-p", str(folder), "-c", str(path), "-e", f"{folder}/start.log"))
