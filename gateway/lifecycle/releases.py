"""A release that a command moves a user to, and the rows of the two tables made from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import orjson

from gateway.database.connections import parameters
from gateway.database.transactions import Statement
from gateway.disk.builds import look_at_version
from gateway.disk.metadata import (
    DEFAULT_ENTRY,
    MODULE_TEXTS,
    PLUGIN_TEXTS,
    Metadata,
    read_metadata,
)
from gateway.disk.published_record import read_integrity
from gateway.disk.storage import PluginStorage
from gateway.errors import PublishingError, SourceUnavailable, UnusableVersion, VersionNotPublished
from gateway.errors.sentences import sentence_of
from gateway.names import Slug, UserId, Version, newest_version, parse_or_none, parse_slug

Columns = dict[str, Any]
"""A row, or a part of one, by column name."""

_PLUGIN_JSON = (
    "permissions", "config_fields", "messages", "dependencies", "required_services_runtime",
    "backend_dependencies",
)  # fmt: skip
_MODULE_JSON = (
    "props", "config_fields", "messages", "required_services", "dependencies", "layout", "tags",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Release:
    """A published version whose metadata can be read."""

    version: Version
    metadata: Metadata


def read_release(
    storage: PluginStorage, slug: Slug, version: Version | None, *, is_new: bool
) -> Release:
    """`version`, or the newest published one. Blocking.

    `is_new`: for a row that does not exist yet, defaults stand for what the metadata lacks. In a
    row that exists, such columns stay as they are.

    Raises: VersionNotPublished, UnusableVersion; SourceUnavailable, if the disk fails.
    """
    try:
        version = version or newest_version(storage.shared.versions_of(slug))
        if version is None:
            raise VersionNotPublished(
                "No version of this plugin is published",
                reason=f"no version of {slug} is published{_similar(storage, slug)}",
            )
        return Release(version, _read_metadata(storage, slug, version, is_new=is_new))
    except PublishingError as error:
        raise UnusableVersion(reason=f"{slug} {version}: {error}") from None
    except OSError as error:
        raise SourceUnavailable(reason=f"{slug}: cannot be read: {sentence_of(error)}") from error


def require_integrity(storage: PluginStorage, slug: Slug, version: Version) -> None:
    """Reads all files of the version. Blocking.

    Raises: UnusableVersion, if `http.require_integrity` gives it to nobody; SourceUnavailable.
    """
    try:
        state = look_at_version(storage, slug, version)
        folder = storage.construct_shared_path(slug, version)
        problem = None if state is None else read_integrity(folder, state).problem
    except OSError as error:
        raise SourceUnavailable(reason=f"{slug}: cannot be read: {sentence_of(error)}") from error
    if problem:
        raise UnusableVersion(
            "Nobody is given this version: what was published of it is not known",
            reason=f"{slug} {version} is given to nobody (http.require_integrity): {problem};"
            " gateway publish, of the content that this version should have, helps",
        )


def _similar(storage: PluginStorage, slug: Slug) -> str:
    """The published slug that is probably meant, also if only upper and lower case differ."""
    names = (parse_or_none(parse_slug, name) for name in storage.shared.names())
    others = {name.lower(): name for name in names if name is not None and name != slug}
    close = get_close_matches(slug.lower(), others, n=1)
    return f" (did you mean {others[close[0]]}?)" if close else ""


def _read_metadata(
    storage: PluginStorage, slug: Slug, version: Version, *, is_new: bool
) -> Metadata:
    folder = storage.construct_shared_path(slug, version)
    if not storage.shared.is_published(slug, version):
        raise VersionNotPublished(
            "This version of the plugin is not published",
            reason=f"{slug} {version} is not published: no folder {folder}",
        )
    return row_metadata(folder, slug, is_new=is_new)


def row_metadata(folder: Path, slug: Slug, *, is_new: bool) -> Metadata:
    """What the files in `folder` say of the columns of a row: see `read_release`. Blocking.

    Raises: PublishingError, OSError.
    """
    metadata = read_metadata(folder, npm_words=is_new)
    stated = {key: value for key, value in metadata.items() if value is not None}
    if not is_new:
        return stated
    defaults = {"scope": slug, "bundle_method": "webpack"}
    if (folder / DEFAULT_ENTRY).is_file():
        defaults["bundle_location"] = DEFAULT_ENTRY
    return defaults | stated


def database_id(user: UserId, slug: Slug) -> str:
    """The id that the application gives to a new row of `plugin`."""
    return f"{user}_{slug}"


def plugin_row(
    metadata: Mapping[str, Any], user: UserId, slug: Slug, version: Version, now: datetime
) -> Columns:
    """A new row of `plugin`."""
    return {
        "id": database_id(user, slug),
        "plugin_slug": slug,
        "user_id": user,
        "enabled": True,
        "status": "activated",
        "official": bool(metadata.get("official", False)),
        "is_local": bool(metadata.get("is_local", False)),
        "downloads": 0,
        "installation_type": "local",
        "created_at": date_text(now),
        **dict.fromkeys((*PLUGIN_TEXTS, *_PLUGIN_JSON)),
        "type": "frontend",
        "name": slug,
        "description": "",
        **plugin_changes(metadata, version, now),
    }


def plugin_changes(metadata: Mapping[str, Any], version: Version, now: datetime) -> Columns:
    """The columns of `plugin` that a move to another version changes: those in its metadata."""
    return {
        "version": version,
        "update_available": False,
        "last_updated": date_text(now),
        "updated_at": date_text(now),
        **_columns_in(metadata, PLUGIN_TEXTS, _PLUGIN_JSON),
    }


def module_rows(
    metadata: Mapping[str, Any], user: UserId, plugin_id: str, now: datetime
) -> list[Columns]:
    """New rows of `module`, one for each of the metadata's `modules`."""
    return [
        {
            "id": f"{plugin_id}_{module['name']}",
            "plugin_id": plugin_id,
            "user_id": user,
            "enabled": bool(module.get("enabled", True)),
            "created_at": date_text(now),
            **dict.fromkeys((*MODULE_TEXTS, "priority", *_MODULE_JSON)),
            **module_changes(module, now),
        }
        for module in metadata.get("modules") or ()
    ]


def module_changes(module: Mapping[str, Any], now: datetime) -> Columns:
    """The columns of `module` that a move to another version changes: those in its metadata."""
    return {
        "updated_at": date_text(now),
        **_columns_in(module, (*MODULE_TEXTS, "priority"), _MODULE_JSON),
    }


def _columns_in(
    metadata: Mapping[str, Any], names: Iterable[str], json_names: Iterable[str]
) -> Columns:
    """The columns that the metadata gives a value; those in `json_names` as JSON text."""
    columns = {name: metadata[name] for name in names if metadata.get(name) is not None}
    return columns | {
        name: orjson.dumps(metadata[name]).decode()
        for name in json_names
        if metadata.get(name) is not None
    }


def date_text(now: datetime) -> str:
    """The form in which the application writes a date."""
    return now.strftime("%Y-%m-%d %H:%M:%S")


def insert_statement(table: str, row: Columns) -> Statement:
    text = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({parameters(row)})"  # noqa: S608 (our own names)
    return text, tuple(row.values())


def update_statement(table: str, changes: Columns, key: Columns) -> Statement:
    """UPDATE of the row that has the values of `key`."""
    names = [f"{name} = ${number}" for number, name in enumerate((*changes, *key), 1)]
    assignments, conditions = names[: len(changes)], names[len(changes) :]
    text = f"UPDATE {table} SET {', '.join(assignments)} WHERE {' AND '.join(conditions)}"  # noqa: S608 (our own names)
    return text, (*changes.values(), *key.values())
