"""`python -m benchmarks upstream`: nginx with the gateway behind it, against nginx alone.

nginx runs with what `gateway proxy-config nginx --site` prints, in one process. It and the gateway
behind it share the server's core, so a figure is what one core gives for both.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from benchmarks.benchmark import Plan, Run, benchmark
from benchmarks.client import Answer, ask, browser_headers
from benchmarks.processes import HOST, Command, Running, ServerFailed, Servers, output_of
from benchmarks.serve.command import chosen_effort, measure_all, measuring_options
from benchmarks.serve.contestants import (
    NGINX,
    Served,
    brotli_module,
    folder_path,
    nginx_command,
    own_path,
)
from benchmarks.serve.entries import READY_DEADLINE_S, Entries, try_entry
from benchmarks.serve.tables import note
from benchmarks.sites import ENTRY, SLUG, VERSION, SmallSite, asset_path

STATIC = "static"
PINNED, AUTHORIZE, ACCEL, PROXY = "pinned", "authorize", "accel", "proxy"
_SIZES_KIB = (1, 16, 128)
_WORKERS = (1, 2, 4)
_ABOUT = {
    STATIC: "nginx alone, plain folder, open_file_cache, no checks",
    PINNED: "nginx, a pinned URL of the public route, sent without asking",
    AUTHORIZE: "nginx, bearer token; permissions remembered for delivery.authorize_ttl",
    ACCEL: "nginx, bearer token; the gateway names the file for each request",
    PROXY: "nginx, bearer token; the gateway sends the file",
    **{
        f"{n} workers": f"the gateway alone, {n} workers on all cores but the load's"
        for n in _WORKERS
    },
}
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Front:
    """A started server, and the path of the file of a size."""

    name: str
    running: Running
    path: Callable[[int], str]


@benchmark(
    Plan(
        quick="Half a minute, to see that it works.",
        packages=("starlette", "uvicorn", "uvloop", "httptools"),
        programs=("wrk", "nginx"),
        required=("wrk", "nginx"),
    )
)
@measuring_options
def upstream(run: Run, **options: Any) -> None:
    """Requests/s of one core: nginx with the gateway behind it, against nginx alone.

    Also those of the gateway alone with 1, 2 and 4 workers. The full run takes about five minutes.
    """
    if options["sizes_kib"] is None and not run.quick:
        options["sizes_kib"] = _SIZES_KIB
    effort = chosen_effort(quick=run.quick, **options)
    effort = replace(effort, cells=[cell for cell in effort.cells if cell.size_bytes])
    run.describe(**effort.facts, cores_of_workers=list(run.cores.all_servers))
    with Servers(run.cores.server, run.folder) as servers:
        site = SmallSite(run.folder, {cell.size_bytes for cell in effort.cells})
        run.show("starting the servers")
        fronts = _start_proxies(servers, site)
        if not run.quick:
            fronts += _start_workers(servers, site, run.cores.all_servers)
        entries = Entries()
        for cell in effort.cells:
            for front in fronts:
                tried = try_entry(
                    *(front.name, front.running, front.path(cell.size_bytes), cell, site),
                    # nginx alone has nothing to make first.
                    deadline_s=0 if front.name == STATIC else READY_DEADLINE_S,
                    also_object=partial(_wrong_sender, front),
                )
                entries.add(front.name, cell, tried)
        measurements = measure_all(run, effort, site, entries)
    note(run.record, effort.cells, measurements, _ABOUT, STATIC)
    ratios = {str(cell): measurements.ratio(PINNED, STATIC, cell) for cell in effort.cells}
    run.record.judge("behind_nginx", {cell: ratio for cell, ratio in ratios.items() if ratio})


def _start_proxies(servers: Servers, site: SmallSite) -> list[Front]:
    """nginx alone, and nginx in each mode with its gateway. Raises: ServerFailed."""
    static = servers.start(partial(NGINX.command, Served.of(site)))
    fronts = [Front(STATIC, static, lambda size: folder_path(SLUG, VERSION, asset_path(size)))]
    for mode, delivery in ((AUTHORIZE, AUTHORIZE), (ACCEL, ACCEL), (PROXY, "direct")):
        settings = {"GATEWAY__DELIVERY__MODE": delivery}
        gateway = servers.start(partial(site.serve_command, settings=settings))
        nginx = servers.start(partial(_nginx_command, site, mode, settings, gateway.port))
        nginx = replace(nginx, behind=(gateway,))
        if mode == AUTHORIZE:
            pinned = _pinned_prefix(gateway, site)
            fronts.append(Front(PINNED, nginx, lambda size, p=pinned: p + asset_path(size)))  # type: ignore[misc]
        fronts.append(Front(mode, nginx, _own_path))
    return fronts


def _start_workers(servers: Servers, site: SmallSite, cores: Sequence[int]) -> list[Front]:
    """The gateway alone, with each number of workers. Raises: ServerFailed."""
    fronts = []
    for number in _WORKERS:
        command = partial(_serve_with, site, "--workers", str(number))
        fronts.append(Front(f"{number} workers", servers.start(command, *cores), _own_path))
    return fronts


def _serve_with(site: SmallSite, option: str, value: str, port: int) -> Command:
    return site.serve_command(port, option, value)


def _pinned_prefix(gateway: Running, site: SmallSite) -> str:
    """The beginning of a pinned URL by database id, once the gateway has made its tree."""
    headers = {
        **browser_headers(site.bearer, "identity"),
        "X-Original-URI": own_path(SLUG, VERSION, ENTRY),
    }
    until = time.monotonic() + READY_DEADLINE_S
    while time.monotonic() < until:
        tree = ask(gateway.port, "/-/authorize", headers).field("x-plugin-tree") or "-"
        if tree != "-":
            return f"/api/v1/public/plugins/{site.user}_{tree}/"
        time.sleep(_POLL_S)
    raise ServerFailed("the gateway made no tree")


def _nginx_command(
    site: SmallSite, mode: str, settings: dict[str, str], upstream_port: int, port: int
) -> Command:
    """nginx with the configuration that the gateway prints."""
    folder = site.folder / f"nginx-{mode}"
    options = ["--mode", mode, "--listen", f"{HOST}:{port}", "--site"]
    options += ["--permissions-folder", str(folder / "permissions")]
    options += ["--brotli"] if brotli_module() else []
    settings = {**settings, "GATEWAY__SERVER__PORT": str(upstream_port)}
    command = site.command("proxy-config", "nginx", *options, settings=settings)
    return nginx_command(folder, output_of(command))


def _own_path(size_bytes: int) -> str:
    return own_path(SLUG, VERSION, asset_path(size_bytes))


def _wrong_sender(front: Front, answer: Answer) -> str | None:
    """nginx makes its own ETag, of time and size; the gateway's has 32 digits."""
    sent_by_nginx = len(answer.field("etag") or "") < 32
    if front.name in (PINNED, AUTHORIZE) and not sent_by_nginx:
        return "is answered by the gateway"
    return None
