"""The record that `publish` leaves in a version's folder: which bytes were published. Blocking.

It holds two digests of each file. SHA-256 says whether a folder still is what was published.
SHA-384 goes to browsers, in the form of Subresource Integrity (SRI, W3C): `sha384-` and base64.
Records of earlier releases have no SHA-384. Browsers do not read hex, so a record that has it is
damaged.
"""

import base64
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

import orjson

from gateway.disk.builds import FolderState
from gateway.disk.files import ITSELF, Fingerprint, fingerprint, read_regular
from gateway.errors import PublishingError
from gateway.names import Build

# A dotfile: never served, and no part of the build.
RECORD_NAME = ".published.json"
# The most files that may be published, with the longest names, take 8 MiB.
_MAX_RECORD_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 20
_INTEGRITY = re.compile(r"sha384-[A-Za-z0-9+/]{64}")


@dataclass(frozen=True, slots=True)
class Record:
    """The content that a version was published with."""

    build: Build
    files: Mapping[str, str]
    """SHA-256 in hex, by asset path."""
    published_at: str
    """ISO 8601, UTC."""
    integrity: Mapping[str, str]
    """The integrity of each file as browsers read it, by asset path. Empty in old records."""

    def describes(self, state: FolderState) -> bool:
        """Whether the folder holds what was published.

        All digests are compared: a build is short, and somebody could make two folders that have
        the same one.
        """
        return self.build == state.build and self.files == _hex_digests(state)


def read_record(folder: Path) -> Record | None:
    """The record in a version's folder; None if `publish` did not make the folder.

    Raises: OSError, if the record cannot be read; ValueError, if it is damaged.
    """
    text = read_regular(folder / RECORD_NAME, _MAX_RECORD_BYTES)
    if text is None:
        return None
    try:
        return _parsed(orjson.loads(text))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{folder / RECORD_NAME}: the record is damaged: {error}") from None


@dataclass(frozen=True, slots=True)
class Integrity:
    """What a record says of the files that are in the folder now."""

    by_path: Mapping[str, str]
    """Empty if there is a problem."""
    problem: str = ""
    """Why no integrity is known, a clause; empty if it is known."""


NO_RECORD = Integrity({}, "it has no record: gateway publish did not make it")


def record_fingerprint(folder: Path) -> Fingerprint | None:
    """None if there is no record. Raises: OSError."""
    try:
        return fingerprint((folder / RECORD_NAME).lstat())
    except FileNotFoundError:
        return None


def read_integrity(folder: Path, state: FolderState) -> Integrity:
    """Known only of what was published: not of a folder that was changed since, nor of one that
    another program made.

    Raises: OSError.
    """
    try:
        record = read_record(folder)
    except PermissionError:
        return Integrity({}, f"{RECORD_NAME} may not be read")
    except ValueError as error:
        return Integrity({}, str(error))
    if record is None:
        return NO_RECORD
    if not record.describes(state):
        return Integrity({}, "its files are not those that were published")
    if not record.integrity:
        return Integrity({}, "its record is of an earlier release: publish the same content again")
    # The names are those of the state, so that they are in memory once.
    return Integrity({name: record.integrity[name] for name in state.digests})


def make_record(folder: Path, state: FolderState) -> bytes:
    """The content of the record of a folder, whose files are read once more.

    Raises: PublishingError, if the folder is no longer in this state; OSError.
    """
    content = {
        "build": state.build,
        "published_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": _hex_digests(state),
        "integrity": {
            name: _integrity(folder / name, digest) for name, digest in state.digests.items()
        },
    }
    return orjson.dumps(content, option=orjson.OPT_INDENT_2)


def _parsed(content: Any) -> Record:
    """Raises: KeyError, TypeError, AttributeError, ValueError."""
    files, integrity = content["files"], content.get("integrity", {})
    if integrity and integrity.keys() != files.keys():
        raise ValueError("integrity and files do not name the same files")
    for value in integrity.values():
        if not _INTEGRITY.fullmatch(value):
            raise ValueError(f"no integrity: {value!r}")
    return Record(Build(content["build"]), files, content["published_at"], integrity)


def _hex_digests(state: FolderState) -> dict[str, str]:
    return {name: digest.hex() for name, digest in state.digests.items()}


def _integrity(path: Path, digest: bytes) -> str:
    """Of the bytes that have this SHA-256: both digests are made in one reading.

    Raises: PublishingError, if the file has other bytes; OSError.
    """
    sha256, sha384 = hashlib.sha256(), hashlib.sha384()
    with FileIO(os.open(path, os.O_RDONLY | ITSELF)) as file:
        while chunk := file.read(_CHUNK_BYTES):
            sha256.update(chunk)
            sha384.update(chunk)
    if sha256.digest() != digest:
        raise PublishingError(f"{path}: it was changed while it was being published")
    return f"sha384-{base64.b64encode(sha384.digest()).decode()}"
