"""The demo's site on disk: the plugins and users of `plugins/`, and database rows for them."""

import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import anyio

from gateway.database.transactions import execute_in_transaction
from gateway.disk.builds import look_at
from gateway.disk.files import write_atomically
from gateway.disk.metadata import read_metadata
from gateway.disk.published_record import RECORD_NAME, make_record
from gateway.disk.storage import PluginStorage
from gateway.errors import ConfigurationError
from gateway.lifecycle.releases import database_id, insert_statement, module_rows, plugin_row
from gateway.names import Slug, UserId, Version
from gateway.settings import Settings, load_settings
from gateway.upkeep.new_site import PRIVATE, make_tables


@dataclass(frozen=True, slots=True)
class DemoUser:
    """One of the users whose installed_plugins.json is in `plugins/users`."""

    key: str
    id: UserId
    name: str
    about: str
    versions: dict[Slug, Version]


USERS = (
    DemoUser(
        "user-1",
        UserId("a1f4c0de5e7a4b1f9c3d2e8b7a6f5d41"),
        "Ada",
        "Begins with both plugins, and NetworkReview 1.0.0.",
        {Slug("NetworkReview"): Version("1.0.0"), Slug("NetworkEyes"): Version("1.0.0")},
    ),
    DemoUser(
        "user-2",
        UserId("b2e5d1ef6f8b4c20ad4e3f9c8b7a6e52"),
        "Grace",
        "Begins with NetworkReview 1.0.1 alone.",
        {Slug("NetworkReview"): Version("1.0.1")},
    ),
    DemoUser(
        "user-3",
        UserId("c3d6e2fa7a9c4d31be5f4aad9c8b7f63"),
        "Lin",
        "Begins with NetworkEyes alone.",
        {Slug("NetworkEyes"): Version("1.0.0")},
    ),
)


def find_demo_user(text: str | None) -> DemoUser:
    """By key, name or id; the first one if nobody is named. Raises: ConfigurationError."""
    if text is None:
        return USERS[0]
    for user in USERS:
        if text.casefold() in (user.key, user.name.casefold(), user.id):
            return user
    names = ", ".join(f"{user.name} ({user.key})" for user in USERS)
    raise ConfigurationError(f"--user: no user {text!r}; the temporary site has {names}")


_CONFIG = """\
# The site of `gateway demo`. Secrets are random, made with it.
[database]
url = "sqlite:///gateway.db"

[storage]
root = "plugins"

[access]
changes = "users"

[identity.jwt]
secret = "{jwt_secret}"

[identity.signed]
secret = "{signed_secret}"

[admin]
token = "{admin_token}"

[observability]
debug_headers = true
"""


def make_demo_site(folder: Path) -> Path:
    """Makes the site in `folder`; a site that exists stays as it is. Returns its configuration.

    Raises: ConfigurationError, if the folder holds something else.
    """
    config_file = folder / "config.toml"
    if config_file.exists() and (folder / "gateway.db").exists():
        return config_file
    if folder.exists() and any(folder.iterdir()):
        raise ConfigurationError(f"{folder}: expected an empty folder, or a demo's site")
    for name in ("shared", "users"):
        shutil.copytree(demo_plugins() / name, folder / "plugins" / name)
    _record_versions(PluginStorage(folder / "plugins"))
    names = ("jwt_secret", "signed_secret", "admin_token")
    config = _CONFIG.format(**{name: secrets.token_urlsafe(32) for name in names})
    write_atomically(config_file, config.encode(), PRIVATE)
    anyio.run(_fill_database, load_settings(config_file, environ={}))
    return config_file


def _record_versions(storage: PluginStorage) -> None:
    """As if the versions had been published here: the page asks for their integrity."""
    for slug, version in storage.shared.versions():
        folder = storage.construct_shared_path(slug, version)
        if (state := look_at(folder, None)) is not None:
            (folder / RECORD_NAME).write_bytes(make_record(folder, state))


async def _fill_database(settings: Settings) -> None:
    await make_tables(settings)
    storage = PluginStorage(settings.plugins_dir)
    now = datetime.now(UTC)
    statements = []
    for user in USERS:
        for slug, version in user.versions.items():
            metadata = read_metadata(storage.construct_shared_path(slug, version))
            row = plugin_row(metadata, user.id, slug, version, now)
            statements.append(insert_statement("plugin", row))
            statements += [
                insert_statement("module", module)
                for module in module_rows(metadata, user.id, database_id(user.id, slug), now)
            ]
    await execute_in_transaction(settings, statements)


def demo_plugins() -> Path:
    """The folder `plugins/` of the package, or of the checkout."""
    packaged = Path(__file__).parent / "plugins"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "plugins"
