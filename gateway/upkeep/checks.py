"""What would stop a site from serving, found before a user meets it."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

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


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of `gateway check`. A note says what is in order; `hint` says what to do."""

    severity: Severity
    subject: str
    text: str
    hint: str = ""


@dataclass(slots=True)
class _Rows:
    """What the table `plugin` holds: its users, and how many rows make each record."""

    users: set[UserId] = field(default_factory=set)
    records: Counter[PluginRecord] = field(default_factory=Counter)


def require_servable(settings: Settings) -> None:
    """Checks what must be right before a server starts, without opening the database.

    Raises: ConfigurationError, one line.
    """
    Core(settings)  # keys, identity chain, driver
    if not settings.plugins_dir.is_dir():
        raise ConfigurationError(
            f"storage.root: no folder {settings.plugins_dir} (gateway init makes one)"
        )


async def check_site(settings: Settings) -> AsyncIterator[CheckResult]:
    """Results, the most basic first; ends early where the next checks would be meaningless."""
    try:
        require_servable(settings)
        core = Core(settings)
    except ConfigurationError as error:
        yield CheckResult(Severity.ERROR, "configuration", str(error))
        return
    chain = ", ".join(settings.identity.chain)
    yield CheckResult(Severity.NOTE, "configuration", f"valid; users are known by: {chain}")
    for result in _weak_secrets(settings):
        yield result
    try:
        async with core.running(follow_changes=False):
            async for result in _check_sources(core):
                yield result
    except ConfigurationError as error:
        yield CheckResult(Severity.ERROR, "database", str(error))
    except SourceUnavailable as error:
        yield CheckResult(Severity.ERROR, "database", error.reason)


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


async def _check_sources(core: Core) -> AsyncIterator[CheckResult]:
    """The database and the plugins folder."""
    survey = Survey(core.database.tables)
    storage, rows = core.storage, await _read_rows(survey)
    count = rows.records.total()
    yield CheckResult(Severity.NOTE, "database", f"{count} plugin rows of {len(rows.users)} users")
    if core.settings.access.public:
        async for result in _missing_index(survey):
            yield result
    if not storage.shared.path.is_dir():
        yield CheckResult(
            Severity.ERROR, "storage", f"no folder {storage.shared.path}", "gateway init"
        )
        return
    published = sum(1 for _ in storage.shared.versions())
    text = f"{published} published versions in {storage.shared.path}"
    yield CheckResult(Severity.NOTE, "storage", text)
    for result in _unusable_versions(rows.records, storage):
        yield result
    missing_is_denied = core.settings.access.missing_installations == "deny"
    for result in _missing_files(rows.users, storage, missing_is_denied=missing_is_denied):
        yield result


async def _read_rows(survey: Survey) -> _Rows:
    rows = _Rows()
    async for pairs in survey.read_all_records():
        rows.users.update(user for user, _ in pairs)
        rows.records.update(record for _, record in pairs)
    return rows


async def _missing_index(survey: Survey) -> AsyncIterator[CheckResult]:
    if await survey.has_slug_index() or (count := await survey.count_rows()) < _MANY_ROWS:
        return
    yield CheckResult(
        Severity.WARNING,
        "database",
        f"table 'plugin' has {count} rows and no index on plugin_slug: each public request for a"
        " bare slug that is not cached reads all of them",
        "CREATE INDEX ix_plugin_plugin_slug ON plugin (plugin_slug)",
    )


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
