"""`http.require_integrity`: nothing is given out of which nobody knows what was published."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.disk.published_record import RECORD_NAME
from tests.support.commands import run
from tests.support.server import Server, run_cli, serving
from tests.support.site import ADA, BEN, Site, bearer
from tests.support.urls import (
    ENTRY,
    MANIFEST,
    SIGNED_ENVIRONMENT,
    WAYS,
    own,
    pin_of,
    public,
)
from tests.support.waiting import eventually

REQUIRED = {
    **SIGNED_ENVIRONMENT,
    "GATEWAY__HTTP__REQUIRE_INTEGRITY": "true",
    "GATEWAY__CACHE__ASSETS__REVALIDATE": "0.05",
}
ABSOLUTE = "https://cdn.example/r.js"
every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """`Review` is published by the gateway, `Eyes` by another program, `Far` is on another host."""
    site = Site(tmp_path)
    for slug in ("Review", "Eyes", "Far"):
        site.publish(slug, "1.0.0")
        site.give(ADA, slug, "1.0.0")
    site.record("Review", "1.0.0")
    site.record("Far", "1.0.0")
    site.execute("UPDATE plugin SET bundle_location = ? WHERE plugin_slug = 'Far'", ABSOLUTE)
    return site


@pytest.fixture
def server(site: Site) -> Iterator[Server]:
    with serving({**site.environment, **REQUIRED}) as running:
        yield running


def listed(server: Server, manifest: str = MANIFEST) -> set[str]:
    return set(server.get(manifest, bearer(ADA)).json)


def unrecorded_pin(site: Site) -> str:
    """As a page has it from the time before the setting."""
    with serving(site.environment) as lenient:
        assert listed(lenient) == {"Review", "Eyes", "Far"}
        return pin_of(lenient, ADA, "Eyes")


@pytest.mark.parametrize("manifest", [MANIFEST, f"{MANIFEST}/designer"])
def test_a_manifest_lists_what_has_integrity_alone(server: Server, manifest: str) -> None:
    answer = server.get(manifest, bearer(ADA))
    assert set(answer.json) == {"Review"}
    again = server.get(manifest, {**bearer(ADA), "If-None-Match": answer.headers["etag"]})
    assert again.status == 304


@every_way
def test_no_url_gives_a_file_of_a_version_without_a_record(
    site: Site, server: Server, way: str
) -> None:
    pin = unrecorded_pin(site)
    code = "unknown_plugin" if way == "public by id" else "version_not_published"
    for path in (ENTRY, f"{pin}/{ENTRY}", f"{pin}/?integrity"):
        url, headers = WAYS[way](ADA, "Eyes", path)
        answer = server.get(url, headers)
        assert (answer.status, answer.code) == (404, code), url
        assert answer.headers["cache-control"] == "no-store"
        url, headers = WAYS[way](ADA, "Review", path.replace(pin, pin_of(server, ADA, "Review")))
        assert server.get(url, headers).status == 200
    assert server.get(public("Eyes"), {}).code == "unknown_plugin"


@every_way
def test_a_version_that_is_rewritten_in_place_is_out_and_comes_back_with_its_bytes(
    site: Site, server: Server, way: str
) -> None:
    url, headers = WAYS[way](ADA, "Review", ENTRY)
    entry = site.version_folder("Review", "1.0.0") / ENTRY
    content = entry.read_bytes()
    assert server.get(url, headers).status == 200
    entry.write_bytes(b"/* not what was published */")
    eventually(lambda: server.get(url, headers).status, lambda status: status == 404)
    eventually(lambda: listed(server), lambda names: "Review" not in names)
    entry.write_bytes(content)
    eventually(lambda: server.get(url, headers).status, lambda status: status == 200)
    eventually(lambda: listed(server), lambda names: "Review" in names)


def test_a_record_without_integrity_is_none(site: Site, server: Server) -> None:
    record = site.version_folder("Review", "1.0.0") / RECORD_NAME
    content = json.loads(record.read_bytes())
    del content["integrity"]
    record.write_text(json.dumps(content))
    eventually(lambda: listed(server), lambda names: not names)


def test_publishing_the_same_content_lets_a_version_in(
    site: Site, server: Server, tmp_path: Path
) -> None:
    metadata = '{"slug": "Plain", "version": "1.0.0"}'
    folder = site.publish("Plain", "1.0.0", {"plugin.json": metadata, ENTRY: "/* Plain */"})
    site.give(ADA, "Plain", "1.0.0")
    assert server.get(own("Plain"), bearer(ADA)).status == 404
    source = shutil.copytree(folder, tmp_path / "source")
    published = run(site.environment, "publish", str(source))
    assert "; its record is new\n" in published.stdout
    eventually(lambda: server.get(own("Plain"), bearer(ADA)).status, lambda status: status == 200)
    eventually(lambda: listed(server), lambda names: "Plain" in names)


def test_the_log_says_once_why(site: Site) -> None:
    with serving({**site.environment, **REQUIRED}) as running:
        for _ in range(5):
            listed(running)
            running.get(own("Eyes"), bearer(ADA))
        running.stop()
        lines = [line for line in running.output if "is given to nobody" in line]
    (line,) = lines
    assert "Eyes 1.0.0 is given to nobody (http.require_integrity): it has no record" in line


def test_explain_and_check_say_why(site: Site) -> None:
    environment = {**site.environment, **REQUIRED}
    explained = run_cli(environment, "explain", "--user", ADA, "Eyes", ENTRY)
    assert "version_not_published: http.require_integrity: Eyes 1.0.0: it has no record" in (
        explained.stdout
    )
    assert "gateway publish" in explained.stdout
    explained = run_cli(environment, "explain", "--user", ADA, "Review", ENTRY)
    assert "known" in explained.stdout
    checked = run_cli(environment, "check")
    assert "Eyes 1.0.0 is given to nobody (http.require_integrity): it has no record" in (
        checked.stdout
    )
    assert "Review 1.0.0 is" not in checked.stdout


def test_the_proxy_gets_no_tree_of_a_version_without_a_record(site: Site) -> None:
    trees = site.plugins / "cache" / "pinned"
    accel = {"GATEWAY__DELIVERY__MODE": "accel"}
    with serving({**site.environment, **accel}) as lenient:
        assert listed(lenient)
        eventually(lambda: list(trees.glob("*/@*")), lambda found: len(found) == 2)
    with serving({**site.environment, **accel, **REQUIRED}):
        left = eventually(lambda: list(trees.glob("*/@*")), lambda found: len(found) == 1)
    assert left[0].parent.name == "Review"


def test_without_pins_the_setting_stops_the_start(site: Site) -> None:
    result = run_cli({**site.environment, **REQUIRED, "GATEWAY__HTTP__PIN_MANIFEST": "false"},
                     "serve")  # fmt: skip
    assert result.returncode == 2
    assert "http.require_integrity: expected http.pin_manifest = true" in result.stderr


def test_what_is_being_developed_is_served_though_nobody_published_it(
    site: Site, tmp_path: Path
) -> None:
    folder = tmp_path / "plugin"
    (folder / "dist").mkdir(parents=True)
    (folder / "plugin.json").write_text('{"slug": "Eyes", "version": "2.0.0"}')
    (folder / ENTRY).write_text("/* being developed */ window.Eyes = {};")
    with serving({**site.environment, **REQUIRED}, str(folder), "--user", ADA,
                 command="dev") as dev:  # fmt: skip
        seen = eventually(lambda: dev.get(own("Eyes"), bearer(ADA)), lambda it: it.status == 200)
    assert seen.body == b"/* being developed */ window.Eyes = {};"


@pytest.mark.parametrize(
    "command",
    [("update",), ("update", "--version", "1.1.0"), ("rollback", "--version", "1.1.0")],
    ids=" ".join,
)
def test_nobody_is_moved_to_a_version_that_nobody_is_given(
    site: Site, command: tuple[str, ...]
) -> None:
    site.publish("Review", "1.1.0")
    environment = {**site.environment, **REQUIRED}
    moved = (command[0], "Review", "--user", ADA, *command[1:])
    before = site.query("SELECT version FROM plugin ORDER BY id")
    result = run(environment, *moved)
    assert result.exit_code == 2
    assert "Review 1.1.0 is given to nobody (http.require_integrity): it has no" in result.stderr
    assert "gateway publish" in result.stderr
    assert site.query("SELECT version FROM plugin ORDER BY id") == before
    site.record("Review", "1.1.0")
    assert run(environment, *moved).exit_code == 0


def test_nobody_gets_a_plugin_of_which_nobody_knows_what_was_published(site: Site) -> None:
    install = ("install", "Eyes", "--user", BEN)
    assert "is given to nobody" in run({**site.environment, **REQUIRED}, *install).stderr
    assert run(site.environment, *install).exit_code == 0


def test_over_http_the_refusal_says_why_without_a_path(site: Site) -> None:
    site.publish("Review", "1.1.0")
    changes = {"GATEWAY__ACCESS__CHANGES": "users"}
    with serving({**site.environment, **REQUIRED, **changes}) as server:
        answer = server.request("PUT", own("Review", "update"), bearer(ADA))
        assert (answer.status, answer.code) == (409, "version_unusable")
        assert answer.json["detail"].startswith("Nobody is given this version")
        assert str(site.folder) not in answer.body.decode()
