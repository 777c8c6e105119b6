"""Which file is compared with which: as browsers offer them."""

import hashlib
import random
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import Mock

import pytest

from gateway.disk.builds import FolderState, look_at_version
from gateway.disk.differences import Differences
from gateway.disk.pairs import EARLIER_VERSIONS, Pair, Pairs
from gateway.disk.storage import PluginStorage
from gateway.names import Slug, Version

REVIEW = Slug("Review")
NEW = Version("2.0.0")


def text(seed: int, lines: int = 60) -> bytes:
    """Lines that no other seed has."""
    words = random.Random(seed)
    return b"".join(b"let x%x=%d;\n" % (words.getrandbits(40), line) for line in range(lines))


class Plugin:
    def __init__(self, folder: Path) -> None:
        self.storage = PluginStorage(folder / "plugins")
        self.differences = Differences(self.storage.cache, 2**24)
        self.pairs = Pairs(self.storage, self.differences, REVIEW)

    def put(self, version: str, files: Mapping[str, bytes]) -> None:
        for path, content in files.items():
            file = self.storage.construct_shared_path(REVIEW, version) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    @property
    def state(self) -> FolderState:
        state = look_at_version(self.storage, REVIEW, NEW)
        assert state is not None
        return state

    def found(self, *held: str) -> dict[str, list[tuple[str, str]]]:
        """Version and path of the dictionaries, by path."""
        found: dict[str, list[tuple[str, str]]] = {}
        for pair in self.pairs.of(NEW, self.state, held or None):
            dictionary = pair.dictionary
            found.setdefault(pair.file.path, []).append((dictionary.version, dictionary.path))
        return found

    def only_pair(self) -> Pair:
        (pair,) = self.pairs.of(NEW, self.state)
        return pair


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return Plugin(tmp_path)


@pytest.mark.parametrize(
    ("new", "old", "is_pair"),
    [
        ("dist/remoteEntry.js", "dist/remoteEntry.js", True),
        ("dist/123.4f2a9c1b.js", "dist/123.0e1d2c3b.js", True),
        ("assets/index-Bx3kQ9_a.js", "assets/index-C0ffee12.js", True),
        ("dist/remoteEntry.js", "remoteEntry.js", False),  # no pattern covers another folder
        ("dist/123.4f2a9c1b.js", "dist/456.4f2a9c1b.js", False),
        ("dist/main.js", "dist/main.4f2a9c1b.js", False),
        ("dist/main.js.map", "dist/main.js.map", False),  # no page loads it
        ("dist/picture.png", "dist/picture.png", False),
    ],
)
def test_files_are_paired_by_path_and_by_the_path_without_hash(
    plugin: Plugin, new: str, old: str, is_pair: bool
) -> None:
    plugin.put("1.0.0", {old: text(1)})
    plugin.put(NEW, {new: text(1) + b"new"})
    assert plugin.found() == ({new: [("1.0.0", old)]} if is_pair else {})


def test_of_several_with_one_stem_the_one_that_overlaps_most_is_taken(plugin: Plugin) -> None:
    hashes = [f"{number:08x}" for number in (0x1F, 0x2F, 0x3F, 0x4F)]
    plugin.put("1.0.0", {f"dist/{it}.js": text(number) for number, it in enumerate(hashes)})
    plugin.put(NEW, {"dist/99999999.js": text(9, 5) + text(2)[100:]})
    assert plugin.found() == {"dist/99999999.js": [("1.0.0", f"dist/{hashes[2]}.js")]}


def test_the_work_for_one_file_is_bounded(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"dist/{number:08x}.js" for number in range(100)]
    plugin.put("1.0.0", {it: text(number) for number, it in enumerate(names)})
    plugin.put(NEW, {"dist/99999999.js": text(200)})
    trial = Mock(return_value=1)
    monkeypatch.setattr("gateway.disk.pairs.trial_bytes", trial)
    plugin.found()
    assert 0 < trial.call_count <= 4


def test_a_path_that_stayed_is_its_own_dictionary(plugin: Plugin) -> None:
    names = ["dist/00000001.js", "dist/00000002.js"]
    plugin.put("1.0.0", {it: text(number) for number, it in enumerate(names)})
    plugin.put(NEW, {names[1]: text(0)})
    assert plugin.found() == {names[1]: [("1.0.0", names[1])]}


def test_dictionaries_are_of_the_newest_other_versions(plugin: Plugin) -> None:
    versions = ["1.9.0", "1.10.0", "1.11.0", "2.0.1", "3.0.0", NEW]
    for number, version in enumerate(versions):
        plugin.put(version, {"a.js": text(1) + b"%d" % number})
    order = [version for version, _path in plugin.found()["a.js"]]
    assert order == ["3.0.0", "2.0.1", "1.11.0", "1.10.0"]
    assert len(order) == EARLIER_VERSIONS


def test_only_versions_that_users_have_count_if_that_is_known(plugin: Plugin) -> None:
    for number, version in enumerate(["1.0.0", "1.1.0", NEW]):
        plugin.put(version, {"a.js": text(1) + b"%d" % number})
    assert plugin.found("1.0.0", "7.0.0", NEW, "../x") == {"a.js": [("1.0.0", "a.js")]}
    assert list(plugin.pairs.of(NEW, plugin.state, [])) == []


def test_a_file_that_is_sent_as_it_is_has_no_pair(plugin: Plugin) -> None:
    plugin.put("1.0.0", {"a.js": text(1), "b.js": text(2)})
    plugin.put(NEW, {"a.js": text(1) * 2, "b.js": text(2)})
    plugin.pairs = Pairs(plugin.storage, plugin.differences, REVIEW, len(text(2)))
    assert set(plugin.found()) == {"b.js"}


def test_a_pair_becomes_a_difference(plugin: Plugin) -> None:
    plugin.put("1.0.0", {"a.js": text(1)})
    plugin.put(NEW, {"a.js": text(1) + b"new"})
    pair = plugin.only_pair()
    difference = plugin.pairs.make(pair)
    assert difference is not None
    assert difference[8:40] == hashlib.sha256(text(1)).digest()
    path = plugin.differences.path(pair.file.digest, pair.dictionary.digest)
    assert path.read_bytes() == difference


@pytest.mark.parametrize("version", ["1.0.0", NEW])
@pytest.mark.parametrize("content", [None, text(3), text(3) * 2, b""])
def test_a_file_that_was_rewritten_or_removed_meanwhile_has_no_difference(
    plugin: Plugin, version: str, content: bytes | None
) -> None:
    plugin.put("1.0.0", {"a.js": text(1)})
    plugin.put(NEW, {"a.js": text(1) + b"new"})
    pair = plugin.only_pair()
    if content is None:
        (plugin.storage.construct_shared_path(REVIEW, version) / "a.js").unlink()
    else:
        plugin.put(version, {"a.js": content})
    assert plugin.pairs.make(pair) is None
    assert not list(plugin.storage.cache.path.rglob("*.dcz"))
