"""A user of a site: what the lifecycle does for them, and what another program then reads."""

import asyncio
import json
from typing import Any

from gateway.changes import Change
from gateway.disk.audit_log import Author
from gateway.disk.storage import PluginStorage
from gateway.lifecycle.installing import Lifecycle, Outcome
from gateway.names import Slug, UserId, Version
from gateway.settings import load_settings
from tests.support.site import ADA, Site

ENTRY_BYTES = b"window.Review = {};"


def publish(site: Site, version: str, slug: str = "Review", **keys: Any) -> None:
    """Publishes a version whose plugin.json has these keys."""
    metadata = {"slug": slug, "version": version, **keys}
    files = {"plugin.json": json.dumps(metadata).encode(), "dist/remoteEntry.js": ENTRY_BYTES}
    site.publish(slug, version, files)


def forget_use(site: Site, version: str, slug: str = "Review") -> None:
    """Makes the version look as if nobody had asked for its files for long."""
    (site.plugins / "cache" / "versions" / slug / f"v{version}.used").unlink()


def module(name: str, **config_fields: Any) -> dict[str, Any]:
    """A module of a plugin.json."""
    return {"name": name, "config_fields": config_fields}


OPERATOR = Author("operator", "command")


class Account:
    """One user of a site, and their plugins."""

    def __init__(self, site: Site, user: str = ADA, **environment: str) -> None:
        self.site = site
        self.user = UserId(user)
        self.settings = load_settings(environ={**site.environment, **environment})
        self.storage = PluginStorage(self.settings.plugins_dir)
        self.announced: list[Change] = []
        self.lifecycle = Lifecycle(self.settings, self.storage, self.announced.append)

    def install(self, version: str | None = None, slug: str = "Review", **facts: Any) -> Outcome:
        parsed = None if version is None else Version(version)
        return asyncio.run(
            self.lifecycle.install(self.user, Slug(slug), parsed, facts, by=OPERATOR)
        )

    def update(self, version: str | None = None, plugin: str = "Review") -> Outcome:
        parsed = None if version is None else Version(version)
        return asyncio.run(self.lifecycle.update(self.user, plugin, parsed, by=OPERATOR))

    def rollback(self, version: str | None = None, plugin: str = "Review") -> Outcome:
        parsed = None if version is None else Version(version)
        return asyncio.run(self.lifecycle.rollback(self.user, plugin, parsed, by=OPERATOR))

    def enable(self, plugin: str = "Review", *, enabled: bool = True) -> Outcome:
        return asyncio.run(
            self.lifecycle.set_enabled(self.user, plugin, enabled=enabled, by=OPERATOR)
        )

    def uninstall(self, plugin: str = "Review") -> Outcome:
        return asyncio.run(self.lifecycle.uninstall(self.user, plugin, by=OPERATOR))

    # What another program reads and writes

    def plugins(self) -> dict[str, dict[str, Any]]:
        rows = self.site.query("SELECT * FROM plugin")
        return {row["plugin_slug"]: row for row in rows if row["user_id"] == self.user}

    def row(self, slug: str = "Review") -> dict[str, Any]:
        return self.plugins()[slug]

    def modules(self, slug: str = "Review") -> dict[str, dict[str, Any]]:
        plugin_id = self.row(slug)["id"]
        rows = self.site.query("SELECT * FROM module")
        return {row["name"]: row for row in rows if row["plugin_id"] == plugin_id}

    def configuration(self, name: str, slug: str = "Review") -> Any:
        return json.loads(self.modules(slug)[name]["config_fields"])

    def configure(self, name: str, value: object, slug: str = "Review") -> None:
        """Writes a module's configuration as the application does. Text is written as it is."""
        text = value if isinstance(value, str | None) else json.dumps(value)
        self.site.execute(
            "UPDATE module SET config_fields = ? WHERE name = ? AND plugin_id = ?",
            text, name, self.row(slug)["id"],
        )  # fmt: skip

    def document(self) -> dict[str, Any] | None:
        file = self.site.installations_file(self.user)
        return json.loads(file.read_bytes()) if file.exists() else None

    def entry(self, slug: str = "Review") -> dict[str, Any]:
        document = self.document()
        assert document is not None
        entry: dict[str, Any] = document[slug]
        return entry

    def metadata(self, slug: str = "Review") -> dict[str, Any]:
        metadata: dict[str, Any] = self.entry(slug)["installation_metadata"]
        return metadata

    def everything(self) -> tuple[Any, ...]:
        """All rows of all users and this user's file, to see that nothing was touched."""
        file = self.site.installations_file(self.user)
        return (
            sorted(map(repr, self.site.query("SELECT * FROM plugin"))),
            sorted(map(repr, self.site.query("SELECT * FROM module"))),
            file.read_bytes() if file.exists() else None,
        )


def configured(account: Account) -> Account:
    """The user has a version of Review with one module, the Board, and its configuration."""
    publish(account.site, "1.0.0", modules=[module("Board", colour="red", size=1)])
    account.install("1.0.0")
    return account
