"""`python -m benchmarks lookup`: what a lookup costs, on a site that is made or on your own."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import click

from benchmarks.benchmark import Plan, Run, benchmark
from benchmarks.client import Request, browser_headers
from benchmarks.lookup.counted import concurrent_misses, hit_ratios, note_hit_ratios, note_misses
from benchmarks.lookup.latency import Loaded, load_at, note_latency, warm_up
from benchmarks.lookup.stages import measure_stages, note_stages
from benchmarks.machine import pinned_to
from benchmarks.open_loop import LAWS
from benchmarks.pages.servers import serving
from benchmarks.processes import in_fresh_process, run_in_loop
from benchmarks.sites import LASTING, Population, Site
from benchmarks.subjects import NothingToAsk, Subjects, made_subjects, own_subjects

_SUBJECTS = 2_000


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done."""

    users: int
    rounds: int
    rates: Sequence[int]
    load_s: float
    pages: int


_WHOLE = Effort(10_000, 20, (250, 500, 1000, 2000), 5.0, 20_000)
_QUICK = Effort(1_000, 2, (500,), 1.0, 500)


@benchmark(
    Plan(
        quick="Ten seconds, to see that it works.",
        packages=("databases", "aiosqlite", "cachetools", "orjson", "pyjwt", "uvicorn", "uvloop"),
        keeps_sites=True,
    )
)
@click.option("--database", metavar="URL", help="Of a site of your own, which is only read.")
@click.option("--plugins", metavar="DIR", help="Its plugins folder.")
@click.option("--url", metavar="URL", help="Of a file that a running gateway serves: load on it.")
@click.option("--token", default="", help="With --url: the bearer token to ask with.")
def lookup(
    run: Run, database: str | None, plugins: str | None, url: str | None, token: str
) -> None:
    """What a lookup costs: each stage, cold and warm; percentiles under load; hit ratios.

    The full run takes about two minutes. Leave the machine alone meanwhile.
    """
    if (database is None) != (plugins is None):
        raise click.UsageError("--database and --plugins: expected both or neither")
    effort = _QUICK if run.quick else _WHOLE
    run.describe(rounds=effort.rounds)
    if url is not None:
        note_latency(run.record, _load_url(run, url, token, effort))
        return
    if database is None or plugins is None:
        site = run.kept_site(Population(effort.users))
        subjects = made_subjects(site, _SUBJECTS)
        _measure_in_process(run, subjects, effort)
        note_latency(run.record, _load_site(run, site, subjects, effort))
    else:
        _measure_in_process(run, own_subjects(database, plugins, _SUBJECTS), effort)
    run.show("hit ratios")
    note_hit_ratios(run.record, run_in_loop(hit_ratios(effort.pages)))


def _measure_in_process(run: Run, subjects: Subjects, effort: Effort) -> None:
    core = run.cores.server
    with pinned_to(core):
        measured = run_in_loop(measure_stages(run, subjects, effort.rounds))
    note_stages(run.record, measured)
    run.show("concurrent misses")
    note_misses(run.record, in_fresh_process(core, concurrent_misses, subjects))


def _load_site(run: Run, site: Site, subjects: Subjects, effort: Effort) -> list[Loaded]:
    requests = [subjects.request(subject) for subject in subjects.chosen]
    with serving(site, run.cores.server, run.folder, LASTING) as server:
        run.show("requests by HTTP")
        warm_up(server, requests)
        return _load(run, server.port, requests, effort)


def _load_url(run: Run, url: str, token: str, effort: Effort) -> list[Loaded]:
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in ("127.0.0.1", "localhost"):
        raise NothingToAsk(f"--url: expected http://127.0.0.1:PORT/PATH, got {url!r}")
    request = Request(parts.path, browser_headers(token))
    return _load(run, parts.port or 80, [request], effort)


def _load(run: Run, port: int, requests: Sequence[Request], effort: Effort) -> list[Loaded]:
    cases = [(rate, law) for rate in effort.rates for law in LAWS]
    run.show("requests by HTTP", total=len(cases))
    loads = []
    for rate, law in cases:
        loads.append(load_at(port, requests, rate, law, effort.load_s))
        run.advance()
    return loads
