"""Watches what a gateway in this process asks of its sources, and can make it wait."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from gateway import Gateway
from gateway.disk import users_folder
from gateway.names import UserId
from tests.support.waiting import until


class Queries:
    """The queries of one connection to the database, of the gateway's users by default."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, gateway: Gateway, connection: Any = None
    ) -> None:
        self.statements: list[str] = []
        """The statements in their order."""
        self.answered = 0
        """The number of statements that the database has answered."""
        self.may_run = asyncio.Event()
        self.may_run.set()
        self.may_return = asyncio.Event()
        """Rows are held back until it is set."""
        self.may_return.set()
        self.error: Exception | None = None
        """Raised instead of an answer."""
        connection = connection or gateway.core.database.tables.connection
        monkeypatch.setattr(connection, "fetch", self._watched(connection.fetch))

    @property
    def count(self) -> int:
        return len(self.statements)

    async def until_answered(self, count: int) -> None:
        await until(lambda: self.answered >= count)

    def _watched(self, fetch: Callable[..., Any]) -> Callable[..., Any]:
        async def watched(statement: str, *values: Any) -> Any:
            self.statements.append(statement)
            if self.error is not None:
                raise self.error
            await self.may_run.wait()
            rows = await fetch(statement, *values)
            self.answered += 1
            await self.may_return.wait()
            return rows

        return watched


class WatchedFiles:
    """Watches reads of installed_plugins.json, and looks at its fingerprint; can make both wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: list[str] = []
        """The users whose file was read, in order."""
        self.looked_at: list[str] = []
        self.waited = 0
        """The number of calls that had to wait."""
        self._hanging: str | None = None
        self._released = threading.Event()
        self._watch(monkeypatch, "read_with_fingerprint", self.read)
        self._watch(monkeypatch, "fingerprint", self.looked_at)

    def hang(self, user: str) -> None:
        """From now on each call for this user's file waits until `release`."""
        self._released.clear()
        self._hanging = user

    def release(self) -> None:
        self._hanging = None
        self._released.set()

    def _watch(self, monkeypatch: pytest.MonkeyPatch, name: str, users: list[str]) -> None:
        call = getattr(users_folder.UsersFolder, name)

        def watched(files: users_folder.UsersFolder, user: UserId) -> Any:
            users.append(user)
            if user == self._hanging:
                self.waited += 1
                self._released.wait()
            return call(files, user)

        monkeypatch.setattr(users_folder.UsersFolder, name, watched)
