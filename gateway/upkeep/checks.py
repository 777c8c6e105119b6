"""What would stop a site from serving, found before a user meets it."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from gateway.core import Core
from gateway.database.records import PluginRecord
from gateway.database.survey import Survey
from gateway.disk.builds import look_at_version
from gateway.disk.published_record import read_integrity
from gateway.disk.storage import PluginStorage
from gateway.errors import ConfigurationError, SourceUnavailable, StorageError
from gateway.names import Slug, UserId, Version
from gateway.settings import Settings
from gateway.tracing.starting import require_usable
from gateway.upkeep.check_results import CheckResult
from gateway.upkeep.opening import require_root
from gateway.upkeep.trials import try_writing

# RFC 7518 §3.2: an HMAC key shorter than its hash output weakens it. The admin token can be
# guessed as well, so the same length is expected of it.
_SHORT_SECRET_BYTES = 32
# A query that reads this many rows takes about 10 ms.
_MANY_ROWS = 20_000
# One in 28 million texts of 32 random hex digits has fewer different digits; a repeated word has.
_FEW_CHARACTERS = 8

_WHO_CHANGES = {
    "off": "nobody changes over HTTP what users have; serving only reads the database",
    "admins": "administrators change over HTTP what users have",
    "users": "users change over HTTP what they have, administrators what any user has",
}
"""By the value of `access.changes`."""


def require_servable(settings: Settings) -> Core:
    """Checks what must be right before a server starts, without opening the database: keys, the
    identity chain, the driver, the packages of an extra, the folder.

    Raises: ConfigurationError, one line.
    """
    core = Core(settings)
    if settings.observability.traces:
        require_usable()
    require_root(settings.plugins_dir)
    return core


async def check_site(settings: Settings) -> list[CheckResult]:
    """Results, the most basic first; ends early where the next checks would be meaningless."""
    try:
        core = require_servable(settings)
    except ConfigurationError as error:
        return [CheckResult.error("configuration", str(error))]
    chain = ", ".join(settings.identity.chain)
    valid = CheckResult.note("configuration", f"valid; users are known by: {chain}")
    changes = CheckResult.note("configuration", _WHO_CHANGES[settings.access.changes])
    results = [valid, changes, *_development(settings), *_weak_secrets(settings)]
    try:
        async with core.running(follow_changes=False):
            await _check_sources(core, results)
    except (ConfigurationError, SourceUnavailable) as error:
        results.append(CheckResult.error("database", str(error)))
    except (OSError, StorageError) as error:
        results.append(CheckResult.error("storage", f"cannot be read: {error}"))
    return [*results, *await try_writing(settings, core.storage)]


def _development(settings: Settings) -> Iterator[CheckResult]:
    if settings.dev.enabled:
        text = "development (dev.enabled): nothing is immutable, and any localhost page may read"
        yield CheckResult.note("configuration", text)


def _weak_secrets(settings: Settings) -> Iterator[CheckResult]:
    """Secrets that are in use and can be guessed."""
    identity = settings.identity
    secrets = {
        "identity.jwt.secret": identity.jwt.secret if "jwt" in identity.chain else "",
        "identity.signed.secret": identity.signed.secret,
        "admin.token": settings.admin.token,
    }
    for name, secret in secrets.items():
        size, different = len(secret.encode()), len(set(secret))
        if 0 < size < _SHORT_SECRET_BYTES:
            problem = f"has {size} bytes"
        elif 0 < different < _FEW_CHARACTERS:
            problem = f"repeats {different} characters"
        else:
            continue
        hint = f"expected at least {_SHORT_SECRET_BYTES} random bytes: openssl rand -base64 32"
        yield CheckResult.warning("configuration", f"{name} {problem}", hint)


async def _check_sources(core: Core, results: list[CheckResult]) -> None:
    """Checks the database and the plugins folder. If one fails, the results up to then are true."""
    survey = Survey(core.database.tables)
    storage, (users, records) = core.storage, await _read_rows(survey)
    text = f"{records.total()} plugin rows of {len(users)} users"
    results.append(CheckResult.note("database", text))
    if core.settings.access.public:
        results += await _missing_index(survey)
    if not storage.shared.path.is_dir():
        text = f"no folder {storage.shared.path}"
        hint = "storage.root is the folder that has shared/; on a new site gateway init makes it"
        results.append(CheckResult.error("storage", text, hint))
        return
    published = sum(1 for _ in storage.shared.versions())
    text = f"{published} published versions in {storage.shared.path}"
    results.append(CheckResult.note("storage", text))
    results += _unusable_versions(records, storage)
    if core.settings.http.require_integrity:
        results += _unrecorded_versions(records, storage)
    missing_is_denied = core.settings.access.missing_installations == "deny"
    results += _user_files(users, storage, missing_is_denied=missing_is_denied)


async def _read_rows(survey: Survey) -> tuple[set[UserId], Counter[PluginRecord]]:
    """The users in the table `plugin`, and how many rows make each record."""
    users: set[UserId] = set()
    records: Counter[PluginRecord] = Counter()
    async for pairs in survey.read_all_records():
        users.update(user for user, _ in pairs)
        records.update(record for _, record in pairs)
    return users, records


async def _missing_index(survey: Survey) -> list[CheckResult]:
    if await survey.has_slug_index() or (count := await survey.count_rows()) < _MANY_ROWS:
        return []
    text = (
        f"table 'plugin' has {count} rows and no index on plugin_slug: each public request for a"
        " bare slug that is not cached reads all of them"
    )
    hint = "CREATE INDEX ix_plugin_plugin_slug ON plugin (plugin_slug)"
    return [CheckResult.warning("database", text, hint)]


def _unusable_versions(
    records: Counter[PluginRecord], storage: PluginStorage
) -> Iterator[CheckResult]:
    """Enabled rows whose version cannot be served."""
    unusable = sum(
        count for record, count in records.items() if record.enabled and record.version is None
    )
    if unusable:
        text = f"{unusable} enabled rows hold no usable version"
        yield CheckResult.warning("database", text)
    for slug, version in _enabled_versions(records):
        folder = storage.construct_shared_path(slug, version)
        if not storage.shared.is_published(slug, version):
            text = f"{slug} {version} has enabled rows but no folder"
            yield CheckResult.warning("storage", text, f"expected {folder}")
        elif not _may_read(folder, os.R_OK | os.X_OK):
            text = f"{slug} {version} has enabled rows, but its folder cannot be read"
            yield CheckResult.warning("storage", text, str(folder))


def _unrecorded_versions(
    records: Counter[PluginRecord], storage: PluginStorage
) -> Iterator[CheckResult]:
    """Versions of enabled rows that `http.require_integrity` keeps back. Reads all their files."""
    for slug, version in _enabled_versions(records):
        state = look_at_version(storage, slug, version)
        if state is None:
            continue
        folder = storage.construct_shared_path(slug, version)
        if problem := read_integrity(folder, state).problem:
            text = f"{slug} {version} is given to nobody (http.require_integrity): {problem}"
            hint = "gateway publish, of the content that this version should have"
            yield CheckResult.warning("storage", text, hint)


def _enabled_versions(records: Counter[PluginRecord]) -> list[tuple[Slug, Version]]:
    """Those that enabled rows hold."""
    return sorted(
        {
            (record.slug, record.version)
            for record in records
            if record.enabled and record.version is not None
        }
    )


def _may_read(path: Path, mode: int = os.R_OK) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _has_no_file(storage: PluginStorage, user: UserId) -> bool:
    """False also if nobody can tell, because the user's folder cannot be read."""
    try:
        return storage.users.fingerprint(user) is None
    except StorageError:
        return False


def _user_files(
    users: set[UserId], storage: PluginStorage, *, missing_is_denied: bool
) -> Iterator[CheckResult]:
    """About users with rows whose installed_plugins.json is missing or cannot be read."""
    without = [user for user in users if not _may_read(storage.users.file(user))]
    missing = sum(1 for user in without if _has_no_file(storage, user))
    if unreadable := len(without) - missing:
        text = f"the installed_plugins.json of {unreadable} of {len(users)} users cannot be read"
        yield CheckResult.warning("storage", f"{text}: they get nothing")
    if not missing:
        return
    text = f"{missing} of {len(users)} users have rows but no installed_plugins.json"
    if not missing_is_denied:
        yield CheckResult.note("storage", f"{text}: the table alone decides for them")
        return
    hint = (
        'access.missing_installations = "allow" lets the table decide for them,'
        " gateway migrate --write-missing writes the files"
    )
    yield CheckResult.warning("storage", f"{text}: they get nothing", hint)
