"""Three nodes of two workers over one PostgreSQL, nginx in front: they answer as one.

Two nodes share a plugins folder, the third has a copy. Nothing but what nodes tell each other
can change an answer: no lifetime ends, nobody looks at files, no trigger tells of commits.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest

from gateway import Gateway, create_app, load_settings
from gateway.changes import Change
from gateway.freshness import following
from gateway.freshness.announcing import announcing
from gateway.freshness.postgres import PostgresSource
from gateway.names import Slug, UserId, Version
from tests.conftest import require_program
from tests.support.commands import run
from tests.support.load import Client, under_load
from tests.support.nginx import nginx_before
from tests.support.postgres import Postgres, PostgresSite, execute
from tests.support.processes import children
from tests.support.server import Answer, Server, serving
from tests.support.settings import AN_HOUR
from tests.support.site import ADA, BEN, bearer, populate
from tests.support.urls import MANIFEST, own, pin_of
from tests.support.waiting import eventually
from tests.support.workers import Worker, each_worker

NODES = 3
WORKERS = 2
ADMIN_TOKEN = "the-token-of-administrators-that-is-long-enough"
UNWATCHED = {
    **AN_HOUR,
    "GATEWAY__FRESHNESS__WATCH_USERS": "false",
    "GATEWAY__CACHE__ASSETS__REVALIDATE": "3600",
}
PROXY = """
        location / {
            proxy_pass http://gateway;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_next_upstream error timeout;
            proxy_connect_timeout 1s;
        }
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux's /proc"),
]


@dataclass(slots=True)
class Cluster:
    """All that runs."""

    site: PostgresSite
    copy: Path
    """The plugins folder of the third node."""
    nodes: list[Server]
    workers: list[Worker] = field(default_factory=list)
    """Of all nodes, each on a connection of its own."""
    front: Server = field(init=False)
    """nginx."""

    def environment(self, node: int = 0) -> dict[str, str]:
        root = self.copy if node == NODES - 1 else self.site.plugins
        return {
            **self.site.environment,
            **UNWATCHED,
            "GATEWAY__STORAGE__ROOT": str(root),
            "GATEWAY__ADMIN__TOKEN": ADMIN_TOKEN,
        }

    def each(self, ask: Callable[[Worker], Answer]) -> list[Answer]:
        return [ask(worker) for worker in self.workers]

    def versions(self, user: str = ADA) -> set[str]:
        """What all workers of all nodes give the user."""
        answers = self.each(lambda worker: worker.get(own("Review"), bearer(user)))
        return {it.body.split()[2].decode() if it.status == 200 else it.code for it in answers}

    def set_version(self, version: str) -> None:
        """A commit that nobody is told of."""
        self.site.execute(
            "UPDATE plugin SET version = ? WHERE user_id = ? AND plugin_slug = 'Review'",
            version,
            ADA,
        )


@pytest.fixture(scope="module")
def running_cluster(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """All that runs, but for the connections to each worker."""
    nginx = require_program("nginx")
    folder = tmp_path_factory.mktemp("cluster")
    site = PostgresSite(folder / "site", postgres.new_database())
    populate(site)
    cluster = Cluster(site, folder / "copy", [])
    shutil.copytree(site.plugins, cluster.copy)
    with contextlib.ExitStack() as stack:
        for number in range(NODES):
            node = serving(cluster.environment(number), "--workers", str(WORKERS))
            cluster.nodes.append(stack.enter_context(node))
        servers = "".join(
            f"server 127.0.0.1:{node.port} fail_timeout=1s; " for node in cluster.nodes
        )
        upstreams = {"gateway": f"{servers} keepalive 16;"}
        cluster.front = stack.enter_context(
            nginx_before(cluster.nodes[0], nginx, folder / "nginx", PROXY, upstreams)
        )
        yield cluster


@pytest.fixture
def cluster(running_cluster: Cluster) -> Iterator[Cluster]:
    """Connections are made for each test: a server closes those that are idle for 5 seconds."""
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(each_worker(node, WORKERS)) for node in running_cluster.nodes
        ]
        running_cluster.workers = [worker for each in workers for worker in each]
        yield running_cluster


# One answer


def test_all_nodes_give_the_same_bytes_etags_and_pins(cluster: Cluster) -> None:
    for url in (own("Review"), own("Eyes"), MANIFEST, f"{MANIFEST}/designer"):
        answers = cluster.each(lambda worker: worker.get(url, bearer(ADA)))  # noqa: B023
        assert {answer.status for answer in answers} == {200}
        assert len({answer.headers["etag"] for answer in answers}) == 1
        assert len({answer.body for answer in answers}) == 1
    (pin,) = {pin_of(node, ADA, "Review") for node in cluster.nodes}
    pinned = cluster.each(lambda worker: worker.get(own("Review", f"{pin}/dist/1.js"), bearer(ADA)))
    assert {answer.status for answer in pinned} == {200}
    assert "immutable" in pinned[0].headers["cache-control"]


def test_what_one_node_gave_another_confirms(cluster: Cluster) -> None:
    etag = cluster.nodes[0].get(own("Review"), bearer(ADA)).headers["etag"]
    headers = {**bearer(ADA), "If-None-Match": etag}
    assert {it.status for it in cluster.each(lambda each: each.get(own("Review"), headers))} == {
        304
    }


# One truth


def announce_at_a_node(cluster: Cluster, change: Change) -> int:
    """From a fourth node, with a folder of its own; how often it applied a change meanwhile."""

    async def live() -> int:
        environment = {**cluster.environment(), "GATEWAY__STORAGE__ROOT": str(cluster.copy)}
        gateway: Gateway = create_app(load_settings(environ=environment))
        async with gateway.running():
            await until(lambda: gateway.core.invalidation.applied > 0)  # the news that it listens
            applied = gateway.core.invalidation.applied
            gateway.core.announcer.announce(change)
            await until(lambda: cluster.versions() == {"1.0.1"})
            return gateway.core.invalidation.applied - applied

    async def until(holds: Callable[[], bool]) -> None:
        await asyncio.to_thread(eventually, holds, bool)

    return asyncio.run(live())


def announce(cluster: Cluster, change: Change) -> None:
    """As a command at a node does."""

    async def main() -> None:
        async with announcing(load_settings(environ=cluster.environment())) as tell:
            tell(change)

    asyncio.run(main())


@pytest.fixture
def restored(cluster: Cluster) -> Iterator[None]:
    assert cluster.versions() == {"1.0.0"}
    yield
    cluster.set_version("1.0.0")
    announce(cluster, Change())
    eventually(cluster.versions, lambda found: found == {"1.0.0"})


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize(
    "change", [Change(user=UserId(ADA)), Change(), Change(hard=False)], ids=["user", "all", "soft"]
)
def test_a_change_told_at_one_node_is_obeyed_by_all(cluster: Cluster, change: Change) -> None:
    cluster.set_version("1.0.1")
    assert cluster.versions() == {"1.0.0"}
    announce_at_a_node(cluster, change)


@pytest.mark.parametrize("count", [2, 5000])
def test_what_is_told_while_the_database_is_away_is_told_when_it_is_back(
    postgres: Postgres, count: int
) -> None:
    """Each change; or, if there are very many, that everything is to be forgotten."""
    url = postgres.new_database()
    changes = [Change(user=UserId(f"user{number}")) for number in range(count)]
    heard: list[str] = []

    async def scenario() -> None:
        other = await asyncpg.connect(url)
        await other.add_listener("channel", lambda *arguments: heard.append(arguments[3]))
        source = PostgresSource(url, "channel")
        for change in changes:
            source.announce(change)
        async with following([source], lambda _change: None):
            await asyncio.to_thread(eventually, lambda: heard, bool)
            source.announce(changes[0])
            await asyncio.to_thread(eventually, lambda: heard[-1] == text(changes[0]), bool)
        await other.close()

    asyncio.run(scenario())
    assert heard[0] == text(changes[0] if count == 2 else Change())
    assert len(heard) == 3 if count == 2 else len(heard) < count - 900


def text(change: Change) -> str:
    return change.encode().decode()


@pytest.mark.usefixtures("restored")
def test_the_node_that_tells_does_not_hear_itself(cluster: Cluster) -> None:
    cluster.set_version("1.0.1")
    change = Change(user=UserId(ADA))
    # Once when it is announced, once from the log of its host, and not by way of PostgreSQL.
    assert announce_at_a_node(cluster, change) <= 2


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("node", range(NODES))
def test_a_purge_at_one_node_is_obeyed_by_all(cluster: Cluster, node: int) -> None:
    cluster.set_version("1.0.1")
    purge = cluster.nodes[node].request(
        "POST", "/-/cache/purge", {"Authorization": f"Bearer {ADMIN_TOKEN}"}, b'{"hard": true}'
    )
    assert purge.status == 200
    eventually(cluster.versions, lambda found: found == {"1.0.1"})


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize(
    "command",
    [("cache", "purge", "--user", ADA), ("update", "Review", "--user", ADA, "--version", "1.0.1")],
    ids=["purge", "update"],
)
def test_a_command_at_one_node_is_obeyed_by_all(cluster: Cluster, command: tuple[str, ...]) -> None:
    if command[0] == "cache":
        cluster.set_version("1.0.1")
    done = run(cluster.environment(NODES - 1), *command)
    assert done.exit_code == 0, done.output
    eventually(cluster.versions, lambda found: found == {"1.0.1"})


def test_files_that_were_rebuilt_are_read_again_by_all(cluster: Cluster) -> None:
    before = cluster.nodes[0].get(own("Review"), bearer(BEN)).body
    entries = [
        root / "shared/Review/v1.0.1/dist/remoteEntry.js"
        for root in (cluster.site.plugins, cluster.copy)
    ]

    def contents() -> set[bytes]:
        return {it.body for it in cluster.each(lambda each: each.get(own("Review"), bearer(BEN)))}

    assert contents() == {before}
    for content in (b"/* rebuilt */", before):
        for entry in entries:
            entry.write_bytes(content)
        change = Change(slug=Slug("Review"), version=Version("1.0.1"))
        announce(cluster, change)
        eventually(contents, lambda found: found == {content})  # noqa: B023
        pins = eventually(
            lambda: {pin_of(node, BEN, "Review") for node in cluster.nodes},
            lambda found: len(found) == 1,
        )
        assert len(pins) == 1


def test_a_published_version_is_told_to_all(cluster: Cluster, tmp_path: Path) -> None:
    """All have asked for it before, and been told that there is none."""
    source = tmp_path / "source"
    (source / "dist").mkdir(parents=True)
    (source / "dist/remoteEntry.js").write_text("/* Review 1.0.2 */")
    assert cluster.versions() == {"1.0.0"}
    cluster.set_version("1.0.2")
    announce(cluster, Change(user=UserId(ADA)))
    eventually(cluster.versions, lambda found: found == {"version_not_published"})
    try:
        for node in (0, NODES - 1):  # the folder that two share, and the copy
            words = ("publish", str(source), "--slug", "Review", "--version", "1.0.2")
            done = run(cluster.environment(node), *words)
            assert done.exit_code == 0, done.output
        eventually(cluster.versions, lambda found: found == {"1.0.2"})
    finally:
        cluster.set_version("1.0.0")
        announce(cluster, Change())
        eventually(cluster.versions, lambda found: found == {"1.0.0"})


def test_a_commit_shows_at_all_nodes_once_there_are_triggers(
    cluster: Cluster, tmp_path: Path
) -> None:
    done = run(cluster.site.environment, "init", str(tmp_path), "--triggers")
    assert done.exit_code == 0, done.output
    try:
        for version in ("1.0.1", "1.0.0"):
            cluster.set_version(version)
            eventually(cluster.versions, lambda found: found == {version})  # noqa: B023
    finally:
        execute(cluster.site.url, "DROP FUNCTION gateway_tell_change CASCADE")


def test_no_name_is_too_long_to_be_told() -> None:
    change = Change(UserId("u" * 100), Slug("s" * 100), Version("v" * 64), hard=False)
    assert Change.decode(change.encode()) == change
    assert len(change.encode()) <= 300


# One node less


def clients(front: Server) -> list[Client]:
    path, headers = own("Review"), bearer(ADA)
    return [
        Client(front.connection, path, headers),
        Client(front.connection, path, headers),
        Client(front.connection, path, headers, keeps_alive=False),
        Client(front.connection, MANIFEST, headers, pause_s=0.05),
    ]


def test_a_node_that_is_killed_or_stopped_under_load_fails_no_request(cluster: Cluster) -> None:
    """Two of three go, one by kill -9 in the midst of requests: nginx asks another node."""
    killed, stopped, _ = cluster.nodes
    with under_load(*clients(cluster.front)) as load:
        for pid in (killed.process.pid, *children(killed.process.pid)):
            os.kill(pid, signal.SIGKILL)
        killed.process.wait()
        load.goes_on(300)
        assert stopped.stop() == 0
        load.goes_on(300)
    assert load.failures == []
    assert {body for body in load.answers if body.isdigit()} == set()
