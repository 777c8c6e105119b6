"""Copies a plugin from outside, a folder or an archive, into a staging folder, or refuses it.

The maker of the source is not trusted. Refused are links, devices, absolute names, names with
`..`, names that another system cannot hold, and bombs. Blocking.
"""

import errno
import gzip
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path
from typing import IO, TypeVar, cast

from gateway.disk.metadata import MAX_METADATA_BYTES, METADATA_FILES
from gateway.errors import PublishingError
from gateway.names import MAX_PATH_BYTES, portable_problem

T = TypeVar("T")

# Bounds against bombs, far above the size of a front-end bundle.
MAX_FILES = 20_000
"""Folders count too."""
MAX_BYTES = 1 << 30
# Of all names together. Python needs up to four bytes for a character, twice.
_MAX_NAMES_LENGTH = 2 << 20
# The description of files is read into memory as a whole: the directory of a zip, which describes
# all files, and the headers of one file in a tar.
_MAX_DIRECTORY_BYTES = 3 << 20
_MAX_HEADERS_BYTES = 16 << 10
_CHUNK_BYTES = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_ZIP_MAGIC = b"PK\x03\x04"
_DAMAGE = {_GZIP_MAGIC: "the .tar.gz is damaged", _ZIP_MAGIC[:2]: "the .zip is damaged"}
_NO_ARCHIVE = "damaged, or not a folder, a .zip or a .tar.gz"
# zipfile decodes other methods without a bound on their output.
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# RuntimeError: an encrypted member. NotImplementedError: a version of zip that zipfile lacks.
# ValueError: a name or a number that cannot be read.
_DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError,
    NotImplementedError, RuntimeError, ValueError,
)  # fmt: skip
# Left out at any depth: no page needs them. A package-lock.json would be served, and names the
# registry of whoever built the plugin.
_LEFT_OUT = frozenset({"node_modules", "package-lock.json", "__pycache__", "__MACOSX"})

Progress = Callable[[str, int, int], None]
"""(the present step, how many files are done, out of how many)."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the source."""

    name: str
    """Relative, `/`-separated."""
    size: int
    """As the source says; `_copy` counts what it really reads."""
    open: Callable[[], IO[bytes]]


@contextmanager
def listed(source: Path) -> Iterator[list[Member]]:
    """The files of `source` that would be published. Reading them in this order is the fastest.

    A single folder that holds all files, as in the archive of a repository, is left out of names.
    Raises: PublishingError, if the source cannot be read, or holds no files.
    """
    with _members(source) as all_members:
        members = [member for member in all_members if not is_left_out(member.name)]
        if not members:
            raise PublishingError(f"{source}: holds no files")
        yield _without_common_folder(members)


def unpack(source: Path, staging: Path, progress: Progress) -> None:
    """Copies the files that `listed` names below `staging`.

    Raises: PublishingError, which names the file and what is wrong with it.
    """
    with listed(source) as members:
        for problem in problems(members):
            raise PublishingError(f"{source}: {problem}")
        room_bytes = MAX_BYTES
        for member in with_progress("copying", members, progress):
            room_bytes -= _copy(source, member, staging / member.name, room_bytes)


def read_start(source: Path, member: Member, max_bytes: int) -> bytes:
    """The first bytes of a file. Raises: PublishingError, if it is damaged; OSError."""
    damage = f"{source}: {member.name!r}: damaged, or encrypted"
    with _refusing_damage(damage), member.open() as file:
        return file.read(max_bytes)


def with_progress(step: str, items: Collection[T], progress: Progress) -> Iterator[T]:
    """The items. Calls `progress` before each of them, and after the last."""
    for number, item in enumerate(items):
        progress(step, number, len(items))
        yield item
    progress(step, len(items), len(items))


def problems(members: list[Member]) -> Iterator[str]:
    """Why files with these names and sizes cannot be published, one sentence each."""
    seen: dict[str, str] = {}
    for member in members:
        if problem := portable_problem(member.name):
            yield f"{member.name!r}: {problem}"
        if member.name in METADATA_FILES and member.size > MAX_METADATA_BYTES:
            yield f"{member.name}: larger than {MAX_METADATA_BYTES} bytes"
        folded = member.name.casefold()
        if folded in seen:
            yield f"{member.name!r} and {seen[folded]!r} are one file on some systems"
        seen[folded] = member.name


def _copy(source: Path, member: Member, target: Path, room_bytes: int) -> int:
    """The number of bytes written: read and counted, not taken from the archive's directory."""
    name = f"{source}: {member.name!r}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        written = 0
        with (
            _refusing_damage(f"{name}: damaged, or encrypted"),
            member.open() as reading,
            target.open("xb") as writing,
        ):
            while chunk := reading.read(_CHUNK_BYTES):
                written += len(chunk)
                if written > room_bytes:
                    raise PublishingError(f"{name}: more than {MAX_BYTES} bytes unpacked")
                writing.write(chunk)
    except FileExistsError:
        raise PublishingError(f"{name}: stands twice, or is a folder as well") from None
    except NotADirectoryError:
        raise PublishingError(f"{name}: lies below a file") from None
    return written


@contextmanager
def _refusing_damage(text: str) -> Iterator[None]:
    """If the block cannot read an archive, raises PublishingError with this text."""
    try:
        yield
    except _DAMAGED:
        raise PublishingError(text) from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # EINVAL: an offset that no file has
            raise
        raise PublishingError(text) from None


class _Reader:
    """An archive file with a bound on what can be read.

    zipfile and tarfile have no bound of their own when they read the description of files.
    """

    def __init__(self, file: IO[bytes] | gzip.GzipFile) -> None:
        self._file = file
        self._room: int | None = 0
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable

    def allow(self, room: int | None) -> None:
        """`room`: bytes that may be read from now on; None removes the bound."""
        self._room = room

    def read(self, size: int = -1) -> bytes:
        """Raises: PublishingError, if the bound is reached."""
        if self._room is None:
            return self._file.read(size)
        content = self._file.read(size if 0 <= size <= self._room else self._room + 1)
        if len(content) > self._room:
            raise PublishingError("says more about its files than a plugin needs")
        self._room -= len(content)
        return content


@contextmanager
def _members(source: Path) -> Iterator[list[Member]]:
    if source.is_dir():
        yield list(_bounded(source, _of_folder(source)))
        return
    if not source.is_file():
        raise PublishingError(f"{source}: no such folder or file")
    with ExitStack() as stack:
        file = stack.enter_context(source.open("rb"))
        begins_with = file.read(len(_ZIP_MAGIC))
        with _refusing_damage(f"{source}: {_DAMAGE.get(begins_with[:2], _NO_ARCHIVE)}"):
            is_zip = begins_with == _ZIP_MAGIC or zipfile.is_zipfile(file)
            listing = _of_zip if is_zip else _of_tar
            members = list(_bounded(source, listing(file, stack)))
        yield members


def _bounded(source: Path, members: Iterator[Member | None]) -> Iterator[Member]:
    """The members, until a bound is reached: the rest of a bomb is not listed.

    None stands for a folder, which counts. Adds the name of the source to errors.
    """
    total, names_length = 0, 0
    try:
        for number, member in enumerate(members, 1):
            if number > MAX_FILES:
                raise PublishingError(f"more than {MAX_FILES} files and folders")
            if member is None:
                continue
            total += member.size
            names_length += len(member.name)
            if total > MAX_BYTES or member.size < 0:
                raise PublishingError(f"more than {MAX_BYTES} bytes")
            if names_length > _MAX_NAMES_LENGTH:
                raise PublishingError("longer names than a plugin needs")
            yield member
    except PublishingError as error:
        raise PublishingError(f"{source}: {error}") from None


def _of_folder(folder: Path) -> Iterator[Member | None]:
    prefixes = [""]  # not by recursion: folders may be deeper than Python recurses
    while prefixes:
        prefix = prefixes.pop()
        with os.scandir(folder / prefix) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        for entry in entries:
            name = prefix + entry.name
            if is_left_out(name):
                continue
            if len(name) > MAX_PATH_BYTES:
                raise PublishingError(f"{name[:60]!r}…: the path is too long")
            facts = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(facts.st_mode):
                prefixes.append(f"{name}/")
                yield None
            elif stat.S_ISREG(facts.st_mode):
                yield Member(name, facts.st_size, partial(FileIO, folder / name))
            else:
                raise PublishingError(f"{name!r} is no regular file (links are not taken)")


def _of_zip(file: IO[bytes], stack: ExitStack) -> Iterator[Member | None]:
    reader = _Reader(file)
    reader.allow(_MAX_DIRECTORY_BYTES)
    archive = stack.enter_context(zipfile.ZipFile(reader))
    reader.allow(None)
    for info in archive.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):  # 0: the maker's system has no modes
            raise PublishingError(f"{info.filename!r} is no regular file")
        if info.is_dir():
            yield None
        elif info.compress_type not in _ZIP_METHODS:
            raise PublishingError(f"{info.filename!r} is neither deflated nor stored")
        else:
            yield Member(info.filename, info.file_size, partial(archive.open, info))


def _of_tar(file: IO[bytes], stack: ExitStack) -> Iterator[Member | None]:
    file.seek(0)
    is_compressed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    file.seek(0)
    reader = _Reader(stack.enter_context(gzip.GzipFile(fileobj=file)) if is_compressed else file)
    reader.allow(_MAX_HEADERS_BYTES)
    archive = stack.enter_context(tarfile.TarFile(fileobj=cast("IO[bytes]", reader)))
    while (info := archive.next()) is not None:
        if info.isdir():
            yield None
        elif not info.isreg() or info.issparse():
            raise PublishingError(f"{info.name!r} is no regular file")
        else:
            yield Member(info.name.removeprefix("./"), info.size, partial(_tar_file, archive, info))
        # What tarfile keeps of each file, and does not need to read it, would fill the memory.
        info.pax_headers, archive.pax_headers = {}, {}
        info.linkname = info.uname = info.gname = ""
        reader.allow(_MAX_HEADERS_BYTES)
    reader.allow(None)


def _tar_file(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(info)
    if file is None:
        raise PublishingError(f"{info.name!r}: holds no bytes")
    return file


def _without_common_folder(members: list[Member]) -> list[Member]:
    """Only if the folder holds the metadata too: a single `dist/` belongs to the plugin."""
    firsts = {member.name.partition("/")[0] for member in members}
    names = {member.name for member in members}
    if len(firsts) != 1 or not names & {
        f"{first}/{name}" for first in firsts for name in METADATA_FILES
    }:
        return members
    return [Member(member.name.partition("/")[2], member.size, member.open) for member in members]


def is_left_out(name: str) -> bool:
    """Dotfiles, and what build tools leave. A name with `..` is not left out, but refused."""
    return any(
        part in _LEFT_OUT or (part.startswith(".") and part not in (".", ".."))
        for part in name.split("/")
    )
