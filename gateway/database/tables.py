"""What the application's tables `plugin` and `module` say.

The tables belong to the application: they are read as they are, and columns that its older
migrations lack read as NULL. Returns dataclasses, never rows. It knows no HTTP and no disk.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from numbers import Number
from typing import Any, TypeVar

from gateway.caching.breaker import CircuitBreaker
from gateway.database.connections import DatabaseConnection, Row, parameters
from gateway.errors import ConfigurationError
from gateway.names import Slug, UserId, Version, parse_slug, parse_user_id, parse_version

REQUIRED_COLUMNS = {
    "plugin": frozenset({"id", "plugin_slug", "version", "enabled", "user_id"}),
    "module": frozenset({"id", "plugin_id", "name"}),
}


# The id only where it is not the usual one: rows of users who hold the same are then the same.
RECORD_COLUMNS = (
    "plugin_slug, version, enabled,"
    " CASE WHEN id = user_id || '_' || plugin_slug THEN NULL ELSE id END"
)
"""What `PluginDatabase.user_records` wants of each row."""
# Users who hold the same version share its record, and those who hold the same versions share all
# of them: less memory, and what a lookup reads is in the CPU's caches. A record takes 300 bytes
# with its key, the rows of a user with 20 plugins 4 KiB.
_SHARED_RECORDS = 16_384
_SHARED_ROWS = 4_096
_USERS_AT_ONCE = 1_000


# As PostgreSQL reads texts as booleans.
_TRUE_TEXTS = frozenset({"1", "t", "true", "y", "yes", "on"})


def is_true(value: object) -> bool:
    """What a value means in a column of yes or no, `enabled` above all.

    SQLite keeps whatever is written there. A number is true unless it is 0, and a text is true
    only if it says so; anything else, like NULL or a BLOB, is false: who may not have a
    plugin must not get it for an odd value.
    """
    if isinstance(value, str):
        return value.strip().lower() in _TRUE_TEXTS
    return isinstance(value, Number) and bool(value)


@dataclass(frozen=True, slots=True)
class PluginRecord:
    """What serving a file needs of a row of `plugin`. Knows no user: many users share it."""

    slug: Slug
    version: Version | None
    """None: the row holds a text that cannot name a folder."""
    enabled: bool


@dataclass(frozen=True, slots=True)
class UserRecords:
    """A user's usable rows, enabled or not."""

    user: UserId
    by_slug: Mapping[str, PluginRecord]
    """The first row of each slug."""
    by_id: Mapping[str, PluginRecord] | None
    """None, as nearly always: every row has the id `<user_id>_<slug>`."""

    @property
    def is_empty(self) -> bool:
        return not self.by_slug

    def find(self, plugin: str) -> PluginRecord | None:
        """The row that `plugin` names: by slug first, then by database id."""
        record = self.by_slug.get(plugin)
        return self.find_by_id(plugin) if record is None else record

    def find_by_id(self, database_id: str) -> PluginRecord | None:
        if self.by_id is not None:
            return self.by_id.get(database_id)
        prefix = f"{self.user}_"
        if not database_id.startswith(prefix):
            return None
        return self.by_slug.get(database_id.removeprefix(prefix))


@dataclass(frozen=True, slots=True)
class PluginDetails:
    """A whole row of `plugin`, columns under their own names.

    Those of type `Any` are as the database returns them. The first OWN_PLUGIN_COLUMNS differ
    between users; the others belong to the version.
    """

    id: str
    user_id: str
    last_updated: Any
    last_update_check: Any
    config_fields: Any
    created_at: Any
    updated_at: Any
    plugin_slug: str | None
    name: Any
    description: Any
    version: Any
    type: Any
    plugin_type: Any
    enabled: bool
    icon: Any
    category: Any
    status: Any
    official: Any
    author: Any
    compatibility: Any
    downloads: Any
    scope: Any
    bundle_method: Any
    bundle_location: Any
    is_local: Any
    long_description: Any
    source_type: Any
    source_url: Any
    update_check_url: Any
    update_available: Any
    latest_version: Any
    installation_type: Any
    permissions: Any
    messages: Any
    dependencies: Any
    required_services_runtime: Any
    endpoints_file: Any
    route_prefix: Any
    backend_dependencies: Any


@dataclass(frozen=True, slots=True)
class ModuleDetails:
    """A whole row of `module`, as `PluginDetails`; the first OWN_MODULE_COLUMNS differ."""

    id: str
    plugin_id: str
    user_id: Any
    config_fields: Any
    name: Any
    display_name: Any
    description: Any
    icon: Any
    category: Any
    enabled: bool
    priority: Any
    props: Any
    messages: Any
    required_services: Any
    dependencies: Any
    layout: Any
    tags: Any


@dataclass(frozen=True, slots=True)
class PluginRow:
    """What holding a row of `plugin` against the disk needs of it, as `PluginDetails`."""

    id: str
    plugin_slug: str | None
    version: Any
    enabled: bool
    installation_type: Any
    source_url: Any
    created_at: Any
    user_id: str


@dataclass(frozen=True, slots=True)
class StrayModule:
    """A row of `module` that does not belong to where it says."""

    id: str
    plugin_id: str
    user_id: Any
    owner: str | None
    """The user of its plugin; None: no such plugin."""

    @property
    def key(self) -> tuple[str, str]:
        return self.id, self.plugin_id


OWN_PLUGIN_COLUMNS = 7
OWN_MODULE_COLUMNS = 4
Held = tuple[tuple[Any, ...], ...]
"""A user's rows: slug, version and enabled as in the database; the id, where it is odd."""
_ID, _SLUG = 0, OWN_PLUGIN_COLUMNS
"""Places in a row of `plugin`."""
_Details = TypeVar("_Details", PluginDetails, ModuleDetails, PluginRow)
_ROW_ORDERS = ("rowid", "ctid")
"""Of each dialect: what `DatabaseConnection.columns` names where a table has it."""


class PluginDatabase:
    """Questions to the two tables. Every method raises SourceUnavailable when it cannot ask."""

    def __init__(
        self, connection: DatabaseConnection, strangers: DatabaseConnection | None = None
    ) -> None:
        """`strangers`: the connection for questions that anybody can make the gateway ask, on
        the public route. They wait for each other there, and their failures open a breaker of
        their own: no number of them delays a user.
        """
        self._connection = connection
        self._breaker = CircuitBreaker("the database")
        self._strangers = strangers or connection
        self._strangers_breaker = CircuitBreaker("the database for strangers")
        self.queries = 0
        """How many were made since the start."""
        self._columns: dict[str, frozenset[str]] = {}
        self._shared_record = lru_cache(_SHARED_RECORDS)(_record)
        self._shared_rows = lru_cache(_SHARED_ROWS)(self._by_slug)

    async def open(self) -> None:
        """Raises: ConfigurationError, where the database or a table is not what it should be."""
        await self._connection.open()
        try:
            if self._strangers is not self._connection:
                await self._strangers.open()
            for table, required in REQUIRED_COLUMNS.items():
                columns = await self._connection.columns(table)
                if not columns:
                    raise ConfigurationError(
                        f"database.url: the database has no table '{table}'"
                        " (gateway init makes the tables in an empty database)"
                    )
                if missing := sorted(required - columns):
                    raise ConfigurationError(
                        f"database.url: table '{table}' has no column {', '.join(missing)}"
                    )
                self._columns[table] = columns
        except BaseException:  # cancelled too: an open connection keeps the process alive
            await self.close()
            raise

    async def close(self) -> None:
        await self._connection.close()
        if self._strangers is not self._connection:
            await self._strangers.close()

    def close_at_exit(self) -> None:
        self._connection.close_at_exit()
        self._strangers.close_at_exit()

    async def ping(self) -> None:
        await self._fetch("SELECT 1 FROM plugin LIMIT 1")

    @property
    def failing_for_s(self) -> float | None:
        """Seconds since it began to fail; None: it works, as far as is known."""
        return self._breaker.failing_for_s

    async def _fetch(self, statement: str, *values: Any) -> Sequence[Row]:
        with self._breaker.guarding():
            self.queries += 1
            return await self._connection.fetch(statement, *values)

    async def _fetch_among(self, statement: str, values: Sequence[str]) -> Sequence[Row]:
        with self._breaker.guarding():
            self.queries += 1
            return await self._connection.fetch_among(statement, values)

    async def _fetch_for_stranger(self, statement: str, *values: Any) -> Sequence[Row]:
        with self._strangers_breaker.guarding():
            self.queries += 1
            return await self._strangers.fetch(statement, *values)

    async def fetch_of_users(
        self, columns: str, users: Sequence[UserId]
    ) -> dict[UserId, list[Row]]:
        """These columns of all rows of `plugin` that these users have, by user; one query.

        Every user is there, also without rows.
        """
        of_user: dict[UserId, list[Row]] = {user: [] for user in users}
        find: Callable[[Any], list[Row] | None] = of_user.get
        for row in await self._fetch_among(
            f"SELECT user_id, {columns} FROM plugin WHERE user_id = ANY($1)",  # noqa: S608
            users,
        ):
            if (rows := find(row[0])) is None:
                rows = find(_user_of_column(row[0]))
            if rows is not None:
                rows.append(row[1:])
        return of_user

    async def read_records(self, users: Sequence[UserId]) -> dict[UserId, UserRecords]:
        """All rows of these users that have a usable slug, enabled or not, by user; one query."""
        of_user = await self.fetch_of_users(RECORD_COLUMNS, users)
        return {user: self.user_records(user, rows) for user, rows in of_user.items()}

    def user_records(self, user: UserId, rows: Iterable[Row]) -> UserRecords:
        """From the RECORD_COLUMNS of all of a user's rows."""
        held = tuple(map(tuple, rows))
        by_slug, is_usual = self._shared_rows(held)
        return UserRecords(user, by_slug, None if is_usual else self._by_id(user, held))

    def _by_slug(self, held: Held) -> tuple[Mapping[str, PluginRecord], bool]:
        """Records by slug; whether slug and user name every one of them."""
        by_slug: dict[str, PluginRecord] = {}
        is_usual = True
        for *texts, odd_id in held:
            record = self._shared_record(*texts)
            if record is not None:
                is_usual &= odd_id is None
                is_usual &= by_slug.setdefault(record.slug, record) is record
        return by_slug, is_usual

    def _by_id(self, user: UserId, held: Held) -> Mapping[str, PluginRecord]:
        return {
            str(f"{user}_{record.slug}" if odd_id is None else odd_id): record
            for *texts, odd_id in held
            if (record := self._shared_record(*texts)) is not None
        }

    async def read_owner(self, database_id: str) -> UserId | None:
        """The user whose row has this id: the column decides, not the id's prefix."""
        statement = "SELECT user_id FROM plugin WHERE id = $1"
        rows = await self._fetch_for_stranger(statement, database_id)
        try:
            return parse_user_id(rows[0][0]) if rows else None
        except ValueError:
            return None

    async def read_enabled_versions(self, slug: str) -> frozenset[Version]:
        """Versions held by the enabled rows of `slug`, over all users.

        Without an index on `plugin_slug` this reads the whole table: 165 ms at 300,000 rows.
        """
        rows = await self._fetch_for_stranger(
            "SELECT DISTINCT version, enabled FROM plugin WHERE plugin_slug = $1", slug
        )
        held = {_version(version) for version, enabled in rows if is_true(enabled)}
        return frozenset(version for version in held if version is not None)

    async def read_all_versions(self) -> set[tuple[str, str]]:
        """Slug and version, as stored, that any row names, enabled or not."""
        rows = await self._fetch("SELECT DISTINCT plugin_slug, version FROM plugin")
        return {(str(row[0]), str(row[1])) for row in rows}

    async def read_plugins(self, user: UserId) -> list[PluginDetails]:
        """All of a user's rows, whole, sorted by slug (bytewise)."""
        return [plugin_of(row) for row in (await self.fetch_plugins([user]))[user]]

    async def fetch_plugins(self, users: Sequence[UserId]) -> dict[UserId, list[Row]]:
        """The same of many users, by user; one query.

        Each row has the columns that are named by the fields of PluginDetails, in their order.
        """
        of_user = await self.fetch_of_users(self._select_list(PluginDetails), users)
        return {user: _named(rows) for user, rows in of_user.items()}

    async def read_modules(self, user: UserId) -> list[ModuleDetails]:
        """The modules of all of a user's plugins, in the order of the table.

        That is the order in which the application gets them, which asks for none, and its
        designer shows them so. SQLite reads a table by rowid. PostgreSQL reads it from its
        first page to its last, which is the order of ctid: that of inserting, but a row that
        was changed may have moved to another place.
        """
        return [module_of(row) for row in await self.fetch_modules([user])]

    async def fetch_modules(self, users: Sequence[UserId]) -> Sequence[Row]:
        """The modules of all plugins of these users, in the order of the table; one query.

        Each has the columns that are named by the fields of ModuleDetails, in their order.
        """
        order = next((name for name in _ROW_ORDERS if name in self._columns["module"]), None)
        return await self._fetch_among(
            f"SELECT {self._select_list(ModuleDetails)} FROM module WHERE plugin_id IN"  # noqa: S608
            " (SELECT id FROM plugin WHERE user_id = ANY($1))"
            f"{f' ORDER BY {order}' if order else ''}",
            users,
        )

    async def count_rows(self) -> int:
        rows = await self._fetch("SELECT count(*) FROM plugin")
        return int(rows[0][0])

    async def has_slug_index(self) -> bool:
        with self._breaker.guarding():
            return await self._connection.has_index("plugin", "plugin_slug")

    # Many users at once, for commands that look at everybody. Texts are not parsed.

    async def count_users(self) -> int:
        rows = await self._fetch("SELECT count(DISTINCT user_id) FROM plugin")
        return int(rows[0][0])

    async def read_user_ids(self, after: str | None, limit: int) -> list[str]:
        """The next users who have rows, in the order of the database."""
        beyond, values = ("IS NOT NULL", ()) if after is None else ("> $2", (after,))
        rows = await self._fetch(
            "SELECT DISTINCT user_id FROM plugin"  # noqa: S608
            f" WHERE user_id {beyond} ORDER BY user_id LIMIT $1",
            limit,
            *values,
        )
        return [row[0] for row in rows]

    async def read_rows(self, users: Sequence[str]) -> dict[str, list[PluginRow]]:
        """The rows of these users, by user, sorted by slug and id; one query."""
        if not users:
            return {}  # PostgreSQL refuses `IN ()`
        by_user: dict[str, list[PluginRow]] = {user: [] for user in users}
        for values in await self._fetch(
            f"SELECT {self._select_list(PluginRow)} FROM plugin"  # noqa: S608
            f" WHERE user_id IN ({parameters(users)}) ORDER BY plugin_slug, id",
            *users,
        ):
            row = _read(PluginRow, values)
            if not isinstance(row.id, str):
                row = replace(row, id=str(row.id))
            by_user[row.user_id].append(row)
        return by_user

    async def read_config_fields(self, users: Sequence[str]) -> dict[str, list[Any]]:
        """The column `config_fields` of the modules of these users' plugins, by plugin id."""
        by_plugin: dict[str, list[Any]] = {}
        if users and "config_fields" in self._columns["module"]:
            for plugin_id, config_fields in await self._fetch(
                "SELECT plugin_id, config_fields FROM module WHERE plugin_id IN"  # noqa: S608
                f" (SELECT id FROM plugin WHERE user_id IN ({parameters(users)}))",
                *users,
            ):
                by_plugin.setdefault(plugin_id, []).append(config_fields)
        return by_plugin

    async def read_stray_modules(self, after: StrayModule | None, limit: int) -> list[StrayModule]:
        """The next modules without a plugin, or of another user than their plugin is."""
        user = "module.user_id" if "user_id" in self._columns["module"] else "plugin.user_id"
        beyond = "" if after is None else "AND (module.id, module.plugin_id) > ($2, $3)"
        values = () if after is None else after.key
        rows = await self._fetch(
            f"SELECT module.id, module.plugin_id, {user}, plugin.user_id"  # noqa: S608
            " FROM module LEFT JOIN plugin ON plugin.id = module.plugin_id"
            f" WHERE (plugin.id IS NULL OR {user} <> plugin.user_id) {beyond}"
            " ORDER BY module.id, module.plugin_id LIMIT $1",
            limit,
            *values,
        )
        return [StrayModule(*row) for row in rows]

    async def read_all_records(self) -> AsyncIterator[list[tuple[UserId, PluginRecord]]]:
        """Every usable row with its user, sorted; some users' at a time, so that no query takes
        longer on a larger site. For the operator's commands.
        """
        after = None
        while users := await self.read_user_ids(after, _USERS_AT_ONCE):
            rows = await self._fetch(
                "SELECT plugin_slug, version, enabled, user_id FROM plugin"
                " WHERE user_id >= $1 AND user_id <= $2",
                users[0],
                users[-1],
            )
            pairs = [pair for row in rows if (pair := self._with_user(row)) is not None]
            pairs.sort(key=lambda pair: (pair[0], pair[1].slug))
            yield pairs
            after = users[-1]

    def _with_user(self, row: Row) -> tuple[UserId, PluginRecord] | None:
        *texts, user_text = row
        record = self._shared_record(*texts)
        try:
            return None if record is None else (parse_user_id(user_text), record)
        except ValueError:
            return None

    def _select_list(self, details: type[_Details]) -> str:
        """Names of our own dataclass fields; NULL for those that the table lacks."""
        present = self._columns["module" if details is ModuleDetails else "plugin"]
        return ", ".join(
            field.name if field.name in present else f"NULL AS {field.name}"
            for field in fields(details)
        )


def _read(details: type[_Details], row: Row) -> _Details:
    values = {field.name: value for field, value in zip(fields(details), row, strict=True)}
    values["enabled"] = is_true(values["enabled"])
    return details(**values)


def _user_of_column(value: object) -> UserId | None:
    """The user whom a value of `user_id` names that is not the text which was asked for: a column
    of type UUID has dashes, and one of type CHAR spaces at its end.
    """
    try:
        return parse_user_id(str(value).rstrip())
    except ValueError:
        return None


def plugin_of(row: Row) -> PluginDetails:
    """A row as `fetch_plugins` returns it."""
    return _read(PluginDetails, row)


def module_of(row: Row) -> ModuleDetails:
    """A row as `fetch_modules` returns it."""
    return _read(ModuleDetails, row)


def _named(rows: Iterable[Row]) -> list[Row]:
    """Those that name a plugin, by slug. SQLite keeps BLOBs in columns of text, and they name
    nothing."""
    named = [
        row for row in rows if isinstance(row[_ID], str) and isinstance(row[_SLUG], str | None)
    ]
    named.sort(key=lambda row: (row[_SLUG] or "", row[_ID]))
    return named


def _record(slug_text: object, version_text: object, enabled: object) -> PluginRecord | None:
    try:
        slug = parse_slug(slug_text)
    except ValueError:  # NULL in old rows, or the empty string: no folder can be meant
        return None
    return PluginRecord(slug, _version(version_text), is_true(enabled))


def _version(text: object) -> Version | None:
    try:
        return parse_version(text)
    except ValueError:
        return None
