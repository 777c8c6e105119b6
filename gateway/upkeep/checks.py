"""What would stop a site from serving, found before a user meets it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.core import Core
from gateway.database.records import PluginRecord
from gateway.database.survey import Survey
from gateway.disk.storage import PluginStorage
from gateway.errors import ConfigurationError, SourceUnavailable
from gateway.names import UserId
from gateway.settings import Settings
from gateway.upkeep.findings import Severity

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


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of `gateway check`. A note says what is in order; `hint` says what to do."""

    severity: Severity
    subject: str
    text: str
    hint: str = ""


def require_servable(settings: Settings) -> Core:
    """Checks what must be right before a server starts, without opening the database: keys, the
    identity chain, the driver, the folder.

    Raises: ConfigurationError, one line.
    """
    core = Core(settings)
    if not settings.plugins_dir.is_dir():
        raise ConfigurationError(
            f"storage.root: no folder {settings.plugins_dir} (gateway init makes one)"
        )
    return core


async def check_site(settings: Settings) -> list[CheckResult]:
    """Results, the most basic first; ends early where the next checks would be meaningless."""
    try:
        core = require_servable(settings)
    except ConfigurationError as error:
        return [CheckResult(Severity.ERROR, "configuration", str(error))]
    chain = ", ".join(settings.identity.chain)
    valid = CheckResult(Severity.NOTE, "configuration", f"valid; users are known by: {chain}")
    changes = CheckResult(Severity.NOTE, "configuration", _WHO_CHANGES[settings.access.changes])
    results = [valid, changes, *_weak_secrets(settings)]
    try:
        async with core.running(follow_changes=False):
            await _check_sources(core, results)
    except (ConfigurationError, SourceUnavailable) as error:
        results.append(CheckResult(Severity.ERROR, "database", str(error)))
    return results


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
        yield CheckResult(Severity.WARNING, "configuration", f"{name} {problem}", hint)


async def _check_sources(core: Core, results: list[CheckResult]) -> None:
    """Checks the database and the plugins folder. If one fails, the results up to then are true."""
    survey = Survey(core.database.tables)
    storage, (users, records) = core.storage, await _read_rows(survey)
    text = f"{records.total()} plugin rows of {len(users)} users"
    results.append(CheckResult(Severity.NOTE, "database", text))
    if core.settings.access.public:
        results += await _missing_index(survey)
    if not storage.shared.path.is_dir():
        text = f"no folder {storage.shared.path}"
        results.append(CheckResult(Severity.ERROR, "storage", text, "gateway init"))
        return
    published = sum(1 for _ in storage.shared.versions())
    text = f"{published} published versions in {storage.shared.path}"
    results.append(CheckResult(Severity.NOTE, "storage", text))
    results += _unusable_versions(records, storage)
    missing_is_denied = core.settings.access.missing_installations == "deny"
    results += _missing_files(users, storage, missing_is_denied=missing_is_denied)


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
    return [CheckResult(Severity.WARNING, "database", text, hint)]


def _unusable_versions(
    records: Counter[PluginRecord], storage: PluginStorage
) -> Iterator[CheckResult]:
    """Enabled rows whose version cannot be served."""
    enabled = [record for record in records if record.enabled]
    unusable = sum(records[record] for record in enabled if record.version is None)
    if unusable:
        text = f"{unusable} enabled rows hold no usable version"
        yield CheckResult(Severity.WARNING, "database", text)
    versions = {(record.slug, record.version) for record in enabled if record.version is not None}
    for slug, version in sorted(versions):
        if not storage.shared.is_published(slug, version):
            text = f"{slug} {version} has enabled rows but no folder"
            hint = f"expected {storage.construct_shared_path(slug, version)}"
            yield CheckResult(Severity.WARNING, "storage", text, hint)


def _missing_files(
    users: set[UserId], storage: PluginStorage, *, missing_is_denied: bool
) -> Iterator[CheckResult]:
    without = sum(1 for user in users if not storage.users.file(user).is_file())
    if not without:
        return
    text = f"{without} of {len(users)} users have rows but no installed_plugins.json"
    if not missing_is_denied:
        yield CheckResult(Severity.NOTE, "storage", f"{text}: the table alone decides for them")
        return
    yield CheckResult(
        Severity.WARNING,
        "storage",
        f"{text}: they get nothing",
        'access.missing_installations = "allow" lets the table decide for them,'
        " gateway migrate --write-missing writes the files",
    )
