"""A user's JSON that cannot be read to its end, for a hung disk, say: nobody else notices."""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import Gateway
from tests.support.asgi import Client, status, with_gateway
from tests.support.server import serving
from tests.support.settings import AN_HOUR, UNWATCHED
from tests.support.site import ADA, BEN, Site, bearer
from tests.support.sources import WatchedFiles
from tests.support.urls import ENTRY_URL, MANIFEST, own
from tests.support.waiting import until, until_answer

pytestmark = pytest.mark.slow

PATIENCE_S = 0.3


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Iterator[WatchedFiles]:
    """Ada's file hangs, whatever is asked of it, until it is released."""
    monkeypatch.setattr("gateway.serving.file_reader._READ_TIMEOUT_S", PATIENCE_S)
    files = WatchedFiles(monkeypatch)
    files.hang(ADA)
    yield files
    files.release()


@pytest.mark.parametrize("path", [ENTRY_URL, MANIFEST])
def test_one_users_file_that_hangs_takes_one_thread_and_stops_nobody_else(
    site: Site, files: WatchedFiles, path: str
) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        hanging = [asyncio.create_task(client.request(path)) for _ in range(30)]
        await until(lambda: files.waited)
        assert status(await client.request(path, BEN)) == 200
        assert {status(answer) for answer in await asyncio.gather(*hanging)} == {503}
        assert status(await client.request(path)) == 503
        assert files.waited == 1
        files.release()
        await until_answer(lambda: client.request(path), lambda it: status(it) == 200)

    with_gateway(site, scenario, **UNWATCHED)


def test_whoever_is_known_is_served_while_their_file_hangs(site: Site, files: WatchedFiles) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        files.release()
        assert status(await client.request(ENTRY_URL)) == 200
        files.hang(ADA)
        gateway.core.lookups.expire_all()
        for _ in range(5):
            assert status(await client.request(ENTRY_URL)) == 200
        assert files.waited == 1

    with_gateway(site, scenario, **UNWATCHED)


def test_a_look_that_hangs_does_not_stop_the_sweep_over_the_others(
    site: Site, files: WatchedFiles
) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        async def asked(user: str) -> int:
            return status(await client.request(ENTRY_URL, user))

        files.release()
        for user in (ADA, BEN):
            assert status(await client.request(ENTRY_URL, user)) == 200
        files.hang(ADA)
        assert await asked(ADA) == 200  # so that her file is looked at
        ben = site.installations_file(BEN)
        before = ben.read_bytes()
        try:
            for content, expected in ((b"{}", 404), (before, 200)) * 2:
                ben.write_bytes(content)
                await until_answer(lambda: asked(BEN), expected.__eq__)
            assert files.waited == 1
            files.release()  # and from then on Ada's file is looked at again
            site.write_installations(ADA, b"{}")
            await until_answer(lambda: asked(ADA), lambda it: it == 404)
        finally:
            ben.write_bytes(before)
            site.install(ADA, "Review", "Eyes")

    with_gateway(site, scenario, **AN_HOUR, GATEWAY__FRESHNESS__SQLITE_POLL="0")


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [fifo, device])
def test_a_special_file_in_a_users_folder_fails_that_user_alone_and_at_once(
    site: Site, make: Any
) -> None:
    path = site.installations_file(ADA)
    path.unlink()
    make(path)
    try:
        with serving(site.environment) as server:
            started = time.monotonic()
            for target in (own("Review"), MANIFEST):
                assert server.get(target, bearer(ADA)).status == 503
                assert server.get(target, bearer(BEN)).status == 200
            assert time.monotonic() - started < 1.5
    finally:
        path.unlink()
        site.install(ADA, "Review", "Eyes")
