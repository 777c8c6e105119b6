"""The integrity of files, as manifests give it: of what was published, and of nothing else."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.disk.published_record import RECORD_NAME
from tests.support.server import Server, serving
from tests.support.site import ADA, Site, bearer
from tests.support.urls import ENTRY, MANIFEST, integrity_of, own, public
from tests.support.waiting import eventually

OFTEN = {"GATEWAY__CACHE__ASSETS__REVALIDATE": "0.05"}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.publish("Review", "1.0.0")
    site.give(ADA, "Review", "1.0.0")
    return site


@pytest.fixture
def server(site: Site) -> Iterator[Server]:
    with serving({**site.environment, **OFTEN}) as running:
        yield running


def listed(server: Server, manifest: str = MANIFEST) -> Any:
    return server.get(manifest, bearer(ADA)).json["Review"]


@pytest.mark.parametrize("manifest", [MANIFEST, f"{MANIFEST}/designer"])
def test_it_is_that_of_the_bytes_that_the_pinned_url_sends(
    site: Site, server: Server, manifest: str
) -> None:
    site.record("Review", "1.0.0")
    entry = listed(server, manifest)
    for url, headers in (
        (public(entry["database_id"], entry["bundlelocation"]), {}),
        (own("Review", entry["bundlelocation"]), bearer(ADA)),
    ):
        assert integrity_of(server.get(url, headers).body) == entry["integrity"]


@pytest.mark.parametrize("location", ["/dist/remoteEntry.js", "dist/remoteEntry.js?v=1#top"])
def test_a_location_may_be_written_as_a_url_is(site: Site, server: Server, location: str) -> None:
    site.record("Review", "1.0.0")
    site.execute("UPDATE plugin SET bundle_location = ?", location)
    content = (site.version_folder("Review", "1.0.0") / ENTRY).read_bytes()
    eventually(lambda: listed(server).get("integrity"), lambda it: it == integrity_of(content))


def without_integrity(folder: Path) -> None:
    record = json.loads((folder / RECORD_NAME).read_bytes())
    del record["integrity"]
    (folder / RECORD_NAME).write_text(json.dumps(record))


def another_record(folder: Path) -> None:
    """Somebody says of other files that they were published."""
    record = json.loads((folder / RECORD_NAME).read_bytes())
    record["files"][ENTRY] = "0" * 64
    (folder / RECORD_NAME).write_text(json.dumps(record))


UNKNOWN: dict[str, Callable[[Path], object]] = {
    "another program made the version": lambda folder: (folder / RECORD_NAME).unlink(),
    "an earlier release published it": without_integrity,
    "a file was rewritten": lambda folder: (folder / ENTRY).write_bytes(b"/* other */"),
    "a file was added": lambda folder: (folder / "dist/2.js").write_bytes(b"/* new */"),
    "the record is damaged": lambda folder: (folder / RECORD_NAME).write_bytes(b"{"),
    "the record has the build of other files": another_record,
}


@pytest.mark.parametrize("why", UNKNOWN)
def test_it_is_not_given_for_what_nobody_published(site: Site, server: Server, why: str) -> None:
    site.record("Review", "1.0.0")
    assert "integrity" in listed(server)
    UNKNOWN[why](site.version_folder("Review", "1.0.0"))
    eventually(lambda: listed(server), lambda it: "integrity" not in it)
    assert listed(server)["bundlelocation"].startswith("@1.0.0~")


def test_a_record_that_comes_later_is_seen_without_a_restart(site: Site, server: Server) -> None:
    assert "integrity" not in listed(server)
    site.record("Review", "1.0.0")
    eventually(lambda: listed(server), lambda it: "integrity" in it)


def test_without_pins_there_is_none(site: Site) -> None:
    site.record("Review", "1.0.0")
    with serving({**site.environment, "GATEWAY__HTTP__PIN_MANIFEST": "false"}) as running:
        assert "integrity" not in listed(running)
