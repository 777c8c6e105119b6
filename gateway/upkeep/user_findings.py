"""Do the rows of one user make sense, and does the user's JSON file agree with them?"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from gateway.database.survey import PluginRow, StrayModule
from gateway.disk.storage import PluginStorage
from gateway.disk.users_folder import Document
from gateway.names import (
    Slug,
    UserId,
    Version,
    parse_or_none,
    parse_slug,
    parse_user_id,
    parse_version,
)
from gateway.upkeep.findings import Code, Finding, Severity, new_finding
from gateway.upkeep.old_format import ConfigFields, minimise
from gateway.upkeep.population import usable_user

# The application's ids: 32 hex digits, with or without the dashes of a UUID.
_USER_PREFIX = re.compile(r"([0-9a-fA-F]{32}|[0-9a-fA-F-]{36})_")

_MISSING_IS_ALLOWED = (
    'nothing to do: access.missing_installations is "allow"; a file would decide from then on,'
    " and would lack the plugins that are installed without it"
)


def document_findings(
    user: UserId, document: Document, rows: Sequence[PluginRow], config: ConfigFields
) -> Iterator[Finding]:
    """What a user's file says otherwise than the user's rows."""
    row_slugs = {row.plugin_slug for row in rows}
    for slug in document:
        if slug not in row_slugs:
            text = f"the file of user {user} has {slug}, the table has no such row"
            yield new_finding(Code.ENTRY_WITHOUT_ROW, text, user=user, slug=slug)
    for row in rows:
        usable_slug = parse_or_none(parse_slug, row.plugin_slug)
        if usable_slug is not None and usable_slug not in document:
            yield new_finding(
                Code.ROW_WITHOUT_ENTRY,
                f"user {user} has a row of {row.plugin_slug}, but their file has no such entry",
                severity=None if row.enabled else Severity.NOTE,
                user=user,
                slug=row.plugin_slug,
                version=row.version,
            )
    with_row = {slug: entry for slug, entry in document.items() if slug in row_slugs}
    minimised = minimise(with_row, rows, config)
    for contradiction in minimised.contradictions:
        text = f"user {user}: {contradiction}"
        yield new_finding(Code.CONTRADICTING_VALUE, text, user=user, slug=contradiction.slug)
    if minimised.changed and not minimised.contradictions:
        yield new_finding(Code.OLD_FORMAT, f"the file of user {user} has the old format", user=user)


def module_finding(module: StrayModule) -> Finding:
    row = f"module {module.id} of plugin {module.plugin_id}"
    if module.owner is None:
        return new_finding(Code.MODULE_WITHOUT_PLUGIN, f"{row}: there is no such plugin")
    text = f"{row} is of user {module.user_id}, the plugin of {module.owner}"
    return new_finding(Code.CONTRADICTING_MODULE, text, user=module.owner)


class RowExaminer:
    """Finds rows of `plugin` that cannot be served. Remembers which versions have a folder."""

    def __init__(self, storage: PluginStorage, *, missing_is_denied: bool) -> None:
        self._storage = storage
        self._missing_is_denied = missing_is_denied
        self._has_folder: dict[tuple[Slug, Version], bool] = {}

    def findings(self, user_id: str, rows: Sequence[PluginRow]) -> Iterator[Finding]:
        """About the rows whose column `user_id` has this text. Blocking."""
        user = usable_user(user_id)
        if user is None:
            text = f"the table has rows of user {user_id!r}"
            yield new_finding(Code.UNUSABLE_USER, text, user=user_id)
            return
        if self._storage.users.fingerprint(user) is None:
            yield self._missing_file(user)
        slugs = set()
        for row in rows:
            yield from self._row_findings(row)
            if row.plugin_slug and row.plugin_slug in slugs:
                text = f"user {user} has several rows of {row.plugin_slug}"
                yield new_finding(Code.DUPLICATE_SLUG, text, user=user, slug=row.plugin_slug)
            slugs.add(row.plugin_slug)

    def _missing_file(self, user: UserId) -> Finding:
        text = f"user {user} has rows but no installed_plugins.json"
        about: Any = {"user": user, "path": self._storage.users.file(user)}
        if self._missing_is_denied:
            return new_finding(Code.NO_INSTALLATIONS, f"{text}: they get nothing", **about)
        return new_finding(
            Code.NO_INSTALLATIONS,
            f"{text}: the table decides",
            severity=Severity.NOTE,
            hint=_MISSING_IS_ALLOWED,
            **about,
        )

    def _row_findings(self, row: PluginRow) -> Iterator[Finding]:
        about: Any = {"user": row.user_id, "slug": row.plugin_slug, "version": row.version}
        owner = _USER_PREFIX.match(row.id)
        if owner and parse_or_none(parse_user_id, owner[1]) not in (None, row.user_id):
            text = f"row {row.id} is of user {row.user_id}, its id says {owner[1]}"
            yield new_finding(Code.CONTRADICTING_ID, text, **about)
        # A disabled row is not served, so what is wrong with it does less harm.
        about["severity"] = None if row.enabled else Severity.WARNING
        slug = parse_or_none(parse_slug, row.plugin_slug)
        version = parse_or_none(parse_version, row.version)
        if slug is None:
            text = f"row {row.id} has the slug {row.plugin_slug!r}"
            yield new_finding(Code.UNUSABLE_SLUG, text, **about)
        if version is None:
            text = f"row {row.id} has the version {row.version!r}"
            yield new_finding(Code.UNUSABLE_VERSION, text, **about)
        if slug and version and not self._is_published(slug, version):
            path = self._storage.construct_shared_path(slug, version)
            text = f"user {row.user_id} has {slug} {version}: no folder {path}"
            yield new_finding(Code.VERSION_WITHOUT_FOLDER, text, path=path, **about)

    def _is_published(self, slug: Slug, version: Version) -> bool:
        key = slug, version
        if key not in self._has_folder:
            self._has_folder[key] = self._storage.shared.is_published(*key)
        return self._has_folder[key]
