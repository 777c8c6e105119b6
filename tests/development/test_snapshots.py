"""Each build is a version of its own, and the last ones are kept."""

from pathlib import Path

import pytest

from gateway.development import snapshots as module
from gateway.development.plugin_folder import PluginFolder
from gateway.development.snapshots import DevelopedRelease, Snapshots
from gateway.disk.published_record import RECORD_NAME
from gateway.names import Slug, Version
from tests.development.folders import METADATA, built, plugin_folder, write
from tests.support.site import contents

SLUG = Slug("Mine")


class Builder:
    """A folder, and the copies of its builds."""

    def __init__(self, folder: Path, *published: str) -> None:
        self.folder = plugin_folder(folder / "mine")
        self.snapshots = Snapshots(folder / "copies", SLUG, set(published).__contains__)
        self.number = 0

    def build(self, text: str) -> DevelopedRelease | None:
        self.number += 1
        look = PluginFolder(write(self.folder, built(text))).look()
        candidate = self.snapshots.prepare(look)
        assert candidate.problem is None
        return self.snapshots.keep(candidate, self.number)

    def problem(self) -> str:
        return self.snapshots.prepare(PluginFolder(self.folder).look()).problem or ""

    def files(self, version: str) -> dict[str, bytes]:
        return contents(self.snapshots.shared.version_folder(SLUG, Version(version)))


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path)


def test_a_build_is_a_version_with_what_it_needs_and_no_sources(builder: Builder) -> None:
    release = builder.build("1")
    assert release is not None
    assert (release.version, release.entry) == ("1.2.0-dev.1", "dist/remoteEntry.js")
    files = builder.files("1.2.0-dev.1")
    assert sorted(files) == [RECORD_NAME, "dist/1.js", "dist/remoteEntry.js", "plugin.json"]
    assert files["dist/remoteEntry.js"] == b"window.mine = '1';"


def test_the_copy_does_not_change_when_the_folder_does(builder: Builder) -> None:
    builder.build("1")
    before = builder.files("1.2.0-dev.1")
    builder.build("2")
    assert builder.files("1.2.0-dev.1") == before


def test_the_same_content_once_more_is_no_version(builder: Builder) -> None:
    builder.build("1")
    assert builder.build("1") is None
    assert builder.build("2") is not None


def test_a_version_that_somebody_has_published_is_passed_over(tmp_path: Path) -> None:
    release = Builder(tmp_path, "1.2.0-dev.1").build("1")
    assert release is not None
    assert release.version == "1.2.0-dev.1.1"


def test_without_a_version_it_is_zero(builder: Builder) -> None:
    write(builder.folder, {"plugin.json": {"slug": "Mine"}})
    release = builder.build("1")
    assert release is not None
    assert release.version == "0.0.0-dev.1"


def test_a_row_that_exists_gets_no_words_of_npm(builder: Builder) -> None:
    write(builder.folder, {"package.json": {"name": "mine", "description": "npm's"}})
    release = builder.build("1")
    assert release is not None
    assert release.metadata["description"] == "npm's"
    assert "description" not in release.changes


def test_only_the_last_builds_are_kept(builder: Builder) -> None:
    for number in range(25):
        builder.build(str(number))
    kept = [Version(f"1.2.0-dev.{number}") for number in range(6, 26)]
    assert set(builder.snapshots.shared.versions_of(SLUG)) == set(kept)
    assert all(builder.snapshots.holds(SLUG, version) for version in kept)
    assert not builder.snapshots.holds(SLUG, Version("1.2.0-dev.5"))


def test_builds_are_bounded_in_bytes_and_the_last_one_stays(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", 1000)
    for number in range(5):
        builder.build(str(number))
    assert len(builder.snapshots.shared.versions_of(SLUG)) > 1
    builder.build("x" * 2000)
    assert builder.snapshots.shared.versions_of(SLUG) == ["1.2.0-dev.6"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("dist/a:b.js", "has a character that Windows refuses"),
        ("plugin.json", "larger than 1048576 bytes"),
    ],
)
def test_what_publish_refuses_is_refused(builder: Builder, name: str, problem: str) -> None:
    write(builder.folder, built("1"))
    text = '{"slug": "Mine", "x": "' + "x" * 2**20 + '"}' if name == "plugin.json" else ""
    write(builder.folder, {name: text})
    assert problem in builder.problem()


def test_links_are_refused(builder: Builder) -> None:
    write(builder.folder, built("1"))
    (builder.folder / "dist" / "secret.js").symlink_to("/etc/passwd")
    assert "links are not taken" in builder.problem()


def test_a_version_that_is_none_is_refused(builder: Builder) -> None:
    write(builder.folder, {**built("1"), "plugin.json": {**METADATA, "version": "v1.0.0"}})
    assert "the 'v' belongs to the folder" in builder.problem()


def test_an_empty_assets_folder_is_no_reason_to_refuse(builder: Builder) -> None:
    (builder.folder / "assets").mkdir()
    assert builder.build("1") is not None
