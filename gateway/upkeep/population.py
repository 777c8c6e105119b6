"""All users of the site, a chunk at a time: those with a folder, and those with rows.

For commands that look at all users: a chunk bounds the memory, costs one query, and its files
are read and written by a few threads.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from gateway.database.survey import Survey
from gateway.disk.storage import PluginStorage
from gateway.names import UserId, parse_user_id

T = TypeVar("T")

CHUNK = 500


@dataclass(frozen=True, slots=True)
class Examined(Generic[T]):
    """How many users, versions or rows were looked at, and what there is to report of them."""

    count: int
    reports: Sequence[T]


def chunks_of(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


async def with_folders(
    storage: PluginStorage, only: UserId | None = None
) -> AsyncIterator[list[UserId]]:
    for chunk in [[only]] if only else chunks_of(storage.users.ids()):
        yield sorted(chunk)


async def pages_of(read: Callable[[T | None, int], Awaitable[list[T]]]) -> AsyncIterator[list[T]]:
    """What a method of Survey reads, which takes the last item of the page before."""
    after: T | None = None
    while page := await read(after, CHUNK):
        yield page
        after = page[-1]


async def users_with_rows(
    database: Survey, only: UserId | None = None
) -> AsyncIterator[list[UserId]]:
    """The users with rows who can be served."""
    if only:
        yield [only]
        return
    async for chunk in pages_of(database.read_user_ids):
        yield [user for text in chunk if (user := usable_user(text)) is not None]


def usable_user(text: object) -> UserId | None:
    """The user whom a value of the column `user_id` names; None if no credential can."""
    try:
        user = parse_user_id(text)
    except ValueError:
        return None
    return user if user == text else None  # no credential keeps the dashes of a UUID
