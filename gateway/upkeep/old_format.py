"""installed_plugins.json in the old format, held against the database.

Old entries carry copies of what the tables hold (`version`, `shared_path`, `enabled`,
`user_config`) beside `installation_metadata`. A copy that agrees with the database says
nothing; one that contradicts it is the only one of its kind. It opens no file and asks no
database: rows and documents are handed in.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.database.tables import PluginRow
from gateway.disk.storage import Document

METADATA = "installation_metadata"
_COPIES = frozenset({"version", "shared_path", "enabled", "user_config"})
_SEPARATORS = re.compile(r"[\\/]+")

ConfigFields = Mapping[str, Sequence[Any]]
"""The column `config_fields` of a plugin's modules, by plugin id."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A value outside `installation_metadata` that is said nowhere else."""

    slug: str
    key: str
    value: Any
    kept_in: str
    """Where another value stands: `plugin.version`; empty: the user has no such row."""
    kept: Any

    def __str__(self) -> str:
        said = f"{self.slug}: {self.key} is {_json(self.value)} in the file"
        if not self.kept_in:
            return f"{said}, and the table plugin has no row"
        return f"{said}, {_json(self.kept)} in {self.kept_in}"


@dataclass(frozen=True, slots=True)
class Minimised:
    """A document in the minimal format, and what that costs."""

    document: Document
    dropped: Mapping[str, Sequence[str]]
    """By slug: keys that leave the file."""
    moved: Mapping[str, Sequence[str]]
    """By slug: keys that move into `installation_metadata`."""
    contradictions: Sequence[Contradiction]
    """Dropped keys that are no copies: the document may replace the old one only if someone
    said that these values may go."""

    @property
    def changed(self) -> bool:
        return bool(self.dropped or self.moved)


def minimise(document: Document, rows: Sequence[PluginRow], config: ConfigFields) -> Minimised:
    """The document without copies, for the user whose rows these are.

    Entries without keys beside `installation_metadata` stay as they are, whatever they are.
    """
    by_slug = {row.plugin_slug: row for row in reversed(rows)}  # the first counts, as in serving
    minimal: Document = {}
    dropped: dict[str, list[str]] = {}
    moved: dict[str, list[str]] = {}
    contradictions: list[Contradiction] = []
    for slug, entry in document.items():
        minimal[slug] = entry
        if not isinstance(entry, dict) or not entry.keys() - {METADATA}:
            continue
        row = by_slug.get(slug)
        metadata = entry.get(METADATA)
        if not isinstance(metadata, dict | None):
            contradictions.append(Contradiction(slug, METADATA, metadata, "the minimal format", {}))
            metadata = None
        held = dict(metadata or {})
        for key, value in entry.items():
            if key == METADATA:
                continue
            if key not in _COPIES and key not in held:
                held[key] = value
                moved.setdefault(slug, []).append(key)
                continue
            dropped.setdefault(slug, []).append(key)
            if key in _COPIES:
                contradictions += _contradictions(slug, key, value, row, config)
            elif held[key] != value:
                place = f"{METADATA}.{key}"
                contradictions.append(Contradiction(slug, key, value, place, held[key]))
        minimal[slug] = {METADATA: held}
    return Minimised(minimal, dropped, moved, contradictions)


def holds_user_config(document: Document) -> bool:
    """Whether the modules' `config_fields` are needed to hold it against the database."""
    return any(isinstance(entry, dict) and entry.get("user_config") for entry in document.values())


def _contradictions(
    slug: str, key: str, value: Any, row: PluginRow | None, config: ConfigFields
) -> Iterator[Contradiction]:
    """Of one copy: at most one, but for each value of `user_config`."""
    if value is None or value == {}:  # says nothing
        return
    if row is None:
        yield Contradiction(slug, key, value, "", None)
    elif key == "version":
        if value != row.version:
            yield Contradiction(slug, key, value, "plugin.version", row.version)
    elif key == "enabled":
        # SQLite gives back 0 and 1, and NULL counts as disabled.
        if value not in (True, False) or bool(value) != row.enabled:
            yield Contradiction(slug, key, value, "plugin.enabled", row.enabled)
    elif key == "shared_path":
        expected = ["shared", slug, f"v{row.version}"]
        if not isinstance(value, str) or _last_components(value, 3) != expected:
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
    fields = [_parsed(column) for column in columns]
    for name, value in user_config.items():
        held = [_value_of(field[name]) for field in fields if name in field]
        if value not in held:
            kept = held[0] if held else None
            yield Contradiction(slug, f"user_config.{name}", value, place, kept)


def _value_of(field: Any) -> Any:
    """What a field is set to: a description of a field holds it as `value`, else `default`."""
    if isinstance(field, dict):
        for key in ("value", "default"):
            if key in field:
                return field[key]
    return field


def _parsed(column: Any) -> dict[str, Any]:
    """A JSON column as an object; empty where it is NULL or broken."""
    try:
        fields = orjson.loads(column) if isinstance(column, str) else column
    except orjson.JSONDecodeError:
        fields = None
    return fields if isinstance(fields, dict) else {}


def _last_components(path: str, count: int) -> list[str]:
    return _SEPARATORS.split(path.rstrip("\\/"))[-count:]


def _json(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()
