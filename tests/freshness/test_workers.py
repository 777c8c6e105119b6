"""Four workers of one host: what any of them, or a command, is told, all of them obey."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway import Gateway
from gateway.changes import Change
from gateway.disk.cache_folder import CacheFolder
from gateway.freshness.change_log import ChangeLog
from gateway.names import Slug, UserId, Version
from tests.support.asgi import Client, status, with_gateway
from tests.support.commands import run
from tests.support.server import serving
from tests.support.settings import AN_HOUR, QUIET
from tests.support.site import ADA, BEN, Site, bearer, populated
from tests.support.urls import ENTRY_URL, own
from tests.support.waiting import eventually
from tests.support.workers import Worker, each_worker

WORKERS = 4

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux's /proc"),
]


@pytest.fixture(scope="module")
def workers(site: Site) -> Iterator[list[Worker]]:
    """Who notice changes by themselves."""
    with (
        serving({**site.environment, **AN_HOUR}, "--workers", str(WORKERS)) as running,
        each_worker(running, WORKERS) as each,
    ):
        yield each


@pytest.fixture(scope="module")
def told_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, list[Worker]]]:
    """Who notice nothing by themselves: only what they are told can change an answer."""
    site = populated(tmp_path_factory.mktemp("told"))
    with (
        serving({**site.environment, **QUIET}, "--workers", str(WORKERS)) as running,
        each_worker(running, WORKERS) as each,
    ):
        yield site, each


def versions(workers: list[Worker], user: str = ADA) -> set[str]:
    """What the workers give the user: versions, or codes of refusals."""
    answers = [worker.get(own("Review"), bearer(user)) for worker in workers]
    return {it.body.split()[2].decode() if it.status == 200 else it.code for it in answers}


@contextmanager
def telling(site: Site) -> Iterator[ChangeLog]:
    """As a command, or another worker, tells: from this process."""
    log = ChangeLog(CacheFolder(site.plugins / "cache"))
    log.open()
    try:
        yield log
    finally:
        log.close()


# Revoking while serving


def _ask_until(
    worker: Worker, end: threading.Event, statuses: list[int], headers: dict[str, str]
) -> None:
    while not end.is_set():
        statuses.append(worker.get(own("Review"), headers).status)


@pytest.mark.parametrize("source", ["json", "database"])
def test_every_worker_refuses_what_was_revoked_and_never_gives_it_out_again(
    site: Site, workers: list[Worker], source: str
) -> None:
    end = threading.Event()
    seen: list[list[int]] = [[] for _ in workers]
    threads = [
        threading.Thread(target=_ask_until, args=(worker, end, each, bearer(BEN)))
        for worker, each in zip(workers, seen, strict=True)
    ]
    assert versions(workers, BEN) == {"1.0.1"}
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: min(map(len, seen)), lambda least: least > 20)
        if source == "json":
            site.install(BEN)
        else:
            site.execute("UPDATE plugin SET enabled = 0 WHERE user_id = ?", BEN)
        eventually(lambda: min(each.count(404) for each in seen), lambda least: least > 200)
    finally:
        end.set()
        for thread in threads:
            thread.join()
        site.install(BEN, "Review")
        site.execute("UPDATE plugin SET enabled = 1 WHERE user_id = ?", BEN)
    for each in seen:
        assert set(each) == {200, 404}
        assert each == sorted(each)
    eventually(lambda: versions(workers, BEN), lambda found: found == {"1.0.1"})


# Telling


@pytest.mark.parametrize(
    "change", [Change(user=UserId(ADA)), Change(), Change(hard=False)], ids=["user", "all", "soft"]
)
def test_what_another_process_tells_all_workers_obey(
    told_workers: tuple[Site, list[Worker]], change: Change
) -> None:
    site, workers = told_workers
    with telling(site) as log:
        for version, before in (("1.0.1", "1.0.0"), ("1.0.0", "1.0.1")):
            assert versions(workers) == {before}
            site.execute(
                "UPDATE plugin SET version = ? WHERE user_id = ? AND plugin_slug = 'Review'",
                version,
                ADA,
            )
            assert versions(workers) == {before}
            log.append(change)
            eventually(lambda: versions(workers), lambda found: found == {version})  # noqa: B023


def test_files_of_a_version_are_read_again_by_all_workers_when_they_are_told(
    told_workers: tuple[Site, list[Worker]],
) -> None:
    site, workers = told_workers
    entry = site.version_folder("Review", "1.0.1") / "dist/remoteEntry.js"
    before = entry.read_bytes()

    def contents() -> set[bytes]:
        return {worker.get(own("Review"), bearer(BEN)).body for worker in workers}

    assert contents() == {before}
    entry.write_bytes(b"/* rebuilt */")
    try:
        assert contents() == {before}
        with telling(site) as log:
            log.append(Change(slug=Slug("Review"), version=Version("1.0.1")))
            eventually(contents, lambda found: found == {b"/* rebuilt */"})
            entry.write_bytes(before)
            log.append(Change())
            eventually(contents, lambda found: found == {before})
    finally:
        entry.write_bytes(before)


def test_more_changes_than_the_log_holds_leave_no_worker_behind(
    told_workers: tuple[Site, list[Worker]],
) -> None:
    site, workers = told_workers
    assert versions(workers) == {"1.0.0"}
    site.execute(
        "UPDATE plugin SET version = '1.0.1' WHERE user_id = ? AND plugin_slug = 'Review'", ADA
    )
    with telling(site) as log:
        log.append(Change(user=UserId(ADA)))
        with pytest.MonkeyPatch.context() as patch, log._lock:
            patch.setattr(log, "reopen_if_replaced", lambda: False)
            for number in range(5000):
                log.append(Change(user=UserId(f"other{number}")))
        eventually(lambda: versions(workers), lambda found: found == {"1.0.1"})
        site.execute(
            "UPDATE plugin SET version = '1.0.0' WHERE user_id = ? AND plugin_slug = 'Review'", ADA
        )
        log.append(Change(user=UserId(ADA)))
        eventually(lambda: versions(workers), lambda found: found == {"1.0.0"})


def test_the_cache_folder_may_be_deleted_while_they_serve(
    told_workers: tuple[Site, list[Worker]],
) -> None:
    site, workers = told_workers
    shutil.rmtree(site.plugins / "cache")
    with telling(site) as log:
        for version in ("1.0.1", "1.0.0"):
            site.execute(
                "UPDATE plugin SET version = ? WHERE user_id = ? AND plugin_slug = 'Review'",
                version,
                ADA,
            )
            log.append(Change(user=UserId(ADA)))
            # At first not at once: the file is looked for about once a second.
            eventually(lambda: versions(workers), lambda found: found == {version})  # noqa: B023


# A folder that is not ours to write to


def test_a_cache_folder_that_cannot_be_written_costs_freshness_and_not_the_start(
    tmp_path: Path,
) -> None:
    """The plugins folder may be mounted read-only: the gateway only reads what it serves."""
    site = populated(tmp_path / "site")
    (site.plugins / "cache").rmdir()
    (site.plugins / "cache").touch()

    async def scenario(_gateway: Gateway, client: Client) -> None:
        assert status(await client.request(ENTRY_URL)) == 200

    with_gateway(site, scenario)


@pytest.mark.parametrize("arguments", [("list",), ("check",)])
def test_a_command_that_only_reads_leaves_nothing_in_the_site(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """Run by root, it would leave what the server's own user may not open, and so not start."""
    site = populated(tmp_path / "site")
    environment = {**site.environment, "GATEWAY__SERVER__PORT": "0"}
    assert run(environment, *arguments).exit_code == 0
    assert list((site.plugins / "cache").iterdir()) == []
