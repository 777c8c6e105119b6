"""Who answers page loads: the gateway, new in each round; the bare application; file servers."""

import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import brotli

from benchmarks.cores import Cores
from benchmarks.pages import bare
from benchmarks.pages.cases import Case
from benchmarks.pages.wanted import (
    MANIFEST_NAME,
    File,
    GatewayPaths,
    Urls,
    Visitors,
    Wanted,
    folder_path,
    uncached_path,
)
from benchmarks.population import PopulatedSite
from benchmarks.processes import (
    Command,
    Running,
    ServerFailed,
    free_port,
    gateway_command,
    running,
)
from benchmarks.serve.contestants.caddy import Caddy
from benchmarks.serve.contestants.contestant import Contestant
from benchmarks.serve.contestants.nginx import Nginx
from benchmarks.serve.contestants.staticfiles import StaticFilesServer
from benchmarks.serve.contestants.uncached import Uncached
from benchmarks.serve.probe import Answer
from gateway.upkeep.site import CONFIG_NAME

GATEWAY = "gateway"
RIVALS: Sequence[Contestant] = (Nginx(), Caddy(), StaticFilesServer(), Uncached())
# The gateway makes encoded variants after the first request for a file.
_READY_DEADLINE_S = 120.0
_POLL_S = 0.1
Kind = tuple[File | None, bool, bool]


@dataclass(frozen=True, slots=True)
class ServedCopy:
    """The site's files for servers that know no users: with brotli variants and a manifest."""

    folder: Path
    plugins: Path
    shared: Path
    database: Path
    secret: str
    environment: dict[str, str]


@dataclass(slots=True)
class Contender:
    """A server with its URLs, and what it answers."""

    name: str
    urls: Urls
    lengths: Mapping[Kind, int]
    """Of contents, by kind of request."""
    servers: dict[int, Running] = field(default_factory=dict)
    """By the status of the answers."""

    def server(self, case: Case) -> Running:
        return self.servers[304 if case.revalidates else 200]

    def mean_bytes(self, case: Case) -> float:
        lengths = [self.lengths[each.kind] for visit in case.visits for each in visit]
        return sum(lengths) / len(lengths)


@contextmanager
def serving(
    site: PopulatedSite, core: int, folder: Path, settings: Mapping[str, str]
) -> Iterator[Running]:
    """The gateway over a kept site; `folder`: for its log. Raises: ServerFailed."""
    port = free_port()
    environment = {**site.environment, "GATEWAY__OBSERVABILITY__METRICS": "true", **settings}
    command = gateway_command(environment, port, config=site.folder / CONFIG_NAME)
    with running(command, port, core=core, folder=folder) as server:
        yield server


def gateway_answers(port: int, urls: Urls, wanted: Iterable[Wanted]) -> dict[Kind, Answer]:
    """Its answers to these and to their public pinned twins, by kind, 200 and 304; files in br.

    Asks the manifests first, for their pins. Raises: ServerFailed.
    """
    files, found = list(wanted), {}
    for user in {each.user for each in files}:
        manifest = Wanted(user, None)
        answer = found[manifest.kind] = urls.ask(port, manifest)
        if isinstance(urls.path, GatewayPaths):
            urls.path.learn(answer.content)
    until = time.monotonic() + _READY_DEADLINE_S
    for file in files:
        for own in (file, Wanted(file.user, file.file, is_public=True)):
            while (answer := urls.ask(port, own)).coding != "br":
                if answer.status != 200 or time.monotonic() > until:
                    raise ServerFailed(f"gateway: {answer.status} in {answer.coding}: {own}")
                time.sleep(_POLL_S)
            found[own.kind] = answer
    for each in (*files, Wanted(files[0].user, None)):
        again = Wanted(each.user, each.file, revalidates=True)
        answer = found[again.kind] = urls.ask(port, again)
        if answer.status != 304:
            raise ServerFailed(f"gateway: {answer.status} instead of 304: {again}")
    return found


class Arena:
    """All servers but the gateway, which each round starts anew; the exit stack ends them."""

    def __init__(
        self,
        stack: ExitStack,
        visitors: Visitors,
        folder: Path,
        cores: Cores,
        cases: Sequence[Case],
    ) -> None:
        self._stack = stack
        self._folder = folder
        self._core = cores.server
        self._visitors = visitors
        self._files = visitors.everything()
        self._cases = cases
        self.absent: list[str] = []

    def enter_bare(self, gateway: Contender, answers: Mapping[Kind, Answer]) -> Contender:
        twin = Contender(bare.NAME, gateway.urls, gateway.lengths)
        for status in (200, 304):
            asked = {
                gateway.urls.path(each): answers[each.kind]
                for case in self._cases
                if case.revalidates is (status == 304)
                for visit in case.visits
                for each in visit
            }
            port = free_port()
            twin.servers[status] = self._start(bare.command(asked, port, self._folder), port)
        return twin

    def enter_rivals(self, names: Iterable[str], manifest: bytes) -> Iterator[Contender]:
        """Those that are installed."""
        rivals = [each for each in RIVALS if each.name in set(names)]
        copy = self._copy(manifest) if rivals else None
        for rival in rivals:
            missing = rival.missing()
            if missing or copy is None:
                self.absent.append(f"{rival.name}: {missing}")
                continue
            port = free_port()
            server = self._start(rival.command(copy, port), port)
            path = uncached_path if rival.name == "uncached" else folder_path
            yield self._tried(rival.name, Urls(self._visitors, path), server)

    def _tried(self, name: str, urls: Urls, server: Running) -> Contender:
        """With the lengths of its answers. Raises: ServerFailed."""
        lengths: dict[Kind, int] = {}
        manifest = [] if urls.path is uncached_path else [Wanted(self._files[0].user, None)]
        for each in (*self._files, *manifest):
            public = Wanted(each.user, each.file, is_public=True)
            again = Wanted(each.user, each.file, revalidates=True)
            answer = urls.ask(server.port, each)
            if answer.status != 200:
                raise ServerFailed(f"{name} answers {answer.status} to {each}")
            lengths |= {each.kind: len(answer.content), public.kind: len(answer.content)}
            lengths[again.kind] = 0
        return Contender(name, urls, lengths, {200: server, 304: server})

    def _copy(self, manifest: bytes) -> ServedCopy:
        site, shared = self._visitors.site, self._folder / "shared"
        shutil.copytree(site.plugins / "shared", shared)
        for each in self._files:
            if each.file is not None:
                file = shared / each.file.path
                coded = brotli.compress(file.read_bytes(), quality=11)
                file.with_name(f"{file.name}.br").write_bytes(coded)
        (shared / MANIFEST_NAME).write_bytes(manifest)
        return ServedCopy(
            *(self._folder, site.plugins, shared, site.database, site.secret, site.environment)
        )

    def _start(self, command: Command, port: int) -> Running:
        return self._stack.enter_context(
            running(command, port, core=self._core, folder=self._folder)
        )
