"""Starts a real PostgreSQL on a free port, and makes sites whose tables are in it."""

import asyncio
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.processes import free_port
from tests.support.site import TABLES, Site

# Debian keeps them out of the PATH.
_DEBIAN = Path("/usr/lib/postgresql")
_ROLE = "gateway"
# PostgreSQL refuses to run as root.
_SYSTEM_USER = "postgres"
_CONFIG = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 60
"""


def find_binaries() -> Path | None:
    """The folder of `initdb` and `pg_ctl`, the newest; None where there is none."""
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).resolve().parent
    folders = [path.parent for path in _DEBIAN.glob("*/bin/initdb")]
    return max(folders, key=lambda path: int(path.parent.name), default=None)


class Postgres:
    """A server that this test run owns."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries = binaries
        self._folder = folder / "data"
        self._log = folder / "log"
        self._port = free_port()
        self._names = (f"site{number}" for number in itertools.count())
        self._run("initdb", "--no-sync", "--auth=trust", f"--username={_ROLE}", "--encoding=UTF8",
                  "--no-locale", "--pgdata", str(self._folder))  # fmt: skip
        with (self._folder / "postgresql.conf").open("a") as config:
            config.write(f"{_CONFIG}\nport = {self._port}\n")

    def start(self) -> None:
        self._run("pg_ctl", "start", "--wait", "--silent", f"--pgdata={self._folder}",
                  f"--log={self._log}")  # fmt: skip

    def stop(self) -> None:
        """Stops at once, and breaks open connections."""
        self._run("pg_ctl", "stop", "--wait", "--silent", "--mode=fast", f"--pgdata={self._folder}")

    def url(self, database: str) -> str:
        return f"postgresql://{_ROLE}@127.0.0.1:{self._port}/{database}"

    def new_database(self) -> str:
        """The URL of a new, empty database."""
        name = next(self._names)
        execute(self.url("postgres"), f"CREATE DATABASE {name}")
        return self.url(name)

    def _run(self, program: str, *arguments: str) -> None:
        as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            as_user = {"user": _SYSTEM_USER, "group": _SYSTEM_USER, "extra_groups": []}
        ended = subprocess.run(
            [str(self._binaries / program), *arguments],
            cwd=self._folder.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the server inherits it: a pipe would never end
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=False,
            **as_user,
        )
        if ended.returncode:
            log = self._log.read_text() if self._log.exists() else ""
            raise AssertionError(f"{program} ended with {ended.returncode}\n{log}")


@contextmanager
def running_postgres(binaries: Path) -> Iterator[Postgres]:
    # Not below pytest's folders: they are private, and the server's user must get there.
    with tempfile.TemporaryDirectory(prefix="gateway-postgres-") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            shutil.chown(folder, _SYSTEM_USER, _SYSTEM_USER)
        server = Postgres(binaries, folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def execute(url: str, *statements: str) -> list[Any]:
    """Runs the statements one by one in another session. Returns the rows of the last."""

    async def run() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            rows: list[Any] = []
            for statement in statements:
                rows = await connection.fetch(statement)
            return rows
        finally:
            await connection.close()

    return asyncio.run(run())


class PostgresSite(Site):
    """A site whose tables are in PostgreSQL."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        super().__init__(folder)

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "GATEWAY__DATABASE__URL": self.url}

    def execute(self, statement: str, *values: Any) -> None:
        first, *rest = statement.split("?")
        pairs = zip(map(_literal, values), rest, strict=True)
        execute(self.url, first + "".join(literal + text for literal, text in pairs))

    def query(self, statement: str) -> list[dict[str, Any]]:
        return [dict(row) for row in execute(self.url, statement)]

    @contextmanager
    def rows_restored(self) -> Iterator[None]:
        execute(self.url, "CREATE TABLE saved AS SELECT * FROM plugin")
        yield
        restore = ("DELETE FROM plugin", "INSERT INTO plugin TABLE saved", "DROP TABLE saved")
        execute(self.url, *restore)

    def _make_tables(self, slug_null: str) -> None:
        # SQLite does not hold ids to 32 characters, and those of plugins are longer.
        script = TABLES.format(slug_null=slug_null).replace("VARCHAR(32)", "VARCHAR")
        execute(self.url, *filter(str.strip, script.split(";")))


def _literal(value: object) -> str:
    """SQL for a value without a type. PostgreSQL gives it the type of its column."""
    return "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"
