"""Cells: a cell is a size of file and a kind of request, and has one right answer. Pure."""

from dataclasses import dataclass
from typing import Protocol

import brotli
import orjson

from benchmarks.client import BROWSER_CODINGS, Answer

KIB = 1024
SIZES_BYTES = (KIB, 16 * KIB, 128 * KIB, 1024 * KIB)


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of request, and the answer that it must get."""

    name: str
    accept_encoding: str
    status: int
    coding: str | None
    """Content-Encoding of the answer; None: any that was asked for."""


CASES = (
    Case("identity", "identity", 200, "identity"),
    Case("br", BROWSER_CODINGS, 200, "br"),
    Case("304", BROWSER_CODINGS, 304, None),
)
# No file: the caller's ten plugins, as a front end asks at the start of a page.
MANIFEST = Case("manifest", BROWSER_CODINGS, 200, None)
MANIFEST_PLUGINS = 10


@dataclass(frozen=True, slots=True)
class Cell:
    size_bytes: int
    """0 for the manifest."""
    case: Case

    def __str__(self) -> str:
        if self.case == MANIFEST:
            return f"manifest of {MANIFEST_PLUGINS} plugins"
        return f"{size_text(self.size_bytes)} {self.case.name}"


class Contents(Protocol):
    """Where the files of a site can be read."""

    def content(self, size_bytes: int) -> bytes:
        """The file of that size, uncoded."""


def size_text(size_bytes: int) -> str:
    kibibytes, rest = divmod(size_bytes, KIB)
    if rest:
        return f"{size_bytes} B"
    return f"{kibibytes} KiB" if kibibytes < KIB or kibibytes % KIB else f"{kibibytes // KIB} MiB"


def objection(answer: Answer, cell: Cell, site: Contents) -> str | None:
    """Why the answer is not the one that the cell is about; None if it is."""
    case = cell.case
    if answer.status != case.status:
        return f"answers {answer.status} instead of {case.status}"
    if case.status == 304:
        return "sends content with a 304" if answer.content else None
    if case.coding is not None and answer.coding != case.coding:
        return f"answers in {answer.coding} instead of {case.coding}"
    try:
        decoded = brotli.decompress(answer.content) if answer.coding == "br" else answer.content
    except brotli.error:
        return "sends content that is no brotli"
    if case == MANIFEST:
        return _manifest_objection(decoded)
    expected = site.content(cell.size_bytes)
    return None if decoded == expected else "sends other content than the file's"


def _manifest_objection(content: bytes) -> str | None:
    try:
        plugins = orjson.loads(content)
    except orjson.JSONDecodeError:
        return "sends a manifest that is no JSON"
    if len(plugins) == MANIFEST_PLUGINS:
        return None
    return f"lists {len(plugins)} plugins instead of {MANIFEST_PLUGINS}"
