"""Starts servers and tries their answers: which server takes part in which cell."""

import http.client
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from benchmarks.apps import bare_command
from benchmarks.client import Answer, Request, ask, browser_headers
from benchmarks.processes import Running, ServerFailed, Servers
from benchmarks.serve.cells import MANIFEST, Cell, objection, size_text
from benchmarks.serve.contestants import (
    BARE,
    GATEWAY,
    Contestant,
    FilePath,
    Served,
    own_path,
    start_rivals,
)
from benchmarks.sites import SLUG, VERSION, SmallSite, asset_path

# The gateway makes encoded variants after the first request; 1 MiB of brotli takes seconds.
READY_DEADLINE_S = 60.0
MANIFEST_PATH = "/api/v1/plugins/manifest"
_POLL_S = 0.1
Objection = Callable[[Answer], str | None]
"""Why an answer does not count; None if it does."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A server in a cell: the request, and the process that answers it."""

    server: str
    cell: Cell
    running: Running
    request: Request
    content_bytes: int
    """Length of an answer's content."""

    def ask(self) -> Answer:
        """Raises: OSError, http.client.HTTPException."""
        return ask(self.running.port, self.request.path, self.request.headers)


@dataclass(slots=True)
class Entries:
    """The servers that take part in each cell; and those that do not, with the reason."""

    by_cell: dict[Cell, list[Entry]] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    """Servers that do not take part at all, a line each."""
    skipped: dict[tuple[str, str, str], list[Cell]] = field(default_factory=dict)
    """Cells by server, case and reason."""

    def add(self, server: str, cell: Cell, tried: "Entry | str") -> None:
        """The entry, or the reason why there is none."""
        if isinstance(tried, Entry):
            self.by_cell.setdefault(cell, []).append(tried)
        else:
            self.skipped.setdefault((server, cell.case.name, tried), []).append(cell)

    def skipped_lines(self) -> list[str]:
        """A line for each server and case that is left out, with the reason."""
        lines = list(self.absent)
        for (server, case, reason), cells in self.skipped.items():
            sizes = ", ".join(size_text(cell.size_bytes) for cell in cells)
            lines.append(f"{server}, {case} ({sizes}): {reason}")
        return lines


def try_entry(
    server: str,
    process: Running,
    path: str,
    cell: Cell,
    site: SmallSite,
    *,
    deadline_s: float = 0.0,
    also_object: Objection = lambda _answer: None,
) -> Entry | str:
    """Asks until the answer is right; the last objection, once the time is over."""
    until = time.monotonic() + deadline_s
    while True:
        headers = browser_headers(site.bearer, cell.case.accept_encoding)
        try:
            if cell.case.status == 304:
                etag = ask(process.port, path, headers).field("etag")
                if etag is None:
                    return "sends no ETag"
                headers["If-None-Match"] = etag
            answer = ask(process.port, path, headers)
        except (OSError, http.client.HTTPException) as error:
            return f"does not answer: {error}"
        objected = objection(answer, cell, site) or also_object(answer)
        if objected is None:
            return Entry(server, cell, process, Request(path, headers), len(answer.content))
        if time.monotonic() >= until:
            return objected
        time.sleep(_POLL_S)


class Starter:
    """Starts servers and tries them."""

    def __init__(self, servers: Servers, site: SmallSite, cells: Sequence[Cell]) -> None:
        self._servers = servers
        self._site = site
        self._cells = cells
        self.entries = Entries({cell: [] for cell in cells})

    def enter_gateway(self, *, with_bare: bool) -> None:
        """The gateway, and before it in each cell the bare application with its answer.

        Raises: ServerFailed, also if the gateway's answer is not what it should be.
        """
        server = self._servers.start(self._site.serve_command)
        for cell in self._cells:
            path = MANIFEST_PATH if cell.case == MANIFEST else _path(own_path, cell)
            entry = try_entry(GATEWAY, server, path, cell, self._site, deadline_s=READY_DEADLINE_S)
            if isinstance(entry, str):
                raise ServerFailed(f"{GATEWAY}, {cell}: {entry}")
            if with_bare:
                self.entries.add(BARE, cell, self._bare_twin(entry))
            self.entries.add(GATEWAY, cell, entry)

    def enter_rivals(self, rivals: Iterable[Contestant]) -> None:
        """Each in the cells of files that it can answer."""
        site, absent = self._site, self.entries.absent
        for rival, server in start_rivals(self._servers, rivals, Served.of(site), absent):
            for cell in self._cells:
                if cell.case != MANIFEST:  # nobody else has one
                    tried = try_entry(rival.name, server, _path(rival.path, cell), cell, site)
                    self.entries.add(rival.name, cell, tried)

    def _bare_twin(self, entry: Entry) -> Entry:
        answer = entry.ask()
        server = self._servers.start(lambda port: bare_command(answer, port, self._site.folder))
        twin = replace(entry, server=BARE, running=server)
        if _without_date(twin.ask()) != _without_date(answer):
            raise ServerFailed(f"{BARE}, {entry.cell}: not the gateway's answer")
        return twin


def _path(path: FilePath, cell: Cell) -> str:
    return path(SLUG, VERSION, asset_path(cell.size_bytes))


def _without_date(answer: Answer) -> Answer:
    fields = tuple((name, value) for name, value in answer.fields if name != "date")
    return replace(answer, fields=fields)
