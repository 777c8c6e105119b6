"""Servers started and tried: who takes part in which cell, with which request.

The gateway comes first, for the bare application repeats its answers.
"""

import http.client
import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks.browser import script_request
from benchmarks.cores import Cores
from benchmarks.processes import HOST, Running, ServerFailed, free_port, running
from benchmarks.serve.cells import MANIFEST, Cell, size_text
from benchmarks.serve.contestants import bare
from benchmarks.serve.contestants.contestant import Contestant
from benchmarks.serve.probe import Answer, ask, objection
from benchmarks.site import Site

# The gateway makes encoded variants after the first request; 1 MiB of brotli takes seconds.
_READY_DEADLINE_S = 60.0
_POLL_S = 0.1
MANIFEST_PATH = "/api/v1/plugins/manifest"


@dataclass(frozen=True, slots=True)
class Entry:
    """A server in a cell: the request, and the process that answers it."""

    server: str
    cell: Cell
    running: Running
    path: str
    headers: dict[str, str]
    content_bytes: int
    """Length of an answer's content."""

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.running.port}{self.path}"

    def ask(self) -> Answer:
        return ask(self.running.port, self.path, self.headers)


@dataclass(slots=True)
class Entries:
    """Who takes part, and who does not, and why."""

    by_cell: dict[Cell, list[Entry]] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    """Servers that do not take part at all, a line each."""
    skipped: dict[tuple[str, str, str], list[Cell]] = field(default_factory=dict)
    """Cells by server, case and reason."""


def skipped_lines(entries: Entries) -> list[str]:
    """Who does not take part in what, and why."""
    lines = list(entries.absent)
    for (server, case, reason), cells in entries.skipped.items():
        sizes = ", ".join(size_text(cell.size_bytes) for cell in cells)
        lines.append(f"{server}, {case} ({sizes}): {reason}")
    return lines


class Starter:
    """Starts servers and tries them; the exit stack ends them."""

    def __init__(self, stack: ExitStack, site: Site, cores: Cores, cells: Sequence[Cell]) -> None:
        self._stack = stack
        self._site = site
        self._cores = cores
        self._cells = cells
        self.entries = Entries({cell: [] for cell in cells})

    def enter_ours(self, gateway: Contestant, *, with_bare: bool) -> None:
        """The gateway, and before it in each cell the bare application.

        Raises: ServerFailed, also where the gateway's answer is not what it should be.
        """
        server = self._start(gateway)
        for cell in self._cells:
            answer = self._try(gateway, server, cell, _READY_DEADLINE_S)
            if isinstance(answer, str):
                raise ServerFailed(f"{gateway.name}, {cell}: {answer}")
            entry, captured = answer
            if with_bare:
                self.entries.by_cell[cell].append(self._bare_entry(entry, captured))
            self.entries.by_cell[cell].append(entry)

    def enter(self, contestant: Contestant) -> None:
        """A rival, in the cells of files that it can answer."""
        missing = contestant.missing()
        if missing:
            self.entries.absent.append(f"{contestant.name}: {missing}")
            return
        try:
            server = self._start(contestant)
        except ServerFailed as error:
            self.entries.absent.append(f"{contestant.name}: did not start: {error}")
            return
        for cell in self._cells:
            if cell.case == MANIFEST:  # nobody else has one
                continue
            answer = self._try(contestant, server, cell, 0.0)
            if isinstance(answer, str):
                reason = (contestant.name, cell.case.name, answer)
                self.entries.skipped.setdefault(reason, []).append(cell)
            else:
                self.entries.by_cell[cell].append(answer[0])

    def _start(self, contestant: Contestant) -> Running:
        port = free_port()
        command = contestant.command(self._site, port)
        return self._stack.enter_context(
            running(command, port, core=self._cores.server, folder=self._site.folder)
        )

    def _bare_entry(self, entry: Entry, answer: Answer) -> Entry:
        port = free_port()
        command = bare.command(answer, port, self._site.folder)
        server = self._stack.enter_context(
            running(command, port, core=self._cores.server, folder=self._site.folder)
        )
        twin = Entry(bare.NAME, entry.cell, server, entry.path, entry.headers, entry.content_bytes)
        if _without_date(twin.ask()) != _without_date(answer):
            raise ServerFailed(f"{bare.NAME}, {entry.cell}: not the gateway's answer")
        return twin

    def _try(
        self, contestant: Contestant, server: Running, cell: Cell, deadline_s: float
    ) -> tuple[Entry, Answer] | str:
        """The entry with its first answer; or the last objection, once the time is over."""
        path = MANIFEST_PATH if cell.case == MANIFEST else contestant.path(cell.size_bytes)
        until = time.monotonic() + deadline_s
        while True:
            headers = dict(script_request(self._site.token, cell.case.accept_encoding))
            try:
                if cell.case.status == 304:
                    etag = ask(server.port, path, headers).field("etag")
                    if etag is None:
                        return "sends no ETag"
                    headers["If-None-Match"] = etag
                answer = ask(server.port, path, headers)
            except (OSError, http.client.HTTPException) as error:
                return f"does not answer: {error}"
            objected = objection(answer, cell, self._site)
            if objected is None:
                length = len(answer.content)
                return Entry(contestant.name, cell, server, path, headers, length), answer
            if time.monotonic() >= until:
                return objected
            time.sleep(_POLL_S)


def _without_date(answer: Answer) -> tuple[int, Collection[tuple[str, str]], bytes]:
    fields = [(name, value) for name, value in answer.fields if name != "date"]
    return answer.status, fields, answer.content
