"""A change that a command makes is announced once, to this host and to all other nodes."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from gateway import load_settings
from gateway.changes import Change
from gateway.disk.cache_folder import CacheFolder
from gateway.freshness.announcing import Announcer
from gateway.freshness.change_log import ChangeLog
from gateway.freshness.postgres import PostgresSource
from gateway.names import Slug, UserId, Version
from tests.support.commands import line_of, run
from tests.support.postgres import Postgres, PostgresSite
from tests.support.site import ADA, BEN, NOBODY, Site, populate, populated
from tests.support.waiting import until

OF_ADA, OF_BEN = Change(user=UserId(ADA)), Change(user=UserId(BEN))


@pytest.fixture
def postgres_site(postgres: Postgres, tmp_path: Path) -> PostgresSite:
    site = PostgresSite(tmp_path / "site", postgres.new_database())
    populate(site)
    return site


def heard(site: PostgresSite, *commands: tuple[str, ...]) -> tuple[list[Change], list[Change]]:
    """What this host and another node hear while the commands run."""
    settings = load_settings(environ=site.environment)
    log = ChangeLog(CacheFolder(site.plugins / "cache"))
    payloads: list[str] = []

    async def main() -> None:
        node = await asyncpg.connect(site.url)
        channel = settings.freshness.postgres_channel
        await node.add_listener(channel, lambda *arguments: payloads.append(arguments[3]))
        try:
            for command in commands:
                done = await asyncio.to_thread(run, site.environment, *command)
                assert done.exit_code == 0, done.output
            await node.execute("SELECT pg_notify($1, 'the end')", channel)
            await until(lambda: "the end" in payloads)
        finally:
            await node.close()

    log.open()
    with contextlib.closing(log):
        asyncio.run(main())
        return list(log.read_new()), [Change.decode(text.encode()) for text in payloads[:-1]]


def nothing(_site: Site) -> None:
    pass


def entry_without_row(site: Site) -> None:
    site.install(BEN, "Review", "Ghost")


def row_without_file(site: Site) -> None:
    site.add_row(NOBODY, "Review", "1.0.0")


def new_version(site: Site) -> None:
    folder = site.folder / "source/dist"
    folder.mkdir(parents=True)
    (folder / "remoteEntry.js").write_text("/* Review 1.0.2 */")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prepare", "command", "change"),
    [
        (nothing, "update Review --user {ada} --version 1.0.1", OF_ADA),
        (nothing, "cache purge --hard", Change()),
        (
            new_version,
            "publish {folder}/source --slug Review --version 1.0.2",
            Change(slug=Slug("Review"), version=Version("1.0.2")),
        ),
        (entry_without_row, "doctor --fix", OF_BEN),
        (
            row_without_file,
            "migrate --apply --write-missing --user {nobody}",
            Change(user=UserId(NOBODY)),
        ),
    ],
    ids=["update", "purge", "publish", "doctor", "migrate"],
)
def test_a_command_tells_this_host_and_all_other_nodes(
    postgres_site: PostgresSite, prepare: Callable[[Site], None], command: str, change: Change
) -> None:
    prepare(postgres_site)
    names = {"ada": ADA, "nobody": NOBODY, "folder": postgres_site.folder}
    words = tuple(command.format(**names).split())
    assert heard(postgres_site, words) == ([change], [change])


@pytest.mark.slow
def test_originals_that_are_put_back_are_announced_to_all(postgres_site: PostgresSite) -> None:
    row_without_file(postgres_site)
    migrate = ("migrate", "--apply", "--write-missing", "--user", NOBODY)
    assert run(postgres_site.environment, *migrate).exit_code == 0
    (backup,) = (postgres_site.plugins / "backups").iterdir()
    restore = ("migrate", "--restore", str(backup))
    assert heard(postgres_site, restore) == ([], [])
    changes = [Change(user=UserId(NOBODY))]
    assert heard(postgres_site, (*restore, "--apply")) == (changes, changes)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["migrate --write-missing", "check", "list"])
def test_a_command_that_changes_nothing_announces_nothing(
    postgres_site: PostgresSite, command: str
) -> None:
    row_without_file(postgres_site)
    assert heard(postgres_site, tuple(command.split())) == ([], [])


def test_a_log_that_cannot_be_written_does_not_undo_a_command(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = populated(tmp_path / "site")
    (site.plugins / "cache/changes.log").mkdir()
    done = run(site.environment, "disable", "Review", "--user", ADA)
    assert done.exit_code == 0, done.output
    assert "other workers were not told of a change" in caplog.text


def test_other_nodes_are_told_although_this_host_cannot_be(tmp_path: Path) -> None:
    class Nodes(PostgresSource):
        def __init__(self) -> None:
            self.announced: list[Change] = []

        def announce(self, change: Change) -> None:
            self.announced.append(change)

    def fail(_whom: str, error: OSError) -> None:
        raise error

    nodes = Nodes()
    log = ChangeLog(CacheFolder(tmp_path / "no" / "folder"))
    announcer = Announcer(log, nodes, on_failure=fail)
    with pytest.raises(FileNotFoundError):
        announcer.announce(OF_ADA)
    assert nodes.announced == [OF_ADA]


def test_a_purge_that_cannot_be_announced_fails(tmp_path: Path) -> None:
    site = populated(tmp_path / "site")
    (site.plugins / "cache/changes.log").mkdir()
    assert "other workers were not told" in line_of(run(site.environment, "cache", "purge"))
