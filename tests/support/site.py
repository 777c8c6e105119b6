"""Makes sites as BrainDrive-Core does: tables, folders and JSON files."""

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import jwt

from gateway.disk.builds import look_at
from gateway.disk.published_record import RECORD_NAME, make_record

SECRET = "a-secret-of-the-application-that-is-long-enough"
USERS_CHANGE = {"GATEWAY__ACCESS__CHANGES": "users"}
"""The setting by which users change over HTTP what they have."""

ADA = "a" * 32
BEN = "b" * 32
CLEO = "c" * 32
NOBODY = "d" * 32

# As `sqlite3 braindrive.db .schema` shows them; `users` stands for the application's others.
TABLES = """
CREATE TABLE users (id VARCHAR(32) NOT NULL PRIMARY KEY, email VARCHAR, is_active BOOLEAN);
CREATE TABLE plugin (
    id VARCHAR(32) NOT NULL, plugin_slug VARCHAR{slug_null}, name VARCHAR NOT NULL,
    description VARCHAR NOT NULL, version VARCHAR NOT NULL, type VARCHAR DEFAULT 'frontend',
    plugin_type VARCHAR, enabled BOOLEAN, icon VARCHAR, category VARCHAR, status VARCHAR,
    official BOOLEAN, author VARCHAR, last_updated VARCHAR, compatibility VARCHAR,
    downloads INTEGER, scope VARCHAR, bundle_method VARCHAR, bundle_location VARCHAR,
    is_local BOOLEAN, long_description TEXT, source_type VARCHAR(50), source_url TEXT,
    update_check_url TEXT, last_update_check TIMESTAMP, update_available BOOLEAN,
    latest_version VARCHAR(50), installation_type VARCHAR(50), permissions TEXT,
    config_fields TEXT, messages TEXT, dependencies TEXT, required_services_runtime TEXT,
    endpoints_file VARCHAR, route_prefix VARCHAR, backend_dependencies TEXT,
    created_at VARCHAR, updated_at VARCHAR, user_id VARCHAR(32) NOT NULL,
    PRIMARY KEY (id), CONSTRAINT unique_plugin_per_user UNIQUE (user_id, plugin_slug)
);
CREATE INDEX ix_plugin_id ON plugin (id);
CREATE TABLE module (
    id VARCHAR(32) NOT NULL, plugin_id VARCHAR(32) NOT NULL, name VARCHAR NOT NULL,
    display_name VARCHAR, description VARCHAR, icon VARCHAR, category VARCHAR, enabled BOOLEAN,
    priority INTEGER, props TEXT, config_fields TEXT, messages TEXT, required_services TEXT,
    dependencies TEXT, layout TEXT, tags TEXT, created_at VARCHAR, updated_at VARCHAR,
    user_id VARCHAR(32) NOT NULL, PRIMARY KEY (id, plugin_id)
);
"""


class Site:
    """Folders, database and JSON files below one temporary folder."""

    def __init__(self, folder: Path, *, slug_may_be_null: bool = False) -> None:
        self.folder = folder
        self.plugins = folder / "plugins"
        self.database = folder / "braindrive.db"
        for name in ("shared", "users", "cache"):
            (self.plugins / name).mkdir(parents=True)
        self._make_tables("" if slug_may_be_null else " NOT NULL")

    @property
    def environment(self) -> dict[str, str]:
        """The three settings that a site of the application needs."""
        return {
            "GATEWAY__DATABASE__URL": f"sqlite:///{self.database}",
            "GATEWAY__STORAGE__ROOT": str(self.plugins),
            "GATEWAY__IDENTITY__JWT__SECRET": SECRET,
        }

    def execute(self, statement: str, *values: Any) -> None:
        """One committed statement, as another program would make it."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute(statement, values)

    def query(self, statement: str) -> list[dict[str, Any]]:
        """Rows by column name, as another program reads them."""
        with closing(sqlite3.connect(self.database)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(statement)]

    def _make_tables(self, slug_null: str) -> None:
        with closing(sqlite3.connect(self.database)) as connection:
            connection.executescript(TABLES.format(slug_null=slug_null))

    def loosen(self) -> None:
        """Takes all constraints off the table `plugin`: NULL goes anywhere, as in old rows."""
        with closing(sqlite3.connect(self.database)) as connection:
            connection.executescript(
                "ALTER TABLE plugin RENAME TO strict_plugin;"
                "CREATE TABLE plugin AS SELECT * FROM strict_plugin;"
                "DROP TABLE strict_plugin;"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Locks the database against all readers, as the application does while it commits."""
        with closing(sqlite3.connect(self.database)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            yield
            connection.rollback()

    def publish(
        self, slug: str, version: str, files: Mapping[str, str | bytes] | None = None
    ) -> Path:
        """Writes the files of a version; by default they name its slug and version."""
        folder = self.version_folder(slug, version)
        if files is None:
            files = {
                "package.json": json.dumps({"name": slug, "version": version}),
                "dist/remoteEntry.js": f"/* {slug} {version} */ window.{slug} = {{}};",
                "dist/1.js": f"/* chunk of {slug} {version} */",
                "assets/icon.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
                "lifecycle_manager.py": "raise SystemExit('never served, never run')",
            }
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder

    def record(self, slug: str, version: str) -> None:
        """Leaves the record that `gateway publish` leaves."""
        folder = self.version_folder(slug, version)
        state = look_at(folder, None)
        assert state is not None
        (folder / RECORD_NAME).write_bytes(make_record(folder, state))

    def version_folder(self, slug: str, version: str) -> Path:
        return self.plugins / "shared" / slug / f"v{version}"

    def add_row(self, user: str, slug: str | None, version: str, **columns: Any) -> str:
        """A row of `plugin`; returns its database id."""
        row: dict[str, Any] = {
            "id": f"{user}_{slug}",
            "plugin_slug": slug,
            "name": slug or "nameless",
            "description": f"About {slug}",
            "version": version,
            "type": "frontend",
            "enabled": 1,
            "official": 0,
            "is_local": 0,
            "update_available": 0,
            "downloads": 0,
            "scope": slug,
            "status": "activated",
            "bundle_method": "webpack",
            "bundle_location": "dist/remoteEntry.js",
            "last_updated": "2026-01-02 03:04:05",
            "created_at": "2026-01-02 03:04:05",
            "updated_at": "2026-01-02 03:04:05",
            "config_fields": "{}",
            "permissions": '["api.access"]',
            "user_id": user,
            **columns,
        }
        self._insert("plugin", row)
        return str(row["id"])

    def add_module(self, plugin_id: str, name: str, user: str, **columns: Any) -> None:
        row: dict[str, Any] = {
            "id": f"{plugin_id}_{name}",
            "plugin_id": plugin_id,
            "name": name,
            "display_name": name,
            "enabled": 1,
            "priority": 1,
            "user_id": user,
            **columns,
        }
        self._insert("module", row)

    def _insert(self, table: str, row: dict[str, Any]) -> None:
        columns, marks = ", ".join(row), ", ".join("?" for _ in row)
        self.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", *row.values())

    @contextmanager
    def rows_restored(self) -> Iterator[None]:
        """Whatever the block does to the table `plugin` is undone at its end."""
        with closing(sqlite3.connect(self.database)) as connection:
            rows = connection.execute("SELECT * FROM plugin").fetchall()
        yield
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute("DELETE FROM plugin")
            marks = ", ".join("?" for _ in rows[0])
            connection.executemany(f"INSERT INTO plugin VALUES ({marks})", rows)

    def backups(self) -> list[Path]:
        """What `doctor --fix` and `migrate --apply` saved, the oldest first."""
        folder = self.plugins / "backups"
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def saved_users(self) -> set[str]:
        """Users whose originals are in a backup, in whole lines."""
        return {
            json.loads(line)["user"]
            for backup in self.backups()
            for line in backup.read_bytes().splitlines(keepends=True)
            if line.endswith(b"\n")
        }

    def installations_file(self, user: str) -> Path:
        return self.plugins / "users" / f"user_{user}" / "installed_plugins.json"

    def write_installations(self, user: str, content: object) -> None:
        """`content` as JSON; bytes are written as they are."""
        path = self.installations_file(user)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())

    def install(self, user: str, *slugs: str) -> None:
        """The user's JSON, in the minimal format."""
        metadata = {"installation_type": "production", "installed_at": "2026-01-02T03:04:05"}
        self.write_installations(
            user, {slug: {"installation_metadata": metadata} for slug in slugs}
        )

    def give(self, user: str, slug: str, version: str, **columns: Any) -> str:
        """Row and JSON together; returns the database id."""
        path = self.installations_file(user)
        held = list(json.loads(path.read_bytes())) if path.exists() else []
        self.install(user, *held, slug)
        return self.add_row(user, slug, version, **columns)


def contents(root: Path, *below: str) -> dict[str, bytes]:
    """Every file below the folder, or below these parts of it, by its path from there."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for name in below or ("",)
        for path in (root / name).rglob("*")
        if path.is_file()
    }


def token(user: str, secret: str = SECRET, ttl_s: float = 3600.0, **claims: Any) -> str:
    """A token like those of the application: HS256, `exp` and `iat` as floats."""
    now = time.time()
    payload = {"sub": user, "iat": now, "exp": now + ttl_s, **claims}
    return jwt.encode(
        {name: value for name, value in payload.items() if value is not None}, secret, "HS256"
    )


def bearer(user: str, **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(user, **claims)}"}


def populated(folder: Path) -> Site:
    """Three users with different sets and versions, and traps beside them."""
    return populate(Site(folder))


def populate(site: Site) -> Site:
    for slug, version in (("Review", "1.0.0"), ("Review", "1.0.1"), ("Eyes", "2.0.0")):
        site.publish(slug, version)
    for user in (ADA, BEN, CLEO):
        site.execute("INSERT INTO users VALUES (?, ?, ?)", user, f"{user[0]}@example.org", 1)
    site.give(ADA, "Review", "1.0.0")
    site.give(ADA, "Eyes", "2.0.0")
    site.give(BEN, "Review", "1.0.1")
    site.give(CLEO, "Eyes", "2.0.0", enabled=0)
    return site


def with_refusals(site: Site, user: str) -> Site:
    """Gives the user a plugin for each reason why its files are refused."""
    site.add_row(user, "Unlisted", "1.0.0")
    site.give(user, "Ghost", "1.0.0")
    site.execute("DELETE FROM plugin WHERE plugin_slug = 'Ghost'")
    site.give(user, "Off", "1.0.0", enabled=0)
    site.give(user, "Unbuilt", "9.9.9")
    site.give(user, "Climbing", "../..")
    return site
