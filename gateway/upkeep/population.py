"""Everybody on the site, a chunk at a time: who has a folder, and who has rows.

For commands that look at all users: memory is bounded by the chunk, the database gets one
query for each, and files are read and written by a few threads.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from gateway.database.tables import PluginDatabase, StrayModule
from gateway.disk.storage import PluginStorage
from gateway.names import UserId, parse_user_id

T = TypeVar("T")

CHUNK = 500


def chunks_of(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


async def with_folders(
    storage: PluginStorage, only: UserId | None = None
) -> AsyncIterator[list[UserId]]:
    for chunk in [[only]] if only else chunks_of(storage.users_with_folder()):
        yield sorted(chunk)


async def with_rows(database: PluginDatabase) -> AsyncIterator[list[str]]:
    """As the column has them: not every text is the id of a user who can be served."""
    after: str | None = None
    while chunk := await database.read_user_ids(after, CHUNK):
        yield chunk
        after = chunk[-1]


async def stray_modules(database: PluginDatabase) -> AsyncIterator[list[StrayModule]]:
    after: StrayModule | None = None
    while chunk := await database.read_stray_modules(after, CHUNK):
        yield chunk
        after = chunk[-1]


async def users_with_rows(
    database: PluginDatabase, only: UserId | None = None
) -> AsyncIterator[list[UserId]]:
    """Of those with rows the ones who can be served."""
    if only:
        yield [only]
        return
    async for chunk in with_rows(database):
        yield [user for text in chunk if (user := usable(text)) is not None]


def usable(text: object) -> UserId | None:
    """The user whom the column `user_id` names; None: credentials never do."""
    try:
        user = parse_user_id(text)
    except ValueError:
        return None
    return user if user == text else None  # a UUID with dashes means another text
