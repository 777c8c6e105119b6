"""A plugin from outside, folder or archive, copied into a staging folder, or refused.

Whoever made the source is not trusted: no links, devices, absolute or climbing names, no
names that another system could not hold, no bombs. Blocking.
"""

import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from gateway.errors import PublishingError
from gateway.metadata import METADATA_FILES
from gateway.names import portable_problem

# Bounds against bombs, far above a front-end bundle: a source beyond them is a mistake or worse.
MAX_FILES = 20_000
MAX_BYTES = 1 << 30
_CHUNK_BYTES = 1 << 20
# RuntimeError: an encrypted member; NotImplementedError: a method that zipfile lacks.
_DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError,
    NotImplementedError, RuntimeError,
)  # fmt: skip
# Left out wherever they stand: they are never served, and never needed there.
_LEFT_OUT = frozenset({"node_modules", "__pycache__", "__MACOSX"})

Progress = Callable[[str, int, int], None]
"""(what is being done, how much of it is done, out of how much)."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the source."""

    name: str
    """Relative, `/`-separated."""
    size: int
    """As the source states it; what is really read is counted."""
    open: Callable[[], IO[bytes]]


def unpack(source: Path, staging: Path, progress: Progress) -> None:
    """Copies the files of `source` below `staging`.

    One folder that holds everything, as archives of repositories have it, is stepped into.
    Raises: PublishingError, which names the file and what is wrong with it.
    """
    with _members(source) as members:
        kept = [member for member in members if not _is_left_out(member.name)]
        kept = _without_common_folder(kept)
        _check(source, kept)
        room = MAX_BYTES
        for number, member in enumerate(kept):
            progress("copying", number, len(kept))
            room -= _copy(member, staging / member.name, room)
        progress("copying", len(kept), len(kept))


def _check(source: Path, members: list[Member]) -> None:
    if not members:
        raise PublishingError(f"{source}: holds no files")
    seen: dict[str, str] = {}
    for member in members:
        if problem := portable_problem(member.name):
            raise PublishingError(f"{source}: {member.name!r}: {problem}")
        folded = member.name.casefold()
        if folded in seen:
            raise PublishingError(
                f"{source}: {member.name!r} and {seen[folded]!r} are one file on some systems"
            )
        seen[folded] = member.name


def _copy(member: Member, target: Path, room: int) -> int:
    """Bytes written. What is read counts, not what an archive's directory says of it."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        written = 0
        with member.open() as reading, target.open("xb") as writing:
            while chunk := reading.read(_CHUNK_BYTES):
                written += len(chunk)
                if written > room:
                    raise PublishingError(f"{member.name!r}: more than {MAX_BYTES} bytes unpacked")
                writing.write(chunk)
    except FileExistsError:
        raise PublishingError(f"{member.name!r}: stands twice, or is a folder as well") from None
    except NotADirectoryError:
        raise PublishingError(f"{member.name!r}: lies below a file") from None
    except _DAMAGED as error:
        raise PublishingError(f"{member.name!r}: cannot be unpacked: {error}") from None
    return written


@contextmanager
def _members(source: Path) -> Iterator[list[Member]]:
    if source.is_dir():
        yield list(_bounded(source, _of_folder(source, "")))
        return
    if not source.is_file():
        raise PublishingError(f"{source}: no such folder or file")
    archive: zipfile.ZipFile | tarfile.TarFile
    try:
        if zipfile.is_zipfile(source):
            archive = zipfile.ZipFile(source)
            members = list(_bounded(source, _of_zip(source, archive)))
        else:
            archive = tarfile.open(source, "r:*")  # noqa: SIM115 (closed below)
            members = list(_bounded(source, _of_tar(source, archive)))
    except _DAMAGED:
        raise PublishingError(f"{source}: expected a folder, a .zip or a .tar.gz") from None
    with archive:
        yield members


def _bounded(source: Path, members: Iterator[Member]) -> Iterator[Member]:
    """Ends the listing where it says too much: a bomb need not be walked to its end."""
    total = 0
    for number, member in enumerate(members, 1):
        total += member.size
        if number > MAX_FILES or total > MAX_BYTES:
            raise PublishingError(f"{source}: more than {MAX_FILES} files or {MAX_BYTES} bytes")
        yield member


def _of_folder(folder: Path, prefix: str) -> Iterator[Member]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = prefix + entry.name
            if _is_left_out(name):
                continue
            facts = entry.stat(follow_symlinks=False)
            path = folder / entry.name
            if stat.S_ISDIR(facts.st_mode):
                yield from _of_folder(path, f"{name}/")
            elif stat.S_ISREG(facts.st_mode):
                yield Member(name, facts.st_size, partial(_binary, path))
            else:
                raise PublishingError(f"{path}: is no regular file (links are not taken)")


def _binary(path: Path) -> IO[bytes]:
    return path.open("rb")


def _of_zip(source: Path, archive: zipfile.ZipFile) -> Iterator[Member]:
    for info in archive.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):  # 0: made where there are no modes
            raise PublishingError(f"{source}: {info.filename!r} is no regular file")
        if not info.is_dir():
            yield Member(info.filename, info.file_size, partial(archive.open, info))


def _of_tar(source: Path, archive: tarfile.TarFile) -> Iterator[Member]:
    for info in archive:
        if info.isdir():
            continue
        if not info.isreg():
            raise PublishingError(f"{source}: {info.name!r} is no regular file")
        yield Member(info.name.removeprefix("./"), info.size, partial(_tar_file, archive, info))


def _tar_file(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(info)
    if file is None:
        raise PublishingError(f"{info.name!r}: holds no bytes")
    return file


def _without_common_folder(members: list[Member]) -> list[Member]:
    """Only a folder that holds the metadata too: `dist/` alone is a plugin's own folder."""
    firsts = {member.name.partition("/")[0] for member in members}
    names = {member.name for member in members}
    if len(firsts) != 1 or not names & {
        f"{first}/{name}" for first in firsts for name in METADATA_FILES
    }:
        return members
    return [Member(member.name.partition("/")[2], member.size, member.open) for member in members]


def _is_left_out(name: str) -> bool:
    """Dotfiles and what build tools leave; a climbing name is not left out but refused."""
    return any(
        part in _LEFT_OUT or (part.startswith(".") and part not in (".", ".."))
        for part in name.split("/")
    )
