"""Compares installed_plugins.json in the old format with the database.

Old entries have copies of what the tables hold (`version`, `shared_path`, `enabled`,
`user_config`) beside `installation_metadata`. A copy that agrees with the database can go; a
value that differs is stored nowhere else. This module opens no file and asks no database: it
is given rows and documents.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.database.survey import PluginRow
from gateway.disk.users_folder import Document

METADATA = "installation_metadata"
_COPIES = frozenset({"version", "shared_path", "enabled", "user_config"})
_SEPARATORS = re.compile(r"[\\/]+")

ConfigFields = Mapping[str, Sequence[Any]]
"""The column `config_fields` of a plugin's modules, by plugin id."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A value outside `installation_metadata` that is stored nowhere else."""

    slug: str
    key: str
    value: Any
    kept_in: str
    """Where another value stands: `plugin.version`; empty if the user has no row of the plugin."""
    kept: Any

    def __str__(self) -> str:
        statement = f"{self.slug}: {self.key} is {_json(self.value)} in the file"
        if not self.kept_in:
            return f"{statement}, and the table plugin has no row"
        return f"{statement}, {_json(self.kept)} in {self.kept_in}"


@dataclass(frozen=True, slots=True)
class Minimised:
    """A document in the minimal format, and what leaves the file."""

    document: Document = field(default_factory=dict)
    dropped: dict[str, list[str]] = field(default_factory=dict)
    """By slug: keys that leave the file."""
    moved: dict[str, list[str]] = field(default_factory=dict)
    """By slug: keys that move into `installation_metadata`."""
    contradictions: list[Contradiction] = field(default_factory=list)
    """Dropped values that differ from the database. The document may replace the old one only
    if the operator allowed that they are lost."""

    @property
    def changed(self) -> bool:
        return bool(self.dropped or self.moved)


def minimise(document: Document, rows: Sequence[PluginRow], config: ConfigFields) -> Minimised:
    """The document without copies, for the user who has these rows.

    An entry that has no key beside `installation_metadata` stays as it is.
    """
    by_slug = {row.plugin_slug: row for row in reversed(rows)}  # the first counts, as in serving
    minimised = Minimised()
    for slug, entry in document.items():
        minimal = entry
        if isinstance(entry, dict) and entry.keys() - {METADATA}:
            minimal = {METADATA: _metadata(minimised, slug, entry, by_slug.get(slug), config)}
        minimised.document[slug] = minimal
    return minimised


def _metadata(
    minimised: Minimised,
    slug: str,
    entry: Mapping[str, Any],
    row: PluginRow | None,
    config: ConfigFields,
) -> dict[str, Any]:
    """The entry's `installation_metadata`; what happens to other keys is added to `minimised`."""
    contradictions = minimised.contradictions
    stored = entry.get(METADATA)
    if not isinstance(stored, dict | None):
        contradictions.append(Contradiction(slug, METADATA, stored, "the minimal format", {}))
        stored = None
    metadata = dict(stored or {})
    for key, value in entry.items():
        if key == METADATA:
            continue
        if key in _COPIES:
            contradictions += _contradictions(slug, key, value, row, config)
        elif key not in metadata:
            metadata[key] = value
            minimised.moved.setdefault(slug, []).append(key)
            continue
        elif metadata[key] != value:
            place = f"{METADATA}.{key}"
            contradictions.append(Contradiction(slug, key, value, place, metadata[key]))
        minimised.dropped.setdefault(slug, []).append(key)
    return metadata


def holds_user_config(document: Document) -> bool:
    """Whether `config_fields` of the modules are needed to compare it with the database."""
    return any(isinstance(entry, dict) and entry.get("user_config") for entry in document.values())


def _contradictions(
    slug: str, key: str, value: Any, row: PluginRow | None, config: ConfigFields
) -> Iterator[Contradiction]:
    """About one copy: at most one, except that `user_config` has one for each differing value."""
    if value is None or value == {}:  # nothing is lost with it
        return
    if row is None:
        yield Contradiction(slug, key, value, "", None)
    elif key == "version":
        if value != row.version:
            yield Contradiction(slug, key, value, "plugin.version", row.version)
    elif key == "enabled":
        # SQLite returns 0 and 1, and NULL counts as disabled.
        if value not in (True, False) or bool(value) != row.enabled:
            yield Contradiction(slug, key, value, "plugin.enabled", row.enabled)
    elif key == "shared_path":
        expected = ["shared", slug, f"v{row.version}"]
        components = _SEPARATORS.split(str(value).rstrip("\\/"))
        if not isinstance(value, str) or components[-3:] != expected:
            yield Contradiction(slug, key, value, "plugin.version", "/".join(expected))
    else:
        yield from _config_contradictions(slug, value, config.get(row.id, ()))


def _config_contradictions(
    slug: str, user_config: Any, columns: Sequence[Any]
) -> Iterator[Contradiction]:
    place = "module.config_fields"
    if not isinstance(user_config, dict):
        yield Contradiction(slug, "user_config", user_config, place, None)
        return
    fields = [_parsed(text) for text in columns]
    for name, value in user_config.items():
        stored = [_value_of(column[name]) for column in fields if name in column]
        if value not in stored:
            other = stored[0] if stored else None
            yield Contradiction(slug, f"user_config.{name}", value, place, other)


def _value_of(setting: Any) -> Any:
    """The value of a config field. If the field is described by an object: its `value`, else
    its `default`."""
    if isinstance(setting, dict):
        for key in ("value", "default"):
            if key in setting:
                return setting[key]
    return setting


def _parsed(column: Any) -> dict[str, Any]:
    """A JSON column as an object; empty if it is NULL or broken."""
    try:
        fields = orjson.loads(column) if isinstance(column, str) else column
    except orjson.JSONDecodeError:
        fields = None
    return fields if isinstance(fields, dict) else {}


def _json(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()
