"""A client of server-sent events, which reads them as browsers do (HTML Living Standard §9.2.6)."""

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.support.server import Server


class Event(NamedTuple):
    name: str
    data: Any
    id: str | None


class EventReader:
    """One open stream. Reading raises TimeoutError after 10 s without a line."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.response = response
        self.comments: list[str] = []
        self.retry_ms: int | None = None

    def __iter__(self) -> Iterator[Event]:
        """Until the server ends the stream. Raises: IncompleteRead, if it breaks off."""
        fields: dict[str, str] = {}
        while line := self.response.readline().decode():
            name, _, value = line.removesuffix("\n").partition(": ")
            if line == "\n":
                if "data" in fields:
                    yield Event(fields["event"], json.loads(fields["data"]), fields.get("id"))
                fields = {}
            elif line.startswith(":"):
                self.comments.append(line)
            elif name == "retry":
                self.retry_ms = int(value)
            else:
                fields[name] = value

    def until(self, name: str) -> Event:
        """The next event of this name."""
        return next(event for event in self if event.name == name)


@contextmanager
def event_stream(server: Server, path: str, headers: Mapping[str, str]) -> Iterator[EventReader]:
    """A stream, until the block ends; then the client is gone."""
    connection = server.connection()
    try:
        connection.request("GET", path, headers=dict(headers))
        response = connection.getresponse()
        assert response.status == 200, response.read()
        with response:
            yield EventReader(response)
    finally:
        connection.close()
