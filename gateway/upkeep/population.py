"""All users of the site, a chunk at a time: those with a folder, and those with rows.

For commands that look at all users: a chunk bounds the memory, costs one query, and its files
are read and written by a few threads.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from gateway.database.survey import StrayModule, Survey
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


async def with_rows(database: Survey) -> AsyncIterator[list[str]]:
    """The ids as the column has them: not each is the id of a user who can be served."""
    after: str | None = None
    while chunk := await database.read_user_ids(after, CHUNK):
        yield chunk
        after = chunk[-1]


async def stray_modules(database: Survey) -> AsyncIterator[list[StrayModule]]:
    after: StrayModule | None = None
    while chunk := await database.read_stray_modules(after, CHUNK):
        yield chunk
        after = chunk[-1]


async def users_with_rows(
    database: Survey, only: UserId | None = None
) -> AsyncIterator[list[UserId]]:
    """The users with rows who can be served."""
    if only:
        yield [only]
        return
    async for chunk in with_rows(database):
        yield [user for text in chunk if (user := usable(text)) is not None]


def usable(text: object) -> UserId | None:
    """The user whom a value of the column `user_id` names; None if no credential can."""
    try:
        user = parse_user_id(text)
    except ValueError:
        return None
    return user if user == text else None  # no credential keeps the dashes of a UUID
