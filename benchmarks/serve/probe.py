"""One request before each round: is this the answer that is to be measured?"""

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import brotli
import orjson

from benchmarks.processes import HOST
from benchmarks.serve.cells import MANIFEST, MANIFEST_PLUGINS, Cell

_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came."""

    status: int
    fields: tuple[tuple[str, str], ...]
    """In order, spelled as they were."""
    content: bytes

    def field(self, name: str) -> str | None:
        """The last value of a field; `name` in lower case."""
        return {key.lower(): value for key, value in self.fields}.get(name)

    @property
    def coding(self) -> str:
        return self.field("content-encoding") or "identity"


class Contents(Protocol):
    """Where the files of a site can be read."""

    def content(self, size_bytes: int) -> bytes:
        """Of the file of that size, uncoded."""


def ask(port: int, path: str, headers: Mapping[str, str]) -> Answer:
    """Raises: OSError, http.client.HTTPException."""
    connection = http.client.HTTPConnection(HOST, port, timeout=_TIMEOUT_S)
    try:
        connection.putrequest("GET", path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        return Answer(response.status, tuple(response.getheaders()), response.read())
    finally:
        connection.close()


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
        listed = orjson.loads(content)
    except orjson.JSONDecodeError:
        return "sends a manifest that is no JSON"
    if len(listed) == MANIFEST_PLUGINS:
        return None
    return f"lists {len(listed)} plugins instead of {MANIFEST_PLUGINS}"
