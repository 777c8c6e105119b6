"""The servers of page loads: the gateway, new in each round; the bare application; file servers."""

import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import brotli

from benchmarks.apps import bare_pages_command
from benchmarks.client import Answer
from benchmarks.pages.cases import Case
from benchmarks.pages.visits import GatewayPaths, Kind, PageRequest, Urls, Visitors, rival_path
from benchmarks.processes import Running, ServerFailed, Servers, running
from benchmarks.serve.contestants import BARE, Contestant, Served, folder_path, start_rivals
from benchmarks.sites import Site
from benchmarks.wrk import RequestLists

_MANIFEST_NAME = "manifest.json"
# The gateway makes encoded variants after the first request for a file.
_READY_DEADLINE_S = 120.0
_POLL_S = 0.1


@dataclass(slots=True)
class Contender:
    """A server with its URLs, and what it answers."""

    name: str
    urls: Urls
    lengths: Mapping[Kind, int]
    """Lengths of contents, by kind of request."""
    servers: dict[int, Running] = field(default_factory=dict)
    """By the status of the answers."""
    lists: dict[str, RequestLists] = field(default_factory=dict)
    """By the name of the case."""

    def server(self, case: Case) -> Running:
        return self.servers[304 if case.revalidates else 200]

    def mean_bytes(self, case: Case) -> float:
        lengths = [self.lengths[page_request.kind] for page_request in case.requests]
        return sum(lengths) / len(lengths)


def serving(
    site: Site, core: int, folder: Path, settings: Mapping[str, str]
) -> AbstractContextManager[Running]:
    """The gateway over a kept site; `folder`: for its log. Raises: ServerFailed."""
    return running(partial(site.serve_command, settings=settings), core=core, folder=folder)


def gateway_answers(port: int, urls: Urls, requests: Iterable[PageRequest]) -> dict[Kind, Answer]:
    """The answers to these and to their public pinned twins, by kind, 200 and 304; files in br.

    Asks the manifests first, for their pins. Raises: ServerFailed.
    """
    files, answers = list(requests), {}
    for user in {file.user for file in files}:
        manifest = PageRequest(user, None)
        answer = answers[manifest.kind] = urls.ask(port, manifest)
        if isinstance(urls.path, GatewayPaths):
            urls.path.learn(answer.content)
    until = time.monotonic() + _READY_DEADLINE_S
    for file in files:
        for twin in (file, PageRequest(file.user, file.file, is_public=True)):
            while (answer := urls.ask(port, twin)).coding != "br":
                if answer.status != 200 or time.monotonic() > until:
                    raise ServerFailed(f"gateway: {answer.status} in {answer.coding}: {twin}")
                time.sleep(_POLL_S)
            answers[twin.kind] = answer
    for known in (*files, PageRequest(files[0].user, None)):
        again = PageRequest(known.user, known.file, revalidates=True)
        answer = answers[again.kind] = urls.ask(port, again)
        if answer.status != 304:
            raise ServerFailed(f"gateway: {answer.status} instead of 304: {again}")
    return answers


class Arena:
    """All servers but the gateway, which each round starts anew."""

    def __init__(self, servers: Servers, visitors: Visitors, cases: Sequence[Case]) -> None:
        self._servers = servers
        self._folder = servers.folder
        self._visitors = visitors
        self._files = visitors.every_file()
        self._cases = cases
        self.absent: list[str] = []
        """Servers that do not take part, a line each."""

    def enter_bare(self, gateway: Contender, answers: Mapping[Kind, Answer]) -> Contender:
        """One process for 200 and one for 304, with the gateway's answers by path."""
        # It has the gateway's URLs, and so its lists of requests too.
        twin = replace(gateway, name=BARE, servers={})
        for status in (200, 304):
            by_path = {
                gateway.urls.path(page_request): answers[page_request.kind]
                for case in self._cases
                if case.revalidates is (status == 304)
                for page_request in case.requests
            }
            twin.servers[status] = self._servers.start(
                lambda port, by_path=by_path: bare_pages_command(by_path, port, self._folder)  # type: ignore[misc]
            )
        return twin

    def enter_rivals(self, manifest: bytes) -> list[Contender]:
        """The rivals of the cases that can be started. Raises: ServerFailed, for a wrong answer."""
        rivals = {rival.name: rival for case in self._cases for rival in case.rivals}
        served = self._copy(manifest)
        return [
            self._tried(rival, server)
            for rival, server in start_rivals(self._servers, rivals.values(), served, self.absent)
        ]

    def _tried(self, rival: Contestant, server: Running) -> Contender:
        """With the lengths of its answers. Raises: ServerFailed."""
        urls = Urls(self._visitors, rival_path(rival.path, f"/{_MANIFEST_NAME}"))
        lengths: dict[Kind, int] = {}
        has_manifest = rival.path is folder_path
        manifest = [PageRequest(self._files[0].user, None)] if has_manifest else []
        for page_request in (*self._files, *manifest):
            public = PageRequest(page_request.user, page_request.file, is_public=True)
            again = PageRequest(page_request.user, page_request.file, revalidates=True)
            answer = urls.ask(server.port, page_request)
            if answer.status != 200:
                raise ServerFailed(f"{rival.name} answers {answer.status} to {page_request}")
            lengths |= {page_request.kind: len(answer.content), public.kind: len(answer.content)}
            lengths[again.kind] = 0
        return Contender(rival.name, urls, lengths, {200: server, 304: server})

    def _copy(self, manifest: bytes) -> Served:
        """The site's files with brotli variants and a manifest: the kept site is not changed."""
        site, shared = self._visitors.site, self._folder / "shared"
        shutil.copytree(site.shared, shared)
        for page_request in self._files:
            if page_request.file is not None:
                file = shared / page_request.file.path
                coded = brotli.compress(file.read_bytes(), quality=11)
                file.with_name(f"{file.name}.br").write_bytes(coded)
        (shared / _MANIFEST_NAME).write_bytes(manifest)
        return replace(Served.of(site), folder=self._folder, shared=shared)
