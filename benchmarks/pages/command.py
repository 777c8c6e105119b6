"""`python -m benchmarks pages`: page loads of users who are known, and of users never seen."""

from contextlib import AbstractContextManager
from dataclasses import replace

import click

from benchmarks.benchmark import Plan, Run, benchmark
from benchmarks.figures import spread_of
from benchmarks.pages.cases import FILES, Case, Effort, judge_cases, make_cases
from benchmarks.pages.servers import Arena, Contender, gateway_answers, serving
from benchmarks.pages.visits import GatewayPaths, PageRequest, Urls, Visitors
from benchmarks.processes import Running, Servers
from benchmarks.record import Table
from benchmarks.serve.contestants import ABOUT, BARE, GATEWAY
from benchmarks.serve.rounds import Failure, Measurement, Measurements, in_turn, measure
from benchmarks.serve.tables import note
from benchmarks.sites import LASTING, Population
from benchmarks.wrk import LoadFailed, RequestLists, Until, check_length

FILE_BYTES = 13 * 1024
SITE = Population(40_000, 5, 5, plugins=40, file_bytes=FILE_BYTES)
QUICK_SITE = Population(3_000, 5, 5, plugins=10, file_bytes=FILE_BYTES)
_WHOLE = Effort(8_000, 1_000, 3_000, 12_000, rounds=5, duration_s=3)
_QUICK = Effort(400, 50, 100, 1_000, rounds=1, duration_s=1)
# The last page is cut off, so the mean size of answers differs a little from the list's.
_TOLERANCE = 0.1
_ABOUT = {
    **ABOUT,
    GATEWAY: "gateway serve, new in each round",
    BARE: "an ASGI application with a dictionary of the gateway's bytes and fields by raw path,"
    " and nothing else; one manifest for all users",
}


@benchmark(
    Plan(
        quick="Half a minute, to see that it works; the gateway and the bare application alone.",
        packages=("uvicorn", "uvloop", "httptools", "databases", "aiosqlite", "cachetools"),
        programs=("wrk", "nginx", "caddy"),
        required=("wrk",),
        keeps_sites=True,
    )
)
@click.option(
    "--rounds", type=click.IntRange(1), help="Times that everything is measured; 5, quick 1."
)
def pages(run: Run, rounds: int | None) -> None:
    """Page loads as browsers make them, of users who are known and of users never seen.

    The full run takes about ten minutes. Leave the machine alone meanwhile.
    """
    effort = _QUICK if run.quick else _WHOLE
    effort = replace(effort, rounds=rounds or effort.rounds)
    run.describe(rounds=effort.rounds, duration_s=effort.duration_s, file_bytes=FILE_BYTES)
    visitors = Visitors(run.kept_site(QUICK_SITE if run.quick else SITE))
    with Servers(run.cores.server, run.folder) as servers:
        measuring = _Measuring(servers, run, visitors, effort)
        measuring.start()
        measuring.measure_all()
    measuring.note()


class _Measuring:
    """One run, round by round."""

    def __init__(self, servers: Servers, run: Run, visitors: Visitors, effort: Effort) -> None:
        self._servers = servers
        self._run = run
        self._visitors = visitors
        self._effort = effort
        self._files = visitors.every_file()
        self._cases = make_cases(visitors, effort)
        urls = Urls(visitors, GatewayPaths(visitors))
        self._gateway = Contender(GATEWAY, urls, {})
        self._contenders: list[Contender] = []
        self._before: dict[str, RequestLists] = {}
        self._measurements = Measurements()

    def start(self) -> None:
        """Starts all servers but the gateway, which is asked once for every answer before."""
        run, gateway = self._run, self._gateway
        run.show("starting the servers")
        with self._serving() as server:
            answers = gateway_answers(server.port, gateway.urls, self._files)
            # The manifest of each user has an ETag of its own.
            again = [case.visits for case in self._cases if case.revalidates]
            manifests = {visit[0] for visits in again for visit in visits if visit[0].file is None}
            for user in {manifest.user for manifest in manifests}:
                gateway.urls.ask(server.port, PageRequest(user, None))
        gateway.lengths = {kind: len(answer.content) for kind, answer in answers.items()}
        arena = Arena(self._servers, self._visitors, self._cases)
        self._contenders = [arena.enter_bare(gateway, answers), gateway]
        if not run.quick:
            self._contenders += arena.enter_rivals(answers[PageRequest(0, None).kind].content)
        for line in arena.absent:
            run.record.remark(f"skipped: {line}")
        self._write_lists()

    def _write_lists(self) -> None:
        folder = self._run.folder
        for place, case in enumerate(self._cases):
            for contender in self._taking_part(case):
                if case.name not in contender.lists:
                    lists = [map(contender.urls.raw, requests) for requests in case.lists]
                    files = RequestLists(folder / f"requests-{place}-{contender.name}", lists)
                    contender.lists[case.name] = files
            if case.before:
                raw = map(self._gateway.urls.raw, case.before)
                self._before[case.name] = RequestLists(folder / f"before-{place}", [raw])

    def measure_all(self) -> None:
        steps = sum(len(self._taking_part(case)) for case in self._cases)
        self._run.show("", total=self._effort.rounds * steps)
        for number in range(1, self._effort.rounds + 1):
            with self._serving() as server:
                self._gateway.servers = {200: server, 304: server}
                gateway_answers(server.port, self._gateway.urls, self._files)
                for case in self._cases:
                    if case.name in self._before:
                        self._before[case.name].send(server.port, Until.LAST_ANSWER, 8)
                    for contender in in_turn(self._taking_part(case), number):
                        self._run.show_step(f"round {number}: {case}, {contender.name}")
                        self._measurements.add(self._measured(case, contender, number))
                        self._run.advance()

    def _measured(self, case: Case, contender: Contender, number: int) -> Measurement | Failure:
        server = contender.server(case)
        lists = contender.lists[case.name]
        # A repeated list would find the gateway's caches filled; other servers have no such caches.
        until = case.until if contender is self._gateway else Until.TIME
        try:
            measurement = measure(
                *(contender.name, case, number, server, self._run.cores),
                load=lambda: lists.send(
                    server.port, until, case.connections, self._effort.duration_s
                ),
            )
            check_length(measurement.report, contender.mean_bytes(case), tolerance=_TOLERANCE)
        except LoadFailed as error:
            return Failure(contender.name, case, number, str(error))
        return measurement

    def note(self) -> None:
        record = self._run.record
        note(record, self._cases, self._measurements, _ABOUT)
        record.tables.append(self._page_table())
        judge_cases(record, self._cases, self._measurements)

    def _page_table(self) -> Table:
        """Page loads/s, and what they ask of the database."""
        rows = []
        for case in self._cases:
            size = len(case.visits[0])
            cells = []
            for name in (GATEWAY, BARE):
                measured = self._measurements.of(name, case)
                rate = spread_of(
                    measurement.report.requests_per_s / size for measurement in measured
                )
                cells.append(f"{rate.median:,.0f}" if rate else "")
            queries = spread_of(
                measurement.queries / measurement.report.requests * size
                for measurement in self._measurements.counted
                if (measurement.server, measurement.case) == (GATEWAY, case)
            )
            rows.append([case.name, *cells, f"{queries.median:.3f}" if queries else ""])
        columns = ("page loads, single requests", "gateway /s", "bare /s", "queries each")
        return Table(f"A page load is the manifest and {FILES} files", columns, rows)

    def _taking_part(self, case: Case) -> list[Contender]:
        names = {GATEWAY, BARE, *(rival.name for rival in case.rivals)}
        return [contender for contender in self._contenders if contender.name in names]

    def _serving(self) -> AbstractContextManager[Running]:
        run = self._run
        return serving(self._visitors.site, run.cores.server, run.folder, LASTING)
