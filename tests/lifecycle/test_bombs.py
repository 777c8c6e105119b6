"""Sources that are small until they are looked at: refused within a bound of memory.

Each is published by a process of its own, whose peak of resident memory is read from Linux.
"""

import gzip
import io
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from gateway.disk.metadata import MAX_METADATA_BYTES
from tests.support.server import clean_environment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/status").exists(), reason="the peak is read as Linux tells it"
    ),
]

MOST_BYTES = 64 * 2**20
MIB = 2**20
METADATA = b'{"slug": "Bomb", "version": "1"}'
ENTRY = ("dist/remoteEntry.js", b"window.Bomb = {};")

PUBLISH = """
import sys
from pathlib import Path

from gateway.errors import PublishingError
from gateway.lifecycle.publishing import publish
from gateway.disk.storage import PluginStorage


def peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


before = peak_bytes()
try:
    said = f"published {publish(PluginStorage(Path(sys.argv[1])), Path(sys.argv[2])).files}"
except PublishingError as error:
    said = str(error)
print(peak_bytes() - before)
print(said)
"""


def publish_apart(site: Path, source: Path) -> tuple[int, str]:
    """Bytes by which the peak of memory grew, and what was said."""
    for name in ("shared", "cache"):
        (site / name).mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-c", PUBLISH, str(site), str(source)],
        env=clean_environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    grown, said = done.stdout.splitlines()
    return int(grown), said


# Making them, in pieces: the test's own memory is not what is measured


def zipped(
    path: Path, name: str, chunks: Iterable[bytes], method: int = zipfile.ZIP_DEFLATED
) -> None:
    with zipfile.ZipFile(path, "w", method, compresslevel=1) as archive:
        archive.writestr("plugin.json", METADATA) if name != "plugin.json" else None
        archive.writestr(*ENTRY) if name != ENTRY[0] else None
        with archive.open(name, "w", force_zip64=True) as file:
            for chunk in chunks:
                file.write(chunk)


def tarred(path: Path, blocks: Iterable[bytes]) -> None:
    """`blocks` before the two files of a plugin."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        for block in blocks:
            file.write(block)
        with tarfile.open(fileobj=file, mode="w") as archive:
            for name, content in (("plugin.json", METADATA), ENTRY):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


def header(kind: bytes, size: int, name: str = "x") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % 512)


def record(key: str, value: str) -> bytes:
    """Of a pax header: its length counts itself."""
    rest = f" {key}={value}\n".encode()
    length = len(rest) + len(str(len(rest)))
    length = len(rest) + len(str(length))
    return str(length).encode() + rest


def described(kind: bytes, content: bytes) -> bytes:
    return header(kind, len(content)) + padded(content)


def repeated(chunk: bytes, size: int) -> Iterator[bytes]:
    chunk *= MIB // len(chunk)
    for _ in range(size // len(chunk)):
        yield chunk


def json_of_lists(size: int) -> Iterator[bytes]:
    yield b'{"slug": "Bomb", "version": "1", "x": [[]'
    yield from repeated(b",[]", size)
    yield b"]}"


def metadata_in_zip(path: Path) -> None:
    zipped(path, "plugin.json", json_of_lists(40 * MIB))


def metadata_in_tar(path: Path) -> None:
    chunks = list(json_of_lists(40 * MIB))
    size = sum(map(len, chunks))
    tarred(path, [header(tarfile.REGTYPE, size, "package.json"), *chunks, bytes(-size % 512)])


def metadata_in_folder(path: Path) -> None:
    (path / "dist").mkdir(parents=True)
    (path / "plugin.json").write_bytes(b"".join(json_of_lists(40 * MIB)))
    (path / ENTRY[0]).write_bytes(ENTRY[1])


def pax_header(path: Path) -> None:
    size = 200 * MIB
    start = f"{size} comment=".encode()
    chunks = repeated(b"x", size)
    first = next(chunks)
    tarred(path, [header(tarfile.XHDTYPE, size), start + first[len(start) :], *chunks])


def long_name(path: Path) -> None:
    size = 200 * MIB
    tarred(path, [header(tarfile.GNUTYPE_LONGNAME, size), *repeated(b"x", size)])


def pax_headers_of_many_files(path: Path) -> None:
    def blocks() -> Iterator[bytes]:
        for number in range(6_000):
            yield described(tarfile.XHDTYPE, record(f"comment{number}", "\N{BOMB}" + "x" * 12_000))
            yield header(tarfile.REGTYPE, 0, f"dist/{number}.js")
        yield header(tarfile.SYMTYPE, 0, "the end")

    tarred(path, blocks())


def global_headers(path: Path) -> None:
    def blocks() -> Iterator[bytes]:
        for number in range(6_000):
            yield described(tarfile.XGLTYPE, record(f"comment{number}", "\N{BOMB}" + "x" * 12_000))
            yield header(tarfile.REGTYPE, 0, f"dist/{number}.js")
        yield header(tarfile.SYMTYPE, 0, "the end")

    tarred(path, blocks())


def links_of_many_files(path: Path) -> None:
    def blocks() -> Iterator[bytes]:
        for number in range(6_000):
            yield described(tarfile.XHDTYPE, record("linkpath", "\N{BOMB}" + "x" * 12_000))
            yield header(tarfile.REGTYPE, 0, f"dist/{number}.js")
        yield header(tarfile.SYMTYPE, 0, "the end")

    tarred(path, blocks())


def long_names_of_many_files(path: Path) -> None:
    def blocks() -> Iterator[bytes]:
        for number in range(6_000):
            yield described(tarfile.XHDTYPE, record("path", f"{number}\N{BOMB}/" + "x" * 12_000))
            yield header(tarfile.REGTYPE, 0)

    tarred(path, blocks())


def sparse_map(path: Path) -> None:
    """As GNU tar writes it (PAX Format, Version 1.0): the map stands before the content."""
    size = 40 * MIB
    facts = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a.js",
             "GNU.sparse.realsize": "1"}  # fmt: skip
    pax = b"".join(record(key, value) for key, value in facts.items())
    numbers = (f"{size}\n".encode() + b"1\n" * (size // 2))[:size]
    tarred(path, [described(tarfile.XHDTYPE, pax), header(tarfile.REGTYPE, size), numbers])


def folders_in_tar(path: Path) -> None:
    tarred(path, (header(tarfile.DIRTYPE, 0, f"d{number}") for number in range(200_000)))


def directory_of_zip(path: Path) -> None:
    """300,000 entries of 51 bytes, and no file."""
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", *(20, 0, 20, 0), *(0,) * 4, *(0,) * 3,
                        5, *(0,) * 4, 0, 0)  # fmt: skip
    size = 0
    with path.open("wb") as file:
        for number in range(300_000):
            size += file.write(entry + b"%05d" % (number % 100_000))
        file.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFE, 0xFFFE, size, 0, 0))


def bzip2_in_zip(path: Path) -> None:
    zipped(path, "dist/1.js", repeated(b"\0", 300 * MIB), zipfile.ZIP_BZIP2)


def lzma_in_zip(path: Path) -> None:
    zipped(path, "dist/1.js", repeated(b"\0", 300 * MIB), zipfile.ZIP_LZMA)


BOMBS: dict[Callable[[Path], None], str] = {
    metadata_in_zip: "plugin.json: larger than",
    metadata_in_tar: "package.json: larger than",
    metadata_in_folder: "plugin.json: larger than",
    pax_header: "says more about its files",
    long_name: "says more about its files",
    pax_headers_of_many_files: "'the end' is no regular file",
    global_headers: "'the end' is no regular file",
    links_of_many_files: "'the end' is no regular file",
    long_names_of_many_files: "longer names",
    sparse_map: "says more about its files",
    folders_in_tar: "more than 20000 files and folders",
    directory_of_zip: "says more about its files",
    bzip2_in_zip: "neither deflated nor stored",
    lzma_in_zip: "neither deflated nor stored",
}


@pytest.mark.parametrize("make", BOMBS, ids=lambda make: make.__name__)
def test_a_bomb_stays_small(tmp_path: Path, make: Callable[[Path], None]) -> None:
    source = tmp_path / "source"
    make(source)
    grown, said = publish_apart(tmp_path / "plugins", source)
    assert BOMBS[make] in said
    assert grown <= MOST_BYTES


def test_metadata_that_are_as_large_as_may_be_stay_small_too(tmp_path: Path) -> None:
    content = METADATA[:-1] + b', "x": [[]' + b",[]" * 349_000 + b"]}"
    assert 0.99 * MAX_METADATA_BYTES < len(content) <= MAX_METADATA_BYTES
    zipped(tmp_path / "source", "plugin.json", [content])
    grown, said = publish_apart(tmp_path / "plugins", tmp_path / "source")
    assert said == "published 2"
    assert grown <= MOST_BYTES


def test_a_large_file_is_published_without_being_held_in_memory(tmp_path: Path) -> None:
    zipped(tmp_path / "source", ENTRY[0], repeated(b" ", 150 * MIB))
    grown, said = publish_apart(tmp_path / "plugins", tmp_path / "source")
    assert said == "published 2"
    assert grown <= MOST_BYTES
