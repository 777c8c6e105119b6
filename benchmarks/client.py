"""One HTTP client for everything that is asked outside of a measured load.

A server spends a good part of a request on reading its fields, so requests have those of a
browser: a bare `GET` would flatter every server.
"""

import asyncio
import http.client
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.processes import HOST

# What Chromium sends, without zstd: few other servers have it, and the gateway would choose it.
BROWSER_CODINGS = "gzip, deflate, br"
HOT, COLD, QUERIES = "hot", "cold", "queries"
"""Names of counters: answers given at once, answers that waited, questions to the database."""
_TIMEOUT_S = 10.0


def browser_headers(token: str, accept_encoding: str = BROWSER_CODINGS) -> dict[str, str]:
    """The fields that Chromium sends for a script that a page fetches; empty token: public.

    Recorded from Debian's Chromium 156: fields, order, spelling. Without Host.
    """
    return {
        "Connection": "keep-alive",
        "sec-ch-ua-platform": '"Linux"',
        **({"Authorization": f"Bearer {token}"} if token else {}),
        "User-Agent": (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
            " Chrome/156.0.0.0 Safari/537.36"
        ),
        "sec-ch-ua": '"Not:A-Brand";v="8", "Chromium";v="156"',
        "sec-ch-ua-mobile": "?0",
        "Accept": "*/*",
        "Sec-Fetch-Site": "same-origin",
        "Sec-Fetch-Mode": "cors",
        "Sec-Fetch-Dest": "empty",
        "Referer": "http://127.0.0.1/app/",
        "Accept-Encoding": accept_encoding,
        "Accept-Language": "en-US,en;q=0.9",
    }


@dataclass(frozen=True, slots=True)
class Request:
    """A GET, for a connection or for an ASGI application."""

    path: str
    headers: Mapping[str, str]
    user: str = ""
    """The user's id, where a benchmark needs it."""

    @property
    def raw(self) -> bytes:
        """As it goes over a connection."""
        fields = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        return f"GET {self.path} HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n".encode()

    @property
    def scope(self) -> dict[str, object]:
        """As uvicorn makes it."""
        return {
            "type": "http",
            "method": "GET",
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": b"",
            "root_path": "",
            "client": (HOST, 1),
            "headers": [
                (name.lower().encode(), value.encode()) for name, value in self.headers.items()
            ],
        }


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


class Connection(http.client.HTTPConnection):
    """A connection that is kept alive. Blocking."""

    def __init__(self, port: int) -> None:
        super().__init__(HOST, port, timeout=_TIMEOUT_S)

    def ask(self, path: str, headers: Mapping[str, str]) -> Answer:
        """Sends these fields and Host. Raises: OSError, http.client.HTTPException."""
        self.putrequest("GET", path, skip_accept_encoding=True)
        for name, value in headers.items():
            self.putheader(name, value)
        self.endheaders()
        response = self.getresponse()
        return Answer(response.status, tuple(response.getheaders()), response.read())


def ask(port: int, path: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Asks on a connection of its own. Raises: OSError, http.client.HTTPException."""
    with closing(Connection(port)) as connection:
        return connection.ask(path, headers or {})


async def read_head(reader: asyncio.StreamReader) -> tuple[int, int]:
    """Status, and length of the content in bytes. Raises: EOFError, ValueError, IndexError."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    _, field, rest = head.lower().partition(b"\r\ncontent-length:")
    if not field or status == 304:
        return status, 0
    return status, int(rest.partition(b"\r\n")[0])


def read_counters(port: int) -> "Counter[str]":
    """The gateway's counters HOT, COLD and QUERIES, from `/-/metrics`.

    Raises: OSError, http.client.HTTPException.
    """
    counters: Counter[str] = Counter()
    text = ask(port, "/-/metrics").content.decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "gateway_requests_total":
                counters[sample.labels["path"]] += int(sample.value)
            elif sample.name == "gateway_source_loads_total":
                is_query = sample.labels["source"] == "database"
                counters[QUERIES] += int(sample.value) if is_query else 0
    return counters


def hot_share(before: "Counter[str]", after: "Counter[str]") -> float:
    """Share of HOT in the answers between the two; those to `read_counters` itself are counted."""
    hot, cold = (after[path] - before[path] for path in (HOT, COLD))
    return hot / (hot + cold) if hot + cold else 0.0
