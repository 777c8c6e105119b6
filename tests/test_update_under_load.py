"""Versions move to and fro while pages load: each page is of one version, and none fails."""

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import Account, forget_use
from tests.support.commands import run
from tests.support.server import Server, serving
from tests.support.site import USERS_CHANGE, Site, bearer
from tests.support.urls import MANIFEST, own, public
from tests.support.waiting import eventually
from tests.support.workers import each_worker

pytestmark = pytest.mark.slow

USERS = [f"{number:032x}" for number in range(1, 13)]
VERSIONS = ("1.0.0", "1.0.1")
CHUNKS = ("dist/1.js", "dist/2.js", "dist/3.js")
MOVES = 60


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path / "site")
    for version in VERSIONS:
        names = ("dist/remoteEntry.js", *CHUNKS)
        site.publish("Review", version, {name: f"{name} of {version}" for name in names})
    for user in USERS:
        site.give(user, "Review", "1.0.0")
    return site


@pytest.fixture
def server(site: Site) -> Iterator[Server]:
    retention = {"GATEWAY__LIFECYCLE__RETENTION_DAYS": "0"}
    environment = {**site.environment, **USERS_CHANGE, **retention}
    with serving(environment, "--workers", "2") as running, each_worker(running, 2):
        yield running


class Pages:
    """Loads pages of one user after another until it is told to stop; keeps what went wrong."""

    def __init__(self, server: Server, users: list[str]) -> None:
        self._server = server
        self._users = itertools.cycle(users)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.loaded: dict[str, int] = dict.fromkeys(VERSIONS, 0)
        self.problems: list[str] = []

    def __enter__(self) -> "Pages":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._load(next(self._users))
            except Exception as error:
                self.problems.append(repr(error))

    def _load(self, user: str) -> None:
        row = self._server.get(MANIFEST, bearer(user)).json["Review"]
        pin, _, entry = row["bundlelocation"].partition("/")
        version = pin[1:].partition("~")[0]
        if version != row["version"]:
            self.problems.append(f"a manifest of {row['version']} pins {pin}")
        for name in (entry, *CHUNKS):
            for url in (
                own("Review", f"{pin}/{name}"),
                public(row["database_id"], f"{pin}/{name}"),
            ):
                answer = self._server.get(url, bearer(user))
                if (answer.status, answer.body.decode()) != (200, f"{name} of {version}"):
                    self.problems.append(f"{url}: {answer.status} {answer.body!r}")
            unpinned = self._server.get(own("Review", name), bearer(user))
            if unpinned.body.decode() not in {f"{name} of {one}" for one in VERSIONS}:
                self.problems.append(f"{name}: {unpinned.status} {unpinned.body!r}")
        self.loaded[version] += 1


def test_pages_load_whole_while_versions_move(site: Site, server: Server) -> None:
    with Pages(server, USERS[:6]) as some, Pages(server, USERS[6:]) as others:
        for turn in range(MOVES):
            user, wanted = USERS[turn % len(USERS)], VERSIONS[1 - turn // len(USERS) % 2]
            if turn % 3:
                body = f'{{"version": "{wanted}"}}'.encode()
                path = own("Review", "update")
                answer = server.request("PUT", path, bearer(user), body)
                assert answer.status == 200, answer.body
            else:
                done = run(
                    site.environment, "update", "Review", "--user", user, "--version", wanted
                )
                assert done.exit_code == 0, done.output
        eventually(lambda: sum(some.loaded.values()) + sum(others.loaded.values()), bool)
    for pages in (some, others):
        assert pages.problems == []
        assert all(pages.loaded.values()), pages.loaded


def test_after_the_collection_of_a_version_its_pins_are_gone_and_the_others_are_not(
    site: Site, server: Server
) -> None:
    pins = {}
    for version in VERSIONS:
        Account(site, USERS[0]).update(version)
        row = eventually(
            lambda: server.get(MANIFEST, bearer(USERS[0])).json["Review"],
            lambda row, version=version: row["version"] == version,  # type: ignore[misc]
        )
        pins[version] = row["bundlelocation"]
    for user in USERS[1:]:
        Account(site, user).update()
    asked = [user for user in USERS for _ in range(4)]
    eventually(
        lambda: {server.get(MANIFEST, bearer(user)).json["Review"]["version"] for user in asked},
        lambda versions: versions == {"1.0.1"},
    )
    forget_use(site, "1.0.0")
    retention = {"GATEWAY__LIFECYCLE__RETENTION_DAYS": "0"}
    environment = {**site.environment, **USERS_CHANGE, **retention}
    with Pages(server, USERS) as pages:
        assert "removed Review 1.0.0" in run(environment, "gc", "--apply").stdout
        gone = own("Review", pins["1.0.0"])
        eventually(lambda: server.get(gone, bearer(USERS[0])).status, lambda got: got != 200)
        for _ in range(10):
            answer = server.get(gone, bearer(USERS[0]))
            assert (answer.status, answer.code) == (410, "version_retired")
        assert server.get(own("Review", pins["1.0.1"]), bearer(USERS[0])).status == 200
    assert pages.problems == []
