"""What many requests of one cold user cost the sources: counted, not timed."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.lookup.inside import gateway_inside
from benchmarks.subjects import Subjects
from gateway.application import Gateway

CONCURRENT = 10_000


@dataclass(slots=True)
class Counted:
    """Queries that reached the database, and times that the user's JSON was opened."""

    queries: int = 0
    file_reads: int = 0


async def concurrent_misses(subjects: Subjects) -> Counted:
    """10,000 requests of one user, all at once, of a gateway that knows nothing yet.

    For a process of its own: an audit hook stays for its life.
    """
    counted = Counted()
    async with gateway_inside(Subjects(subjects.settings, subjects.chosen[:1])) as inside:
        (asking,) = inside.askings
        watched = inside.gateway.core.storage.installations_file(asking.user)
        sys.addaudithook(_counting_opens(watched, counted))
        _count_queries(inside.gateway, counted)
        scopes = [asking.scope for _ in range(CONCURRENT)]
        await asyncio.gather(*(inside.look_up_waiting(scope) for scope in scopes))
    return counted


def _counting_opens(watched: Path, counted: Counted) -> Any:
    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and arguments[0] == str(watched):
            counted.file_reads += 1

    return hear


def _count_queries(gateway: Gateway, counted: Counted) -> None:
    connection: Any = gateway.core.database._connection  # the one way to any database
    fetch = connection.fetch

    async def counting(statement: str, *values: Any) -> Any:
        counted.queries += 1
        return await fetch(statement, *values)

    connection.fetch = counting
