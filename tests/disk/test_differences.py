"""Differences: exact for any decoder, bounded, and never believed without proof."""

import hashlib
import logging
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.disk import differences
from gateway.disk.builds import FolderState
from gateway.disk.cache_folder import CacheFolder
from gateway.disk.differences import MAX_BYTES, Differences, dictionary_files
from gateway.disk.encoder import Encoder
from gateway.disk.storage import PluginStorage
from gateway.names import Slug, Version
from tests.support.dictionaries import decoded, digest_of

MAGIC = bytes.fromhex("5e2a4d1820000000")
OLD = b"".join(b"function f%d(){return g(%d)}\n" % (n, n * n) for n in range(900))
NEW = OLD.replace(b"f400(", b"renamed(") + b"export default f1;\n"


class Kept:
    """Differences in one folder, asked for by contents."""

    def __init__(self, folder: Path, max_bytes: int = 2**26) -> None:
        self.cache = CacheFolder(folder)
        self.differences = Differences(self.cache, max_bytes)

    def make(self, content: bytes = NEW, dictionary: bytes = OLD) -> bytes | None:
        return self.differences.make_now(
            content, digest_of(content), dictionary, digest_of(dictionary)
        )

    def load(self, content: bytes = NEW, dictionary: bytes = OLD) -> bytes | None:
        return self.differences.load(digest_of(content), digest_of(dictionary), content, dictionary)

    def path(self, content: bytes = NEW, dictionary: bytes = OLD) -> Path:
        return self.differences.path(digest_of(content), digest_of(dictionary))


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "cache")


def must(difference: bytes | None) -> bytes:
    assert difference is not None
    return difference


def frame_of(difference: bytes, dictionary: bytes) -> bytes:
    """The frame, after the header of RFC 9842 §5."""
    assert difference[:8] == MAGIC
    assert difference[8:40] == digest_of(dictionary)
    return difference[40:]


def test_another_decoder_reads_it(kept: Kept) -> None:
    difference = must(kept.make())
    assert decoded(difference, OLD) == NEW
    assert len(difference) < 200
    assert kept.path().read_bytes() == difference == kept.load()


@pytest.mark.parametrize("damage", [lambda frame: frame[:-1], lambda _frame: b"", bytes.swapcase])
def test_what_does_not_decode_is_neither_used_nor_kept(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes]
) -> None:
    compress = differences._compress
    monkeypatch.setattr(differences, "_compress", lambda *given: damage(compress(*given)))
    assert kept.make() is None
    assert not kept.path().exists()
    monkeypatch.undo()
    assert kept.make() is not None


def test_a_file_that_did_not_change_costs_its_header(kept: Kept) -> None:
    difference = must(kept.make(OLD, OLD))
    assert decoded(difference, OLD) == OLD
    assert len(difference) < 80


def words(seed: int, size: int) -> bytes:
    """Text that hardly shrinks, so that each part of it must be found in the dictionary."""
    return random.Random(seed).randbytes(size // 2 + 1).hex().encode()[:size]


@pytest.mark.slow
@pytest.mark.parametrize("size", [2**20, 2**20 + 1, MAX_BYTES - 64, MAX_BYTES])
def test_all_of_a_large_dictionary_is_used(kept: Kept, size: int) -> None:
    dictionary = words(1, size)
    content = dictionary[size // 2 :] + b"new" + dictionary[: size // 2 - 3]
    difference = must(kept.make(content, dictionary))
    facts = zstandard.get_frame_parameters(frame_of(difference, dictionary))
    assert facts.content_size == len(content) == size
    assert size <= facts.window_size <= MAX_BYTES
    assert (facts.has_checksum, facts.dict_id) == (True, 0)
    assert len(difference) < 1000
    assert decoded(difference, dictionary) == content


@pytest.mark.parametrize(
    ("content", "dictionary"), [(1, MAX_BYTES + 1), (MAX_BYTES + 1, 1), (0, 1)]
)
def test_what_no_client_must_decode_is_not_made(kept: Kept, content: int, dictionary: int) -> None:
    assert kept.make(b"x" * content, b"x" * dictionary) is None


@settings(max_examples=300)
@given(st.binary(max_size=3000), st.binary(max_size=3000), st.binary(max_size=300))
def test_whatever_is_made_decodes_to_the_content(head: bytes, tail: bytes, new: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        kept = Kept(Path(folder))
        content, dictionary = head + new + tail, head + tail
        difference = kept.make(content, dictionary)
        assert kept.load(content, dictionary) == difference
        if difference is not None:
            assert len(difference) < 0.95 * len(content)
            raw = zstandard.ZstdCompressionDict(
                dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT
            )
            decoder = zstandard.ZstdDecompressor(dict_data=raw).decompressobj()
            assert decoder.decompress(frame_of(difference, dictionary)) == content


def test_equal_contents_make_equal_bytes_on_every_node(tmp_path: Path) -> None:
    assert Kept(tmp_path / "one").make() == Kept(tmp_path / "two").make()


def test_what_is_not_worth_it_is_remembered(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(5000)
    assert kept.make(content, b"of another kind" * 50) is None
    assert kept.load(content, b"of another kind" * 50) is None
    monkeypatch.setattr("gateway.disk.differences._compress", None)  # fails if it is called
    assert kept.make(content, b"of another kind" * 50) is None


def test_it_must_be_smaller_than_what_clients_without_a_dictionary_get(kept: Kept) -> None:
    content, dictionary = b"a line that comes again\n" * 400, b"nothing of it"
    assert kept.make(content, dictionary) is not None
    kept.differences.forget([digest_of(content)])
    Encoder(kept.cache.encoded).make_now(content, digest_of(content))
    assert kept.make(content, dictionary) is None


def as_frame(
    content: bytes = NEW,
    dictionary: bytes | None = OLD,
    *,
    write_checksum: bool = True,
    write_content_size: bool = True,
) -> bytes:
    raw = zstandard.ZstdCompressionDict(dictionary or b"", dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return zstandard.ZstdCompressor(
        19,
        dict_data=raw if dictionary else None,
        write_checksum=write_checksum,
        write_content_size=write_content_size,
    ).compress(content)


BOMB = as_frame(b"\0" * 2**26, None)
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _good: b"",
    "cut off in the header": lambda good: good[:39],
    "cut off": lambda good: good[:-1],
    "longer": lambda good: good + b"x",
    "a second frame": lambda good: good + as_frame(b"more", None),
    "one bit": lambda good: good[:-9] + bytes([good[-9] ^ 1]) + good[-8:],
    "of another dictionary": lambda good: MAGIC + digest_of(b"other") + good[40:],
    "another content": lambda good: good[:40] + as_frame(NEW[:-1] + b"\t"),
    "a bomb": lambda good: good[:40] + BOMB,
    "without a checksum": lambda good: good[:40] + as_frame(write_checksum=False),
    "without its size": lambda good: good[:40] + as_frame(write_content_size=False),
    "brotli": lambda _good: brotli.compress(NEW),
    "larger than the content": lambda good: good + b"x" * len(NEW),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_forged_file_is_never_used_and_is_made_anew(
    kept: Kept, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    good = must(kept.make())
    kept.path().write_bytes(DAMAGES[damage](good))
    assert kept.load() is None
    assert "damaged" in caplog.text
    assert kept.make() == good == kept.path().read_bytes()


def test_a_link_is_not_followed(kept: Kept, tmp_path: Path) -> None:
    good = must(kept.make())
    elsewhere = kept.path().rename(tmp_path / "elsewhere")
    kept.path().symlink_to(elsewhere)
    assert kept.load() is None
    assert kept.make() == good
    assert not kept.path().is_symlink()


def test_a_dictionary_that_was_rewritten_is_refused(kept: Kept) -> None:
    difference = kept.differences.make_now(NEW, digest_of(NEW), OLD + b"x", digest_of(OLD))
    assert difference is None
    assert not kept.path().exists()


def test_a_folder_that_cannot_be_written_costs_only_the_keeping(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = Kept(tmp_path)
    kept.cache.differences.write_bytes(b"a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        assert decoded(must(kept.make()), OLD) == NEW
    assert "cannot keep" in caplog.text
    kept.differences.forget([digest_of(NEW)])


def test_the_bound_0_keeps_nothing(tmp_path: Path) -> None:
    kept = Kept(tmp_path, 0)
    assert kept.make() is not None
    assert kept.load() is None


def test_a_use_is_noted(kept: Kept) -> None:
    kept.make()
    os.utime(kept.path(), (1000, 1000))
    kept.load()
    assert kept.path().stat().st_mtime > 1000


def test_the_kept_ones_are_counted_by_file(kept: Kept) -> None:
    assert not kept.differences.counts()
    other, unlike = OLD + b"other\n", os.urandom(5000)
    for content, dictionary in ((NEW, OLD), (NEW, other), (OLD, OLD), (unlike, OLD)):
        kept.make(content, dictionary)
    counts = kept.differences.counts()
    assert [counts[digest_of(it).hex()] for it in (NEW, OLD, unlike)] == [2, 1, 0]


def test_what_is_forgotten_is_gone_as_content_and_as_dictionary(kept: Kept) -> None:
    third = NEW + b"third\n"
    pairs = [(NEW, OLD), (third, NEW), (third, OLD), (OLD, OLD)]
    for content, dictionary in pairs:
        kept.make(content, dictionary)
    (kept.path(NEW, OLD).parent / f".{kept.path(NEW, OLD).name}.x1").touch()
    kept.differences.forget([digest_of(NEW)])
    left = [path for path in kept.cache.differences.rglob("*") if path.is_file()]
    assert set(left) == {kept.path(third, OLD), kept.path(OLD, OLD)}


@pytest.fixture
def storage(tmp_path: Path) -> PluginStorage:
    storage = PluginStorage(tmp_path / "plugins")
    for number, version in enumerate(["0.9.0", "1.0.0", "1.10.0", "1.9.0", "2.0.0-rc1"]):
        put(storage, version, "dist/remoteEntry.js", b"/* %d */" % number + OLD)
    return storage


def put(storage: PluginStorage, version: str, path: str, content: bytes) -> None:
    file = storage.construct_shared_path("Review", version) / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def test_dictionaries_are_the_files_of_the_newest_versions(storage: PluginStorage) -> None:
    files = dictionary_files(storage, Slug("Review"), newest=2)
    assert files == {
        digest_of(b"/* 2 */" + OLD): ("1.10.0", "dist/remoteEntry.js"),
        digest_of(b"/* 3 */" + OLD): ("1.9.0", "dist/remoteEntry.js"),
    }
    assert dictionary_files(storage, Slug("Unknown"), newest=2) == {}


def test_files_that_are_no_use_are_no_dictionaries(storage: PluginStorage) -> None:
    put(storage, "3.0.0", "small.js", b"x" * 255)
    put(storage, "3.0.0", "picture.png", OLD)
    put(storage, "3.0.0", "large.js", b"x" * (MAX_BYTES + 1))
    put(storage, "3.0.0", "dist/back\\slash.js", OLD)
    put(storage, "3.0.0", "main.js", OLD)
    assert list(dictionary_files(storage, Slug("Review"), newest=1).values()) == [
        ("3.0.0", "main.js")
    ]


def test_a_shared_content_is_that_of_the_newest_version(storage: PluginStorage) -> None:
    put(storage, "1.11.0", "dist/remoteEntry.js", b"/* 1 */" + OLD)
    files = dictionary_files(storage, Slug("Review"), newest=9)
    assert files[digest_of(b"/* 1 */" + OLD)] == ("1.11.0", "dist/remoteEntry.js")


def test_only_what_changed_is_read_again(
    storage: PluginStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: dict[Version, FolderState] = {}
    first = dictionary_files(storage, Slug("Review"), newest=2, known=known)
    assert set(known) == {"1.10.0", "1.9.0"}
    put(storage, "1.9.0", "dist/remoteEntry.js", NEW)  # an installer of the application
    reading = Mock(side_effect=hashlib.file_digest)
    monkeypatch.setattr(hashlib, "file_digest", reading)
    second = dictionary_files(storage, Slug("Review"), newest=2, known=known)
    assert digest_of(NEW) in second
    assert digest_of(b"/* 3 */" + OLD) not in second
    assert reading.call_count == 1
    assert len(first) == len(second)
