"""`python -m benchmarks pages`: options in; tables, verdicts and files out."""

import tempfile
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import click
from rich.progress import Progress

from benchmarks.cores import Cores
from benchmarks.counters import QUERIES, hot_share, read_counters
from benchmarks.load.listed import RequestLists, Until
from benchmarks.load.report import LoadReport
from benchmarks.load.wrk import LoadFailed
from benchmarks.pages import bare
from benchmarks.pages.cases import FILES, Case, Effort, make_cases, verdicts
from benchmarks.pages.servers import (
    GATEWAY,
    RIVALS,
    Arena,
    Contender,
    gateway_answers,
    serving,
)
from benchmarks.pages.wanted import GatewayPaths, Urls, Visitors, Wanted
from benchmarks.population import PopulatedSite, Population, kept_site
from benchmarks.processes import Running
from benchmarks.ratios import spread_of
from benchmarks.record import Record, Table
from benchmarks.running import (
    finish,
    gather_facts,
    new_console,
    on_two_cores,
    output_option,
    progress,
    quick_option,
    require_wrk,
    show_facts,
    site_dir_option,
)
from benchmarks.serve.figures import Failure, Figure, Figures
from benchmarks.serve.measuring import clocks
from benchmarks.serve.record import recorded
from benchmarks.serve.report import note
from benchmarks.subjects import LASTING

FILE_BYTES = 13 * 1024
SITE = Population(40_000, 5, 5, plugins=40, file_bytes=FILE_BYTES)
QUICK_SITE = Population(3_000, 5, 5, plugins=10, file_bytes=FILE_BYTES)
_WHOLE = Effort(8_000, 1_000, 3_000, 12_000, rounds=5, duration_s=3)
_QUICK = Effort(400, 50, 100, 1_000, rounds=1, duration_s=1)
_PACKAGES = ("uvicorn", "uvloop", "httptools", "databases", "aiosqlite", "cachetools")
_PROGRAMS = ("wrk", "nginx", "caddy")
_HEAD_BYTES = 2048
"""Header fields of an answer have no more."""


@click.command()
@click.option(
    "--rounds", type=click.IntRange(1), help="Times that everything is measured; 5, quick 1."
)
@site_dir_option
@quick_option("Half a minute, to see that it works; the gateway and the bare application alone.")
@output_option
def pages(rounds: int | None, site_dir: Path, quick: bool, output: Path) -> None:
    """Page loads as browsers make them, of users who are known and of users never seen.

    The full run takes about ten minutes. Leave the machine alone meanwhile.
    """
    require_wrk()
    effort = _QUICK if quick else _WHOLE
    rounds = rounds or effort.rounds
    console = new_console()
    with on_two_cores() as cores, progress(console) as bar:
        options = {
            "quick": quick,
            "rounds": rounds,
            "duration_s": effort.duration_s,
            "file_bytes": FILE_BYTES,
            "server_core": cores.server,
            "load_core": cores.load,
        }
        record = Record("pages", gather_facts(_PACKAGES, _PROGRAMS, options))
        show_facts(console, record.facts)
        site = kept_site(site_dir, QUICK_SITE if quick else SITE)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
            folder.chmod(0o755)  # nginx may be another user
            measuring = _Measuring(stack, site, folder, cores, effort)
            measuring.start(with_rivals=not quick)
            measuring.measure(rounds, bar)
        measuring.note(record)
    finish(console, record, output)


class _Measuring:
    """One run, round by round."""

    def __init__(
        self, stack: ExitStack, site: PopulatedSite, folder: Path, cores: Cores, effort: Effort
    ) -> None:
        self._stack = stack
        self._site = site
        self._folder = folder
        self._cores = cores
        self._duration_s = effort.duration_s
        self._visitors = Visitors(site)
        self._files = self._visitors.everything()
        self._cases = make_cases(self._visitors, effort)
        self._contenders: list[Contender] = []
        self._lists: dict[tuple[str, str], RequestLists] = {}
        self._before: dict[str, RequestLists] = {}
        self._figures = Figures()
        self._queries: dict[str, list[float]] = {}
        """For each request, by case and round."""
        self._absent: list[str] = []

    def start(self, *, with_rivals: bool) -> None:
        """Starts all servers but the gateway, which is asked once for every answer before."""
        urls = Urls(self._visitors, GatewayPaths(self._visitors))
        with self._gateway() as server:
            answers = gateway_answers(server.port, urls, self._files)
            # Their own manifests have ETags of their own.
            again = [visit[0] for case in self._cases if case.revalidates for visit in case.visits]
            for user in {each.user for each in again if each.file is None}:
                urls.ask(server.port, Wanted(user, None))
        lengths = {kind: len(answer.content) for kind, answer in answers.items()}
        gateway = Contender(GATEWAY, urls, lengths)
        arena = Arena(self._stack, self._visitors, self._folder, self._cores, self._cases)
        self._contenders = [arena.enter_bare(gateway, answers), gateway]
        if with_rivals:
            names = {name for case in self._cases for name in case.rivals}
            manifest = answers[Wanted(0, None).kind].content
            self._contenders += arena.enter_rivals(names, manifest)
        self._absent = arena.absent
        self._write_lists(gateway)

    def _write_lists(self, gateway: Contender) -> None:
        for place, case in enumerate(self._cases):
            for each in self._taking_part(case):
                # The bare application's requests are the gateway's.
                owner = GATEWAY if each.name == bare.NAME else each.name
                if (case.name, owner) not in self._lists:
                    lists = [map(each.urls.request, wanted) for wanted in case.lists]
                    folder = self._folder / f"requests-{place}-{owner}"
                    self._lists[case.name, owner] = RequestLists(folder, lists)
            if case.before:
                requests = map(gateway.urls.request, case.before)
                self._before[case.name] = RequestLists(self._folder / f"before-{place}", [requests])

    def measure(self, rounds: int, bar: Progress) -> None:
        steps = sum(len(self._taking_part(case)) for case in self._cases)
        task = bar.add_task("", total=rounds * steps)
        for number in range(1, rounds + 1):
            with self._gateway() as server:
                gateway = next(each for each in self._contenders if each.name == GATEWAY)
                gateway.servers = {200: server, 304: server}
                gateway_answers(server.port, gateway.urls, self._files)
                for case in self._cases:
                    if case.name in self._before:
                        self._before[case.name].send(server.port, Until.LAST_ANSWER, 8)
                    found = self._taking_part(case)
                    for each in found if number % 2 else reversed(found):
                        bar.update(task, description=f"round {number}: {case}, {each.name}"[:70])
                        self._measure(case, each, number)
                        bar.advance(task)

    def _measure(self, case: Case, contender: Contender, number: int) -> None:
        server, is_ours = contender.server(case), contender.name == GATEWAY
        owner = GATEWAY if contender.name == bare.NAME else contender.name
        # Only the gateway could know a request from the time before.
        until = case.until if is_ours else Until.TIME
        counted = read_counters(server.port) if is_ours else None
        before = clocks([server], self._cores)
        try:
            lists = self._lists[case.name, owner]
            report = lists.send(server.port, until, case.connections, self._duration_s)
            after = clocks([server], self._cores)
            check_length(report, contender.mean_bytes(case))
        except LoadFailed as error:
            self._figures.failures.append(Failure(contender.name, case, number, str(error)))
            return
        server_s, others_s = (now - then for now, then in zip(after, before, strict=True))
        share = None
        if counted is not None:
            now = read_counters(server.port)
            share = hot_share(counted, now)
            queries = (now[QUERIES] - counted[QUERIES]) / report.requests
            self._queries.setdefault(case.name, []).append(queries)
        self._figures.counted.append(
            Figure(contender.name, case, number, report, server_s, others_s, share)
        )

    def note(self, record: Record) -> None:
        figures = self._figures
        about = {GATEWAY: "gateway serve, new in each round", bare.NAME: bare.ABOUT}
        about |= {rival.name: rival.about for rival in RIVALS}
        note(record, self._cases, figures, about)
        record.tables.append(self._page_table())
        record.verdicts += verdicts(self._cases, figures)
        for line in self._absent:
            record.remark(f"skipped: {line}")
        record.details["rounds"] = recorded(figures)

    def _page_table(self) -> Table:
        """Page loads/s, and what they ask of the database."""
        rows = []
        for case in self._cases:
            size = len(case.visits[0])
            cells = []
            for name in (GATEWAY, bare.NAME):
                found = spread_of(
                    each.report.requests_per_s / size for each in self._figures.of(name, case)
                )
                cells.append(f"{found.median:,.0f}" if found else "")
            queries = spread_of(each * size for each in self._queries.get(case.name, ()))
            rows.append([case.name, *cells, f"{queries.median:.3f}" if queries else ""])
        columns = ("page loads, single requests", "gateway /s", "bare /s", "queries each")
        return Table(f"A page load is the manifest and {FILES} files", columns, rows)

    def _taking_part(self, case: Case) -> list[Contender]:
        names = {GATEWAY, bare.NAME, *case.rivals}
        return [each for each in self._contenders if each.name in names]

    def _gateway(self) -> AbstractContextManager[Running]:
        return serving(self._site, self._cores.server, self._folder, LASTING)


def check_length(report: LoadReport, mean_bytes: float) -> None:
    """Whether the answers had that much content each, on average. Raises: LoadFailed.

    wrk looks at errors alone: this tells 304 from 200. A tenth: pages that were not finished.
    """
    each = report.received_bytes / report.requests
    if not 0.9 * mean_bytes <= each <= 1.1 * mean_bytes + _HEAD_BYTES:
        raise LoadFailed(f"{each:.0f} bytes for each answer, expected {mean_bytes:.0f} and a head")
