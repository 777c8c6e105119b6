"""Manifests put together from parts that users share. Pure: rows in, JSON text out.

A manifest is a list of parts, and beside each part the text that is the user's own. A part is the
text of one plugin or module. It is built once for all users whose rows agree in its columns; where
it names the user, it has a placeholder for their id. So JSON columns are parsed once, and a user
costs little memory. Within a plugin the keys are not in the application's order.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from urllib.parse import quote

from gateway.database.connections import Row
from gateway.database.details import (
    OWN_MODULE_COLUMNS,
    OWN_PLUGIN_COLUMNS,
    ModuleDetails,
    PluginDetails,
    read_row,
)
from gateway.disk.files import Fingerprint
from gateway.disk.users_folder import InstallationMetadata
from gateway.errors import RequestError
from gateway.names import (
    Pin,
    Slug,
    UserId,
    Version,
    parse_asset_path,
    parse_slug,
    parse_version,
)
from gateway.serving.formats import (
    own_module,
    own_plugin,
    relative_bundle_location,
    shared_module,
    shared_plugin,
    to_json,
    verbatim_bundle_location,
)
from gateway.serving.shared_versions import PinnedEntry

# The placeholder for the user's id, and the separator of a user's own texts. JSON escapes both
# bytes, and those of the phrases, so no value of a row can contain one.
_USER = b"\0"
_BETWEEN = b"\n"
# Texts that nearly every user has for each plugin. One byte stands for each: it saves 130 bytes of
# 230.
_PHRASES = (
    (b"\1", b'"lastUpdated":"'),
    (b"\2", b',"lastUpdateCheck":null,"configFields":{'),
    (b"\3", b'},"installation_metadata":{'),
    (b"\4", b'"installation_type":"production","installed_at":"'),
)
# A part takes about 5 KiB with its key.
_SHARED_PARTS = 4_096

Metadata = Mapping[str, InstallationMetadata]
Place = tuple[Slug, Version, str]
"""The version whose folder has the entry, and the entry's location below it."""
Ids = tuple[bytes, bytes]
"""JSON texts of a row's id and of its `user_id`, with the placeholder where they name the user."""


class Part:
    """The text of a plugin or module, without the user's own fields, and the text's digest.

    The text is right `until` a moment of the clock, and while `epoch` lasts. After that, the
    version's folder must be looked at again.
    """

    __slots__ = ("digest", "epoch", "text", "until")

    def __init__(self, text: bytes) -> None:
        self._write(text)
        self.until = self.epoch = math.inf

    def _write(self, text: bytes) -> None:
        self.text = text
        self.digest = hashlib.sha256(text).digest()


class PluginPart(Part):
    """A plugin. If its location can be pinned, the text changes with the version's folder."""

    __slots__ = ("_before_location", "_entry", "is_enabled", "place")

    def __init__(self, ids: Ids | None, shared: Row, pins: bool) -> None:
        """`ids`: None, as nearly always, if they have the usual shape. `shared`: a row without the
        columns that are the user's own. `pins`: whether locations are pinned.
        """
        plugin = read_row(PluginDetails, (*(None,) * OWN_PLUGIN_COLUMNS, *shared))
        database_id, user = ids or (_after_user(f"_{plugin.plugin_slug}"), _after_user(""))
        key = to_json(plugin.plugin_slug) if plugin.plugin_slug else database_id
        self._before_location = b"".join(
            (
                *(key, b':{"id":', key, b',"userId":', user),
                *((b',"database_id":', database_id) if plugin.plugin_slug else ()),
                *(b",", to_json(shared_plugin(plugin))[1:-1], b',"bundlelocation":'),
            )
        )
        self.is_enabled = plugin.enabled
        self._entry: PinnedEntry | None = None
        super().__init__(self._with_location(to_json(verbatim_bundle_location(plugin))))
        self.place = _place(plugin) if pins else None
        """Where the entry is that gets a pin; None: nothing is pinned."""
        if self.place is not None:
            self.until = -math.inf

    @property
    def has_integrity(self) -> bool:
        """Whether a page can know that it loads what was published."""
        return self._entry is not None and self._entry.integrity is not None

    def _with_location(self, location: bytes) -> bytes:
        return b"%b%b," % (self._before_location, location)

    def pin(self, entry: PinnedEntry | None, until: float, epoch: int) -> None:
        """The folder has this entry; None: it cannot be pinned."""
        if entry != self._entry and self.place is not None:
            self._entry = entry
            self._write(self._with_location(_pinned(self.place, entry)))
        self.until, self.epoch = until, epoch


class ModulePart(Part):
    """A module; `plugin` is the JSON text of its plugin's name."""

    __slots__ = ()

    def __init__(self, plugin: bytes, ids: Ids, shared: Row) -> None:
        module = read_row(ModuleDetails, (*(None,) * OWN_MODULE_COLUMNS, *shared))
        module_id, user = ids
        super().__init__(
            b'{"id":%b,"pluginId":%b,"userId":%b,%b,'
            % (module_id, plugin, user, to_json(shared_module(module))[1:-1])
        )


class Manifest:
    """What a user has, as the database and the file with this fingerprint say. Parts have pins."""

    __slots__ = ("_own", "fingerprint", "parts")

    def __init__(
        self, fingerprint: Fingerprint | None, parts: Sequence[Part], own: Sequence[bytes]
    ) -> None:
        """`own`: the texts before the first part, and after each part."""
        self.fingerprint = fingerprint
        self.parts = tuple(parts)
        text = _BETWEEN.join(own)  # one object: each costs 33 bytes beside its text
        for byte, phrase in _PHRASES:
            text = text.replace(phrase, byte)
        self._own = text

    def body(self, user: UserId) -> bytes:
        """The JSON text, with the locations that the parts have now."""
        own = self._own_texts()
        texts = [b""] * (len(own) + len(self.parts))
        texts[0::2] = own
        texts[1::2] = [part.text for part in self.parts]
        return b"".join(texts).replace(_USER, user.encode())

    def only_with_integrity(self) -> "Manifest":
        """Without the plugins of which a page cannot know that it loads what was published."""
        entries: list[list[tuple[Part, bytes]]] = []
        listed: list[list[tuple[Part, bytes]]] = []
        for part, text in zip(self.parts, self._own_texts()[1:], strict=True):
            if isinstance(part, PluginPart):
                entries.append([])
                if part.has_integrity:
                    listed.append(entries[-1])
            entries[-1].append((part, text))
        if len(listed) == len(entries):
            return self
        for entry in listed:
            part, text = entry[-1]
            entry[-1] = part, text[:-1]  # the comma, or the brace of the whole
        return _joined(self.fingerprint, listed)

    def _own_texts(self) -> list[bytes]:
        """The texts before the first part, and after each part."""
        text = self._own
        for byte, phrase in _PHRASES:
            text = text.replace(byte, phrase)
        return text.split(_BETWEEN)

    def tag(self, user: UserId) -> str:
        """A digest that differs for each body. It is made from digests, not from the body."""
        digests = [part.digest for part in self.parts]
        parts = b"".join((self._own, _USER, user.encode(), _USER, *digests))
        return hashlib.sha256(parts).hexdigest()[:32]


class Parts:
    """Builds manifests from parts, and keeps the parts that were used last."""

    def __init__(self, *, pins: bool) -> None:
        self._pins = pins
        self._plugin = lru_cache(_SHARED_PARTS)(PluginPart)
        self._module = lru_cache(_SHARED_PARTS)(ModulePart)

    def assemble(
        self,
        user: UserId,
        plugins: Sequence[Row],
        modules: Mapping[str, Sequence[Row]] | None,
        metadata: Metadata | None,
        fingerprint: Fingerprint | None,
    ) -> Manifest:
        """The enabled plugins that pass the installation rule, in the order of the rows.

        `modules`: by the id of their plugin's row; None: they are not shown. `metadata` and
        `fingerprint` come from the user's file; `metadata` is None where the table alone decides.
        """
        entries: dict[str, list[tuple[Part, bytes]]] = {}
        for row in plugins:
            database_id, slug = row[0], row[OWN_PLUGIN_COLUMNS]
            if metadata is not None and slug not in metadata:
                continue
            part = self._plugin_part(user, row)
            if part.is_enabled:
                own = _own_text(row, (metadata or {}).get(slug, {}))
                entries[slug or database_id] = (
                    [(part, own + b"}")]
                    if modules is None
                    else self._with_modules(user, part, own, row, modules.get(database_id, ()))
                )
        return _joined(fingerprint, list(entries.values()))

    def _plugin_part(self, user: UserId, row: Row) -> PluginPart:
        database_id, user_id, slug = row[0], row[1], row[OWN_PLUGIN_COLUMNS]
        is_usual = slug and user_id == user and database_id == f"{user}_{slug}"
        ids = None if is_usual else (_id_text(database_id, user), _id_text(user_id, user))
        shared = row[OWN_PLUGIN_COLUMNS:]
        try:
            return self._plugin(ids, shared, self._pins)
        except TypeError:  # unhashable: a driver returns lists for JSON columns
            return PluginPart(ids, shared, self._pins)

    def _with_modules(
        self, user: UserId, part: Part, own: bytes, row: Row, modules: Sequence[Row]
    ) -> list[tuple[Part, bytes]]:
        slug = row[OWN_PLUGIN_COLUMNS]
        plugin = to_json(slug) if slug else _id_text(row[0], user)
        if not modules:
            return [(part, own + b',"modules":[]}')]
        entry: list[tuple[Part, bytes]] = [(part, own + b',"modules":[')]
        for module in modules:
            config = to_json(own_module(module[3]))[1:]
            entry.append((self._module_part(user, plugin, module), config + b","))
        last, text = entry.pop()
        return [*entry, (last, text[:-1] + b"]}")]

    def _module_part(self, user: UserId, plugin: bytes, row: Row) -> ModulePart:
        ids = (_id_text(row[0], user), _id_text(row[2], user))
        shared = row[OWN_MODULE_COLUMNS:]
        try:
            return self._module(plugin, ids, shared)
        except TypeError:  # as above
            return ModulePart(plugin, ids, shared)


def _joined(
    fingerprint: Fingerprint | None, entries: Sequence[Sequence[tuple[Part, bytes]]]
) -> Manifest:
    pairs = [pair for entry in entries for pair in entry]
    if not pairs:
        return Manifest(fingerprint, (), (b"{}",))
    parts, own = [part for part, _ in pairs], [b"{", *(text for _, text in pairs)]
    ends = list(accumulate(map(len, entries)))
    for end in ends[:-1]:
        own[end] += b","
    own[-1] += b"}"
    return Manifest(fingerprint, parts, own)


def _own_text(row: Row, metadata: InstallationMetadata) -> bytes:
    """The user's own fields of a row of `plugin`, without braces."""
    _, _, last_updated, last_update_check, config_fields, *_ = row
    return to_json(own_plugin(last_updated, last_update_check, config_fields, metadata))[1:-1]


def _id_text(value: object, user: UserId) -> bytes:
    """JSON text, with the placeholder if the value begins with the user's id."""
    if isinstance(value, str) and value.startswith(user):
        return _after_user(value.removeprefix(user))
    return to_json(value)


def _after_user(end: str) -> bytes:
    return b'"%b%b' % (_USER, to_json(end)[1:])


def _place(plugin: PluginDetails) -> Place | None:
    """None, if the location is in no folder that could be pinned."""
    location = relative_bundle_location(plugin)
    try:
        if location is None:
            return None
        parse_asset_path(location)
        return parse_slug(plugin.plugin_slug), parse_version(plugin.version), location
    except (ValueError, RequestError):  # they name no folder, or no file in it
        return None


def _pinned(place: Place, entry: PinnedEntry | None) -> bytes:
    """JSON texts of the location and, if its integrity is known, of that and of `preload`."""
    _, version, location = place
    if entry is None:
        return to_json(location)
    pin = Pin(version, entry.build)
    pinned = to_json(f"{pin}/{location}")
    if entry.integrity is None:
        return pinned
    preload = [{"href": f"{pin}/{location}", "integrity": entry.integrity}]
    preload += [
        {"href": f"{pin}/{quote(path)}", "integrity": integrity}
        for path, integrity in entry.preload
    ]
    parts = (pinned, to_json(entry.integrity), to_json(preload))
    return b'%b,"integrity":%b,"preload":%b' % parts
