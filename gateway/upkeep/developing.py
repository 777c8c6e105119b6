"""Finds the user of a site for whom a plugin is developed, and what they have of it."""

from dataclasses import dataclass

from gateway.database.connections import connect
from gateway.database.directory import UserDirectory
from gateway.database.plugin_database import PluginDatabase
from gateway.disk.storage import PluginStorage
from gateway.errors import ConfigurationError
from gateway.lifecycle.releases import database_id
from gateway.names import Slug, UserId, parse_user_id
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Developer:
    """A user, with the id and the scope of the row of the plugin that they have or would have."""

    user: UserId
    database_id: str
    scope: str | None


async def find_developer(settings: Settings, user: UserId | None, slug: Slug) -> Developer:
    """The user, or the only one of the site.

    Raises: ConfigurationError, if there is no such user, or nobody is named and there are several,
        or the database is not what it should be; SourceUnavailable.
    """
    database = PluginDatabase(connect(settings))
    await database.open()
    try:
        if user is None:
            user = await _only_user(database, settings)
        rows = await database.read_plugins(user)
    finally:
        await database.close()
    if not rows and not PluginStorage(settings.plugins_dir).users.file(user).exists():
        raise ConfigurationError(f"--user: the site has no user {user} (gateway list shows them)")
    present = next((row for row in rows if row.plugin_slug == slug), None)
    if present is None:
        return Developer(user, database_id(user, slug), None)
    return Developer(user, present.id, str(present.scope) if present.scope else None)


async def _only_user(database: PluginDatabase, settings: Settings) -> UserId:
    directory = UserDirectory(database.tables, connect(settings, rarely_asked=True))
    await directory.open()
    try:
        page = await directory.read_page(search=None, after=None, limit=2)
    finally:
        await directory.close()
    if not page.users:
        raise ConfigurationError("--user: the site has no users with plugins yet; name one")
    if len(page.users) > 1 or page.after is not None:
        raise ConfigurationError(
            "--user: the site has several users; name the one who gets the plugin"
            " (gateway list shows them)"
        )
    try:
        return parse_user_id(page.users[0].id.rstrip())
    except ValueError as error:
        raise ConfigurationError(f"--user: {error}") from None
