"""Parses text from outside into names, once, or refuses it.

Every part of a path on our disk passes through this module: slugs and versions from the
database, user ids from credentials, asset paths from URLs. After that no code checks, strips or
normalises a name again. This module knows no file system and no database; of HTTP it knows only
the errors that it raises.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, NewType, TypeVar
from urllib.parse import unquote_to_bytes

from packaging.version import InvalidVersion
from packaging.version import Version as Release

from gateway.errors import AssetNotFound, AssetTypeNotAllowed

T = TypeVar("T")

Slug = NewType("Slug", str)
"""A plugin's name in URLs and folders: one portable path component."""
Version = NewType("Version", str)
"""One exact release, without the `v` of its folder; one portable path component."""
UserId = NewType("UserId", str)
"""An opaque user id (32 hex digits in practice), fit for the folder name `user_<id>`."""
AssetPath = NewType("AssetPath", str)
"""A file inside a version's folder: relative, `/`-separated, no dot segments, no dotfiles."""
Build = NewType("Build", str)
"""16 hex digits of the digest over the content of a version's folder."""

# 100 and 64 characters: with the `user_`, `v` and `.tmp` that we add, every component stays below
# 255 bytes, the limit of ext4 and APFS.
_SLUG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}")
_WITH_V = re.compile(r"[vV][0-9]")
_WEB_URL = re.compile(r"https?://[^\s/?#]\S*", re.IGNORECASE)
_MAX_URL_CHARACTERS = 2048
_USER_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,99}")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_BUILD = re.compile(r"[0-9a-f]{16}")
# Windows opens these as devices in any folder, with any extension.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Windows refuses these characters in names, or gives them a meaning: `a.js:stream`.
_NOT_PORTABLE = ':*?"<>|'
_FORBIDDEN_IN_SEGMENT = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
# Longer than any `<user_id>_<slug>`. No cache and no database is asked for a longer name.
_MAX_PLUGIN_CHARACTERS = 255
_MAX_SEGMENT_BYTES = 255
MAX_PATH_BYTES = 2048
# All users request the same few files of the same few plugins. 4096 paths of 200 bytes take 2 MiB.
_REMEMBERED_TARGETS = 4096
_LONGEST_REMEMBERED_BYTES = 200


def _component(pattern: re.Pattern[str], text: object) -> bool:
    """Whether `text` matches `pattern` and is one path component on every system."""
    return (
        isinstance(text, str)
        and pattern.fullmatch(text) is not None
        and not text.endswith(".")  # Windows drops a trailing dot
        and _DEVICE.fullmatch(text) is None
    )


def parse_slug(text: object) -> Slug:
    """Raises: ValueError, if `text` cannot name a plugin's folder."""
    if not _component(_SLUG, text):
        raise ValueError(f"not a plugin slug: {text!r} (letters, digits, '_', '-', '.')")
    return Slug(str(text))


def parse_version(text: object) -> Version:
    """Raises: ValueError, if `text` cannot name a version's folder."""
    if not _component(_VERSION, text):
        raise ValueError(f"not a version: {text!r} (letters, digits, '.', '-', '_', '+')")
    return Version(str(text))


def parse_new_version(text: object) -> Version:
    """A version that somebody names to the gateway: a person, or the maker of a plugin.

    Refuses `v1.0.0`, whose folder would be `vv1.0.0`: its writer means 1.0.0. A row of the
    application that says `v1.0.0` is read by `parse_version`.

    Raises: ValueError.
    """
    version = parse_version(text)
    if _WITH_V.match(version):
        raise ValueError(f"not a version: {text!r} (the 'v' belongs to the folder: {version[1:]})")
    return version


def parse_source_url(text: object) -> str:
    """Where a plugin came from. Pages may show it as a link, so it is a URL of the Web.

    Raises: ValueError.
    """
    if not isinstance(text, str) or not _WEB_URL.fullmatch(text) or _CONTROL.search(text):
        raise ValueError(f"not a URL: {text!r} (http:// or https://)")
    if len(text) > _MAX_URL_CHARACTERS:
        raise ValueError(f"not a URL: longer than {_MAX_URL_CHARACTERS} characters")
    text.encode()  # raises UnicodeEncodeError, a ValueError, for half of a surrogate pair
    return text


def parse_or_none(parse: Callable[[object], T], text: object) -> T | None:
    """What a parser of this module makes of `text`; None where it raises ValueError."""
    try:
        return parse(text)
    except ValueError:
        return None


def newest_version(versions: Iterable[Version]) -> Version | None:
    """The newest release; if there is none, the newest pre-release. None for no versions."""
    return max(versions, key=_release_order, default=None)


def newest_first(versions: Iterable[Version]) -> list[Version]:
    """The releases from the newest to the oldest, then the pre-releases in the same order."""
    return sorted(versions, key=_release_order, reverse=True)


def newest_before(versions: Iterable[Version], version: Version) -> Version | None:
    """The newest of those that are older than `version`."""
    order = _release_order(version)
    return newest_version(other for other in versions if _release_order(other) < order)


def _release_order(version: Version) -> tuple[bool, Release, str]:
    """The order of PEP 440, which also reads semantic versions. Other texts count as the oldest."""
    try:
        release = Release(version)
    except InvalidVersion:
        return (False, Release("0"), version)
    return (not release.is_prerelease, release, version)


def parse_user_id(text: object) -> UserId:
    """A user id; a UUID with dashes means the same id without them.

    Raises: ValueError, if `text` cannot name a user's folder.
    """
    if isinstance(text, str) and _UUID.fullmatch(text):
        text = text.replace("-", "")
    if not _component(_USER_ID, text):
        raise ValueError(f"not a user id: {text!r}")
    return UserId(str(text))


def parse_plugin(text: str) -> str:
    """A plugin as a client names it, by slug or database id, in a form that a database accepts.

    Applications give ids different forms. But no id has a control character, for which PostgreSQL
    raises an error, and none is longer than the two names that it consists of.

    Raises: ValueError.
    """
    if not 0 < len(text) <= _MAX_PLUGIN_CHARACTERS or _CONTROL.search(text):
        raise ValueError(f"not a plugin: {text[:_MAX_PLUGIN_CHARACTERS]!r}")
    text.encode()  # raises UnicodeEncodeError, a ValueError, for half of a surrogate pair
    return text


def parse_asset_path(text: str) -> AssetPath:
    """A decoded path below a version's folder.

    Refuses paths that leave the folder (dot segments) or name hidden files, characters with a
    meaning to terminals or other systems (control characters, backslash), and names that no file
    can have (empty, too long). Accepts names that only Windows refuses: another program may have
    put such a file there.

    Raises: AssetNotFound, so that the answer is the same as for a missing file;
        AssetTypeNotAllowed, for a folder (the empty path, a trailing slash).
    """
    if not text or text.endswith("/"):
        raise AssetTypeNotAllowed(reason="the path names a folder")
    if len(text.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES:
        raise AssetNotFound(reason="the path is too long")
    for segment in text.split("/"):
        if not segment:
            raise AssetNotFound(reason="the path has an empty segment")
        if segment[0] == ".":
            raise AssetNotFound(reason="the path has a dot segment or a dotfile")
        if _FORBIDDEN_IN_SEGMENT.search(segment):
            raise AssetNotFound(reason="the path has a character that no asset has")
        if len(segment.encode("utf-8", "surrogatepass")) > _MAX_SEGMENT_BYTES:
            raise AssetNotFound(reason="a name in the path is too long")
    return AssetPath(text)


def portable_problem(name: str) -> str | None:
    """Why a file with this relative path cannot be published; None if it can.

    Stricter than `parse_asset_path`: a published file must be usable on every system.
    """
    try:
        parse_asset_path(name)
        name.encode()
    except (AssetNotFound, AssetTypeNotAllowed) as error:
        return error.reason
    except UnicodeEncodeError:
        return "the name is not UTF-8"
    for segment in name.split("/"):
        if any(character in _NOT_PORTABLE for character in segment):
            return f"{segment!r} has a character that Windows refuses"
        if _DEVICE.fullmatch(segment):
            return f"{segment!r} is a device on Windows"
        if segment.endswith((".", " ")) or segment.startswith(" "):
            return f"{segment!r} begins or ends with what Windows drops"
    return None


class AssetKey(NamedTuple):
    """One file of one release. A tuple, since each request makes one as the key of a cache."""

    slug: Slug
    version: Version
    path: AssetPath


@dataclass(frozen=True, slots=True)
class Pin:
    """`@{version}~{build}`: names exact bytes, whereas a version may be rebuilt in place."""

    version: Version
    build: Build

    def __str__(self) -> str:
        return f"@{self.version}~{self.build}"


def parse_pin(segment: str) -> Pin:
    """Raises: AssetNotFound, if `segment` is not `@{version}~{build}`."""
    version, separator, build = segment.removeprefix("@").rpartition("~")
    if not (segment.startswith("@") and separator and _BUILD.fullmatch(build)):
        raise AssetNotFound(reason=f"not a pin: {segment!r}")
    try:
        return Pin(parse_version(version), Build(build))
    except ValueError as error:
        raise AssetNotFound(reason=str(error)) from None


class Target(NamedTuple):
    """What a request path names, before resolution. A tuple, since many are made."""

    plugin: str
    """A slug or a database id, as in the request. Compared with names, never put into a path."""
    pin: Pin | None
    asset_path: AssetPath
    suffix: str
    """What `suffix` returns for the asset path."""


def parse_target(raw: bytes) -> Target:
    """Parses `{plugin}/{path}` or `{plugin}/@{version}~{build}/{path}`, percent-encoded.

    Decodes exactly once. Refuses encoded separators: a proxy in front of us may have treated
    them as ordinary characters when it judged the path.

    Raises: AssetNotFound, AssetTypeNotAllowed.
    """
    return _remembered_target(raw) if len(raw) <= _LONGEST_REMEMBERED_BYTES else _target(raw)


def parse_pinned_folder(raw: bytes) -> tuple[str, Pin]:
    """The plugin and the pin of `{plugin}/@{version}~{build}/`, percent-encoded.

    Raises: AssetNotFound.
    """
    plugin, _, rest = raw.partition(b"/")
    segment, slash, after = rest.partition(b"/")
    if not slash or after:
        raise AssetNotFound(reason="the path does not end with a pin and a slash")
    return _plugin(plugin), parse_pin(_decoded(segment))


def _target(raw: bytes) -> Target:
    plugin, _, rest = raw.partition(b"/")
    parse_file = _remembered_file if len(rest) <= _LONGEST_REMEMBERED_BYTES else _file
    return Target(_plugin(plugin), *parse_file(rest))


def _file(raw: bytes) -> tuple[Pin | None, AssetPath, str]:
    """The pin, the path of the file and its suffix, from what follows the plugin in a target."""
    text = _decoded(raw)
    pin = None
    if text.startswith("@"):
        segment, _, text = text.partition("/")
        pin = parse_pin(segment)
    asset_path = parse_asset_path(text)
    return pin, asset_path, suffix(asset_path)


def _plugin(raw: bytes) -> str:
    """Raises: AssetNotFound."""
    text = _decoded(raw)
    try:
        parse_plugin(text)
    except ValueError as error:
        raise AssetNotFound(reason=str(error)) from None
    if text[0] == ".":
        raise AssetNotFound(reason=f"not a plugin: {text!r}")
    return text


def _decoded(raw: bytes) -> str:
    """Raises: AssetNotFound."""
    lowered = raw.lower()
    if b"%2f" in lowered or b"%5c" in lowered:
        raise AssetNotFound(reason="the path has an encoded separator")
    try:
        return unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise AssetNotFound(reason="the path is not UTF-8") from None


_remembered_target = lru_cache(_REMEMBERED_TARGETS)(_target)
# A database id in a target names one user; what follows it is the same for all of them.
_remembered_file = lru_cache(_REMEMBERED_TARGETS)(_file)


def suffix(asset_path: AssetPath) -> str:
    """The lower-case suffix of the last segment with its dot, or the empty string."""
    name = asset_path.rpartition("/")[2]
    stem, dot, ending = name.rpartition(".")
    return f".{ending.lower()}" if dot and stem else ""


def printable(text: str) -> str:
    """The text without what would mean something to a terminal: each such character is escaped."""
    return "".join(
        character if character.isprintable() else f"\\u{ord(character):04x}" for character in text
    )
