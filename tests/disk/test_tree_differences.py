"""Differences in pinned trees: whole, exact, bounded, and reached by no URL."""

import hashlib
import os
import re
import shutil
import stat
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.disk.builds import look_at
from gateway.disk.differences import Differences
from gateway.disk.encoder import Encoder
from gateway.disk.pairs import Pair, Pairs
from gateway.disk.pinned_trees import PinnedTrees, pinnable, pinnable_suffixes
from gateway.disk.storage import PluginStorage
from gateway.disk.tree_differences import TreeDifferences
from gateway.disk.tree_files import MOST_DIFFERENCES, add_difference, difference_path
from gateway.errors import NotServed
from gateway.names import AssetKey, AssetPath, Pin, Slug, Version, parse_target
from gateway.proxies import upstream_of
from gateway.settings import DEFAULT_SUFFIXES, load_settings
from tests.support.dictionaries import decoded, digest_of
from tests.support.killing import count_steps, kill_at, spread
from tests.support.site import Site

REVIEW, OLD, NEW = Slug("Review"), Version("1.0.0"), Version("1.0.1")
LINES = b"".join(b"export const value%d = %d;\n" % (n, n * n) for n in range(100))
ENTRY = AssetPath("dist/remoteEntry.js")
FILES = {
    OLD: {ENTRY: b"/* 1.0.0 */\n" + LINES, "dist/same.js": LINES * 2, "x.html": LINES},
    NEW: {ENTRY: b"/* 1.0.1 */\n" + LINES, "dist/same.js": LINES * 2, "x.html": LINES},
}


class Trees:
    """The trees of a site that has two versions."""

    def __init__(self, folder: Path) -> None:
        self.site = Site(folder)
        for version, files in FILES.items():
            self.site.publish(REVIEW, version, files)
        storage = PluginStorage(self.site.plugins)
        encoder = Encoder(storage.cache.encoded)
        self.cache = storage.cache
        self.trees = PinnedTrees(storage, encoder, DEFAULT_SUFFIXES, 2**20)
        differences = Differences(storage.cache, 2**24)
        self.now = 0.0
        self.differences = TreeDifferences(
            storage, differences, self.trees, 2**20, clock=lambda: self.now
        )

    def keep(self, version: Version) -> Path:
        state = look_at(self.site.version_folder(REVIEW, version), None)
        assert state is not None
        self.trees.keep(REVIEW, version, state)
        self.trees.look_again()
        return self.trees.path(REVIEW, Pin(version, state.build))


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    return Trees(tmp_path / "site")


@pytest.fixture
def tree(trees: Trees) -> Path:
    """The tree of the new version, without differences."""
    return trees.keep(NEW)


def kept_in(tree: Path) -> set[str]:
    """The files of which there is a difference."""
    paths = [path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()]
    return {path.partition(".dcz/")[0] for path in paths if ".dcz/" in path}


def test_a_complete_tree_gets_the_differences_of_all_pairs(trees: Trees, tree: Path) -> None:
    assert kept_in(tree) == set()
    trees.differences.add_to_all()
    assert kept_in(tree) == {ENTRY, "dist/same.js"}
    for name in kept_in(tree):
        old, new = FILES[OLD][name], FILES[NEW][name]
        difference = difference_path(tree / name, digest_of(old)).read_bytes()
        assert len(difference) < len(new) / 4
        assert decoded(difference, old) == new


def test_a_proxy_can_read_them_and_makes_an_etag_of_their_content(trees: Trees, tree: Path) -> None:
    trees.differences.add_to_all()
    path = difference_path(tree / ENTRY, digest_of(FILES[OLD][ENTRY]))
    digest = hashlib.sha256(path.read_bytes()).digest()
    assert path.stat().st_mtime == 1 + int.from_bytes(digest[:4], "big") // 4
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    folders = [it for it in path.parents if it.is_relative_to(tree)]
    assert {stat.S_IMODE(it.stat().st_mode) for it in folders} == {0o755}


def test_a_tree_is_compared_once(trees: Trees, tree: Path) -> None:
    trees.differences.add_to_all()
    shutil.rmtree(tree / f"{ENTRY}.dcz")
    trees.differences.add_to_all()
    assert kept_in(tree) == {"dist/same.js"}


def test_a_call_takes_some_seconds_and_the_next_one_goes_on(
    trees: Trees, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Pairs.make

    def slowly(pairs: Pairs, pair: Pair) -> bytes | None:
        trees.now += 10
        return make(pairs, pair)

    monkeypatch.setattr(Pairs, "make", slowly)
    counts = []
    for _ in range(3):
        trees.differences.add_to_all()
        counts.append(len(kept_in(tree)))
    assert counts == [1, 2, 2]


def test_while_another_worker_compares_nothing_is_done(
    trees: Trees, tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with FileLock(trees.cache.differences_lock):
        trees.differences.add_to_all()
    assert kept_in(tree) == set()
    assert not caplog.records


def test_a_full_disk_is_a_warning_and_a_pause(
    trees: Trees, tree: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_given: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("gateway.disk.tree_files.finish", full)
        trees.differences.add_to_all()
    assert "No space left" in caplog.text
    assert kept_in(tree) == set()
    trees.differences.add_to_all()
    assert kept_in(tree) == set()
    trees.now += 61
    trees.differences.add_to_all()
    assert len(kept_in(tree)) == 2


def key_of(path: AssetPath, version: Version = NEW) -> AssetKey:
    return AssetKey(REVIEW, version, path)


DIGEST = digest_of(FILES[NEW][ENTRY])
ASKED = digest_of(b"a dictionary")


def test_what_a_browser_asked_for_is_added(trees: Trees, tree: Path) -> None:
    trees.differences.add(key_of(ENTRY), DIGEST, ASKED, b"the difference")
    path = difference_path(tree / ENTRY, ASKED)
    assert path.read_bytes() == b"the difference"
    trees.differences.add(key_of(ENTRY), DIGEST, ASKED, b"again")
    assert path.read_bytes() == b"the difference"


@pytest.mark.parametrize(
    ("key", "digest"),
    [
        (key_of(ENTRY), digest_of(b"another content")),
        (key_of(ENTRY, OLD), DIGEST),  # has no tree
        (key_of(AssetPath("x.html")), digest_of(LINES)),
        (key_of(AssetPath("dist/none.js")), DIGEST),
    ],
    ids=["another content", "another version", "never served", "no such file"],
)
def test_nothing_is_added_to_another_file(
    trees: Trees, tree: Path, key: AssetKey, digest: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    before = sorted(trees.cache.pinned_trees.rglob("*"))
    trees.differences.add(key, digest, ASKED, b"the difference")
    assert sorted(trees.cache.pinned_trees.rglob("*")) == before
    assert not caplog.records


def test_the_differences_of_one_file_are_bounded(trees: Trees, tree: Path) -> None:
    for number in range(MOST_DIFFERENCES + 9):
        dictionary = digest_of(b"%d" % number)
        trees.differences.add(key_of(ENTRY), DIGEST, dictionary, b"%d" % number)
    files = [path for path in (tree / f"{ENTRY}.dcz").rglob("*") if path.is_file()]
    assert len(files) == MOST_DIFFERENCES


def test_a_tree_that_is_removed_meanwhile_is_not_begun_again(trees: Trees, tree: Path) -> None:
    shutil.rmtree(tree)
    with pytest.raises(FileNotFoundError):
        add_difference(tree / ENTRY, ASKED, b"the difference")
    trees.differences.add(key_of(ENTRY), DIGEST, ASKED, b"the difference")
    trees.differences.add_to_all()
    assert not tree.exists()


digests = st.binary(min_size=32, max_size=32)


@given(digests)
@example(b"\xff" * 32)  # slashes alone
@example(b"\x00" * 32)
@example(b"\xfb\xef\xbe" * 10 + b"\xfb\xef")
def test_the_name_is_what_a_browser_says(digest: bytes) -> None:
    """A proxy puts it after the file's name; the file system takes `//` for `/`."""
    text = b64encode(digest).decode()
    path = difference_path(Path("/tree/a.js"), digest)
    assert path.as_posix() == re.sub("/+", "/", f"/tree/a.js.dcz/{text}")
    assert path.name.endswith("=")
    assert not any(part.startswith(".") for part in path.parts)


@pytest.mark.parametrize("digest", [b"\xff" * 32, b"\x00" * 32, bytes(range(32))])
def test_any_digest_names_a_file(tree: Path, digest: bytes) -> None:
    add_difference(tree / ENTRY, digest, b"the difference")
    text = b64encode(digest).decode()
    # As nginx opens it.
    assert Path(os.fsdecode(f"{tree}/{ENTRY}.dcz/{text}")).read_bytes() == b"the difference"


def names_in_trees(trees: Trees) -> Iterator[str]:
    for path in trees.trees.folder.rglob("*"):
        name = path.relative_to(trees.trees.folder).as_posix()
        if ".dcz" in name or "/." in name:
            yield name


def test_no_url_leads_to_a_difference(trees: Trees, tree: Path) -> None:
    trees.differences.add_to_all()
    for number in range(MOST_DIFFERENCES):
        trees.differences.add(key_of(ENTRY), DIGEST, digest_of(b"%d" % number), b"x")
    names = list(names_in_trees(trees))
    assert len(names) > MOST_DIFFERENCES
    settings = load_settings(
        environ={**trees.site.environment, "GATEWAY__DELIVERY__MODE": "authorize"}
    )
    upstream = upstream_of(settings, "authorize")
    endings = "|".join(upstream.suffixes)
    pattern = re.compile(rf"{upstream.tree_pattern}/.+\.(?:{endings})")
    for name in names:
        assert pattern.fullmatch(name) is None  # what a proxy sends by itself
        try:
            suffix = parse_target(name.encode()).suffix
        except NotServed:
            continue
        assert suffix.removeprefix(".") not in settings.http.allowed_suffixes


def test_a_plugin_cannot_put_a_file_where_differences_are() -> None:
    suffixes = pinnable_suffixes([*DEFAULT_SUFFIXES, "dcz"])
    names = ["a.js", "a.js.dcz", "a.js.dcz/b.js", "x.DCZ/y/b.js", "dcz/b.js", "a.dczx/b.js"]
    assert set(pinnable(names, suffixes)) == {"a.js", "dcz/b.js", "a.dczx/b.js"}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_any_step_a_difference_is_whole_or_missing(trees: Trees, tree: Path) -> None:
    pristine = trees.site.folder.with_name("pristine")
    shutil.copytree(trees.site.folder, pristine)

    def reset() -> None:
        shutil.rmtree(trees.site.folder)
        shutil.copytree(pristine, trees.site.folder)

    steps = count_steps(trees.differences.add_to_all, trees.site.folder)
    good = contents_of(tree)
    counts = set()
    for step in spread(steps, 40):
        reset()
        kill_at(step, trees.differences.add_to_all, trees.site.folder)
        left = contents_of(tree)
        assert left.items() <= good.items()
        counts.add(len(left))
        trees.differences.add_to_all()
        assert contents_of(tree) == good
        assert not list(tree.rglob(".*.*"))
    assert counts >= {len(good) - 2, len(good)}


def contents_of(tree: Path) -> dict[str, bytes]:
    return {
        path.relative_to(tree).as_posix(): path.read_bytes()
        for path in tree.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
