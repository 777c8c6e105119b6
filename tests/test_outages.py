"""While the database or the disk fails: who was here lately notices nothing, who was not is told
so at once, readiness says why, and nothing needs a restart.
"""

import asyncio
import contextlib
import errno
import os
import resource
import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.types import Message

from gateway import Gateway, create_app, load_settings
from gateway.changes import ANYTHING
from gateway.names import UserId
from tests.support.asgi import HANGS_AFTER_S, Client, Headers, fields, status, with_gateway
from tests.support.leaping import LEAP_S, leaping
from tests.support.privileges import give_to_nobody, open_folder, without_privileges
from tests.support.server import Server, serving
from tests.support.settings import AN_HOUR
from tests.support.site import ADA, BEN, Site, bearer, populated, token
from tests.support.sources import Queries, WatchedFiles
from tests.support.urls import ENTRY_URL, MANIFEST, own, public
from tests.support.waiting import eventually, for_a_while, until, until_answer

pytestmark = pytest.mark.slow

QUERY_TIMEOUT_S = 0.3
PAUSE_S = 1.0
"""After failures a source is left alone for so long."""
# An outage begins within this: a lifetime ends, or a source of news fails.
SETTINGS = {
    "GATEWAY__CACHE__INSTALLATIONS__TTL": "0.2",
    "GATEWAY__CACHE__VERSIONS__TTL": "0.2",
    "GATEWAY__CACHE__ASSETS__REVALIDATE": "0.2",
    "GATEWAY__DATABASE__QUERY_TIMEOUT": str(QUERY_TIMEOUT_S),
}
ENDED_BY_SIGTERM = (0, -15)

Outage = Callable[[Site], contextlib.AbstractContextManager[object]]


def cold_user() -> str:
    """Somebody who was never here."""
    return f"{time.monotonic_ns():032x}"


# The database


@contextmanager
def locked(site: Site) -> Iterator[None]:
    with site.locked():
        yield


@contextmanager
def file_gone(site: Site) -> Iterator[None]:
    away = site.database.rename(site.folder / "away.db")
    yield
    away.rename(site.database)


@contextmanager
def another_file_in_its_place(site: Site) -> Iterator[None]:
    """A database, but another application's."""
    away = site.database.rename(site.folder / "away.db")
    with closing(sqlite3.connect(site.database)) as connection, connection:
        connection.execute("CREATE TABLE other (id)")
    yield
    away.replace(site.database)


@contextmanager
def an_empty_file_in_its_place(site: Site) -> Iterator[None]:
    away = site.database.rename(site.folder / "away.db")
    site.database.touch()
    yield
    away.replace(site.database)


@contextmanager
def a_folder_in_its_place(site: Site) -> Iterator[None]:
    away = site.database.rename(site.folder / "away.db")
    site.database.mkdir()
    yield
    site.database.rmdir()
    away.rename(site.database)


@contextmanager
def garbage_in_its_place(site: Site) -> Iterator[None]:
    away = site.database.rename(site.folder / "away.db")
    site.database.write_bytes(b"no database " * 4096)
    yield
    away.replace(site.database)


@contextmanager
def garbage_in_the_file(site: Site) -> Iterator[None]:
    """The same file, written over, and later written over again."""
    content = site.database.read_bytes()
    with site.database.open("r+b") as file:
        file.write(b"no database " * (len(content) // 12 + 1))
    yield
    site.database.write_bytes(content)


@contextmanager
def table_away(site: Site) -> Iterator[None]:
    site.execute("ALTER TABLE plugin RENAME TO away")
    yield
    site.execute("ALTER TABLE away RENAME TO plugin")


DATABASE_OUTAGES: list[Outage] = [
    locked,
    file_gone,
    another_file_in_its_place,
    an_empty_file_in_its_place,
    a_folder_in_its_place,
    garbage_in_its_place,
    garbage_in_the_file,
    table_away,
]


class Visitor:
    """Asks the same again and again from a thread of its own, and notes the answers."""

    def __init__(self, server: Server, *paths: str, user: str = ADA) -> None:
        self._server, self._paths, self._user = server, paths, user
        self._end = threading.Event()
        self.statuses: Counter[int] = Counter()
        self.longest_s = 0.0

    def __enter__(self) -> "Visitor":
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._end.is_set():
            for path in self._paths:
                started = time.monotonic()
                answer = self._server.get(path, bearer(self._user))
                self.statuses[answer.status] += 1
                self.longest_s = max(self.longest_s, time.monotonic() - started)
            time.sleep(0.005)


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Server]]:
    """One server for all outages: each of them leaves it as it was."""
    site = populated(tmp_path_factory.mktemp("disturbed"))
    with serving({**site.environment, **SETTINGS}) as running:
        yield site, running
        # What was reopened, interrupted or given up must not keep the process from ending.
        assert running.stop() in ENDED_BY_SIGTERM
        assert "Traceback" not in "".join(running.output), "".join(running.output)


def readiness(server: Server) -> tuple[int, str]:
    answer = server.get("/-/ready")
    return answer.status, answer.json["status"]


@pytest.mark.parametrize("outage", DATABASE_OUTAGES, ids=lambda outage: outage.__name__)
def test_an_outage_of_the_database_is_seen_by_those_alone_who_were_never_here(
    disturbed: tuple[Site, Server], outage: Outage
) -> None:
    site, server = disturbed
    paths = (own("Review"), own("Review", "dist/1.js"), MANIFEST, public(f"{ADA}_Review"))
    for path in paths:
        eventually(lambda: server.get(path, bearer(ADA)).status, lambda it: it == 200)  # noqa: B023
    with outage(site), Visitor(server, *paths) as ada:
        answer = eventually(
            lambda: server.get(own("Review"), bearer(cold_user())), lambda it: it.status == 503
        )
        assert (answer.code, answer.headers["retry-after"]) == ("source_unavailable", "1")
        assert answer.headers["cache-control"] == "no-store"
        assert str(site.folder) not in answer.body.decode()
        eventually(lambda: readiness(server), lambda seen: seen == (200, "degraded"))
        before = sum(ada.statuses.values())
        eventually(lambda: sum(ada.statuses.values()), lambda count: count > before + 20)
    assert set(ada.statuses) == {200}
    # Ben comes first to a source that works again.
    eventually(lambda: server.get(own("Review"), bearer(BEN)).status, lambda it: it == 200)
    eventually(lambda: readiness(server), lambda seen: seen == (200, "ready"))
    for enabled, expected in ((0, 404), (1, 200)):
        site.execute("UPDATE plugin SET enabled = ? WHERE user_id = ?", enabled, ADA)
        eventually(lambda: server.get(own("Review"), bearer(ADA)).status, expected.__eq__)


def test_the_known_are_served_for_as_long_as_it_was_promised_and_not_longer(tmp_path: Path) -> None:
    site = populated(tmp_path / "site")
    settings = {**SETTINGS, "GATEWAY__CACHE__VERSIONS__STALE_IF_ERROR": str(1.5 * LEAP_S)}
    with leaping({**site.environment, **settings}) as server:

        def seen() -> tuple[int, str]:
            return server.get(own("Review"), bearer(ADA)).status, readiness(server)[1]

        assert seen() == (200, "ready")
        with site.locked():
            eventually(seen, (200, "degraded").__eq__)
            server.leap()
            assert seen() == (200, "degraded")
            server.leap()
            assert seen() == (503, "unavailable")
        eventually(seen, (200, "ready").__eq__)


def test_readiness_says_why_it_is_degraded_and_names_no_path(
    disturbed: tuple[Site, Server],
) -> None:
    site, server = disturbed
    with file_gone(site):
        answer = eventually(
            lambda: server.get("/-/ready"), lambda answer: answer.json["status"] == "degraded"
        )
        (reason,) = answer.json["reasons"]
        assert "database" in reason
        assert str(site.folder) not in reason
        assert answer.headers["cache-control"] == "no-store"
        assert server.get("/-/live").json == {"status": "alive"}


def test_new_users_do_not_pile_up_before_a_source_that_does_not_answer(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        async def ask_all(users: range) -> list[list[Message]]:
            asking = [
                client.request(ENTRY_URL, None, extra=credential(f"{it:032x}")) for it in users
            ]
            return await asyncio.gather(*asking)

        database = Queries(monkeypatch, gateway)
        with site.locked():
            began = time.monotonic()
            assert {status(answer) for answer in await ask_all(range(200))} == {503}
            # All of them waited together; one after the other, they would wait for a minute.
            assert time.monotonic() - began < 100 * QUERY_TIMEOUT_S
            asked, began = database.count, time.monotonic()
            refused = await ask_all(range(200, 400))
            assert {status(answer) for answer in refused} == {503}
            assert {fields(answer)[b"retry-after"] for answer in refused} == {b"1"}
            # The circuit is open: one may ask after each pause.
            assert database.count - asked <= (time.monotonic() - began) / PAUSE_S + 1
        await until_answer(lambda: ask_all(range(1)), lambda answers: status(answers[0]) == 404)

    with_gateway(site, scenario, **SETTINGS)


def credential(user: str) -> Headers:
    return [(b"authorization", f"Bearer {token(user)}".encode())]


# The disk


@contextmanager
def _away(folder: Path) -> Iterator[None]:
    away = folder.rename(folder.with_name("away"))
    yield
    away.rename(folder)


DISK_OUTAGES: dict[str, Outage] = {
    "shared": lambda site: _away(site.plugins / "shared"),
    "users": lambda site: _away(site.plugins / "users"),
    "all": lambda site: _away(site.plugins),
}


@pytest.mark.parametrize("gone", DISK_OUTAGES)
def test_a_folder_that_is_gone_as_a_whole_is_an_outage_and_no_answer(
    disturbed: tuple[Site, Server], gone: str
) -> None:
    """A disk that is not mounted has not said that everybody lost everything."""
    site, server = disturbed
    newcomer = gone.encode().hex().ljust(32, "0")  # never here, nor was anybody at their version
    site.publish("Review", f"2.0.{gone}")
    site.give(newcomer, "Review", f"2.0.{gone}")
    paths = (own("Review"), own("Review", "dist/1.js"))
    for path in paths:
        eventually(lambda: server.get(path, bearer(ADA)).status, lambda it: it == 200)  # noqa: B023
    with DISK_OUTAGES[gone](site), Visitor(server, *paths) as ada:
        eventually(lambda: readiness(server)[1], lambda seen: seen != "ready")
        time.sleep(0.7)  # not for luck: all lifetimes are over
        answer = server.get(own("Review"), bearer(newcomer))
    assert set(ada.statuses) == {200}
    assert answer.status == 503
    eventually(
        lambda: server.get(own("Review"), bearer(newcomer)).status, lambda it: it == 200, 3.0
    )
    eventually(lambda: readiness(server)[1], lambda seen: seen == "ready")


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE])
def test_a_disk_that_fails_is_noticed_by_those_alone_who_were_never_here(
    site: Site, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        assert status(await client.request(ENTRY_URL)) == 200
        real_open, real_stat = os.open, Path.stat

        def failing_open(path: Any, *arguments: Any, **options: Any) -> int:
            if "Review" in str(path) or str(path).endswith(".json"):
                raise OSError(number, os.strerror(number))
            return real_open(path, *arguments, **options)

        def failing_stat(path: Path, **options: Any) -> os.stat_result:
            if path.is_relative_to(site.plugins):
                raise OSError(number, os.strerror(number))
            return real_stat(path, **options)

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", failing_open)
            patch.setattr(Path, "stat", failing_stat)
            for _ in range(10):
                assert status(await client.request(ENTRY_URL)) == 200
                await asyncio.sleep(0.05)  # several lifetimes
            cold = await client.request(ENTRY_URL, BEN)
            assert (status(cold), fields(cold)[b"retry-after"]) == (503, b"1")
            ready = await client.request("/-/ready", None)
            assert status(ready) == 503
        await until_answer(lambda: client.request(ENTRY_URL, BEN), lambda it: status(it) == 200)
        assert status(await client.request("/-/ready", None)) == 200

    with_gateway(site, scenario, **SETTINGS)


def test_folders_that_may_not_be_read_are_an_outage_too() -> None:
    with open_folder() as folder:
        site = populated(folder / "site")
        give_to_nobody(site.folder)
        with_gateway(site, _folders_become_unreadable(site), **SETTINGS)


def _folders_become_unreadable(site: Site) -> Callable[[Gateway, Client], Awaitable[None]]:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        assert status(await client.request(ENTRY_URL)) == 200
        with without_privileges():
            os.chmod(site.plugins, 0)  # noqa: PTH101
            try:
                for _ in range(10):
                    assert status(await client.request(ENTRY_URL)) == 200
                    await asyncio.sleep(0.05)  # several lifetimes
                assert status(await client.request(ENTRY_URL, BEN)) == 503
                assert status(await client.request("/-/ready", None)) == 503
            finally:
                os.chmod(site.plugins, 0o755)  # noqa: PTH101

    return scenario


# In process: how often, and how soon


def test_a_slow_database_delays_only_those_who_were_never_here(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        def is_out_of_date() -> bool:
            entry = gateway.core.lookups.records.peek(UserId(ADA))
            return entry is not None and time.monotonic() > entry.fresh_until

        database = Queries(monkeypatch, gateway)
        assert status(await client.request(ENTRY_URL)) == 200
        database.may_run.clear()
        while not is_out_of_date():
            assert status(await client.request(ENTRY_URL)) == 200
            await asyncio.sleep(0.005)
        assert database.count == 2
        cold = asyncio.create_task(client.request(ENTRY_URL, BEN))
        for _ in range(20):
            assert status(await client.request(ENTRY_URL)) == 200
        assert not cold.done()
        database.may_run.set()
        assert status(await cold) == 200

    with_gateway(
        site,
        scenario,
        GATEWAY__CACHE__VERSIONS__TTL="0.8",
        GATEWAY__FRESHNESS__SQLITE_POLL="0",
    )


def test_the_known_do_not_wait_for_a_source_that_does_not_answer(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they may have is known: whoever asks the source again, it is not at their expense."""

    async def scenario(gateway: Gateway, client: Client) -> None:
        assert status(await client.request(ENTRY_URL)) == 200
        longest_s = 0.0
        with site.locked():
            for _ in for_a_while(3.0):
                started = time.monotonic()
                assert status(await client.request(ENTRY_URL)) == 200
                longest_s = max(longest_s, time.monotonic() - started)
                await asyncio.sleep(0.005)
        assert longest_s < 2.5, f"one waited for {longest_s:.2f} s"

    with_gateway(
        site,
        scenario,
        GATEWAY__CACHE__VERSIONS__TTL="0.5",
        GATEWAY__DATABASE__QUERY_TIMEOUT="5.0",
    )


def test_an_outage_with_many_known_users_asks_the_source_once_in_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = populated(tmp_path / "site")
    users = [f"{number:032x}" for number in range(200)]
    for user in users:
        site.install(user, "Review")
    with closing(sqlite3.connect(site.database)) as connection, connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(plugin)")]
        (row,) = connection.execute(
            "SELECT * FROM plugin WHERE user_id = ? AND plugin_slug = 'Review'", (ADA,)
        )
        for user in users:
            new = dict(zip(columns, row, strict=True)) | {"id": f"{user}_Review", "user_id": user}
            connection.execute(
                f"INSERT INTO plugin VALUES ({', '.join('?' for _ in columns)})", list(new.values())
            )
    headers = {user: credential(user) for user in users}

    async def scenario(gateway: Gateway, client: Client) -> None:
        async def all_statuses() -> set[int]:
            answers = await asyncio.gather(
                *(client.request(ENTRY_URL, None, extra=headers[user]) for user in users)
            )
            return {status(answer) for answer in answers}

        assert await all_statuses() == {200}
        database = Queries(monkeypatch, gateway)
        file_gone_ = file_gone(site)
        with file_gone_:
            gateway.core.invalidation.apply(ANYTHING)
            assert await all_statuses() == {200}
            asked = database.count
            began = time.monotonic()
            while (now := time.monotonic()) < began + 1.5:
                assert await all_statuses() == {200}
            assert database.count - asked <= (now - began) / PAUSE_S + 2
        while gateway.core.database.failing_for_s is not None:
            assert await all_statuses() == {200}

    with_gateway(site, scenario, GATEWAY__FRESHNESS__SQLITE_POLL="0")


# Ten thousand at once


def test_ten_thousand_requests_over_http_for_a_cold_user_are_one_query_and_one_file_read(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The one query is held until all connections are open and have sent their requests, so every
    request meets the same miss. Nothing may expire meanwhile, or a second query would follow: so
    lifetimes are an hour, and all sources of changes have begun before the gateway serves.
    """
    connections, each = 500, 20  # pipelined: a process may not have 10,000 descriptors
    request = (
        f"GET {ENTRY_URL} HTTP/1.1\r\nHost: gateway\r\nAccept-Encoding: identity\r\n"
        f"Authorization: Bearer {token(ADA)}\r\n"
    ).encode()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))

    async def main() -> None:
        gateway = create_app(load_settings(environ={**site.environment, **AN_HOUR}))
        config = uvicorn.Config(gateway, log_level="error", lifespan="on", access_log=False)
        server = uvicorn.Server(config)
        monkeypatch.setattr(server, "capture_signals", contextlib.nullcontext)
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
            port = listener.getsockname()[1]
            serve = asyncio.create_task(server.serve([listener]))
            await until(lambda: server.started)
            files, queries = WatchedFiles(monkeypatch), Queries(monkeypatch, gateway)
            queries.may_run.clear()

            async def ask() -> int:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write((request + b"\r\n") * (each - 1))
                writer.write(request + b"Connection: close\r\n\r\n")
                answers = await reader.read()
                while not reader.at_eof():
                    answers += await reader.read()
                writer.close()
                await writer.wait_closed()
                return answers.count(b"HTTP/1.1 200 ")

            asking = [asyncio.create_task(ask()) for _ in range(connections)]
            async with asyncio.timeout(HANGS_AFTER_S):
                await until(lambda: len(server.server_state.connections) == connections)
                queries.may_run.set()
                assert await asyncio.gather(*asking) == [each] * connections
            server.should_exit = True
            await serve
            assert (queries.count, files.read) == (1, [ADA])

    asyncio.run(main())
