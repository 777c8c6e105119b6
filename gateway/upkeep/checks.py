"""What would stop a site from serving, found before a user finds it."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from enum import Enum

from gateway.core import Core
from gateway.database.tables import PluginRecord
from gateway.errors import ConfigurationError, SourceUnavailable
from gateway.names import UserId
from gateway.settings import Settings

# RFC 7518 §3.2: an HMAC key shorter than its hash output weakens it. A token that anybody may
# guess at needs no less.
_SHORT_SECRET_BYTES = 32
# To read as many takes about 10 ms.
_MANY_ROWS = 20_000
# Of 32 random hex digits, one in 28 million has fewer different ones; a repeated word has.
_FEW_CHARACTERS = 8


class Level(Enum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about the site; `hint` says what to do where something is to be done."""

    level: Level
    subject: str
    text: str
    hint: str = ""


def require_servable(settings: Settings) -> None:
    """What must be right before a server starts, without opening the database.

    Raises: ConfigurationError, one line.
    """
    Core(settings)  # keys, identity chain, driver
    if not settings.plugins_dir.is_dir():
        raise ConfigurationError(
            f"storage.root: no folder {settings.plugins_dir} (gateway init makes one)"
        )


async def check(settings: Settings) -> AsyncIterator[Finding]:
    """Findings, most basic first; ends early where the next ones would make no sense."""
    try:
        require_servable(settings)
        core = Core(settings)
    except ConfigurationError as error:
        yield Finding(Level.ERROR, "configuration", str(error))
        return
    chain = ", ".join(settings.identity.chain)
    yield Finding(Level.OK, "configuration", f"valid; users are known by: {chain}")
    for finding in _weak_secrets(settings):
        yield finding
    try:
        async with core.running(follow_changes=False):
            async for finding in _check_site(core):
                yield finding
    except ConfigurationError as error:
        yield Finding(Level.ERROR, "database", str(error))
    except SourceUnavailable as error:
        yield Finding(Level.ERROR, "database", error.reason)


def _weak_secrets(settings: Settings) -> Iterator[Finding]:
    """Secrets that are used and can be guessed."""
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
        yield Finding(Level.WARNING, "configuration", f"{name} {problem}", hint)


async def _check_site(core: Core) -> AsyncIterator[Finding]:
    storage = core.storage
    users: set[UserId] = set()
    held: Counter[PluginRecord] = Counter()
    async for pairs in core.database.read_all_records():
        users.update(user for user, _ in pairs)
        held.update(record for _, record in pairs)
    yield Finding(Level.OK, "database", f"{held.total()} plugin rows of {len(users)} users")
    finding = await _missing_index(core)
    if finding is not None:
        yield finding

    if not storage.shared.is_dir():
        yield Finding(Level.ERROR, "storage", f"no folder {storage.shared}", "gateway init")
        return
    published = sum(1 for _ in storage.published())
    yield Finding(Level.OK, "storage", f"{published} published versions in {storage.shared}")

    unusable = sum(held[record] for record in held if record.enabled and record.version is None)
    if unusable:
        yield Finding(Level.WARNING, "database", f"{unusable} enabled rows hold no usable version")
    missing = {
        (record.slug, record.version)
        for record in held
        if record.enabled
        and record.version is not None
        and not storage.is_published(record.slug, record.version)
    }
    for slug, version in sorted(missing):
        yield Finding(
            Level.WARNING,
            "storage",
            f"{slug} {version} has enabled rows but no folder",
            f"expected {storage.construct_shared_path(slug, version)}",
        )
    finding = _missing_files(core, users)
    if finding is not None:
        yield finding


async def _missing_index(core: Core) -> Finding | None:
    if not core.settings.access.public or await core.database.has_slug_index():
        return None
    rows = await core.database.count_rows()
    if rows < _MANY_ROWS:
        return None
    return Finding(
        Level.WARNING,
        "database",
        f"table 'plugin' has {rows} rows and no index on plugin_slug: each public request for a"
        " bare slug that is not cached reads all of them",
        "CREATE INDEX ix_plugin_plugin_slug ON plugin (plugin_slug)",
    )


def _missing_files(core: Core, users: set[UserId]) -> Finding | None:
    without = sum(1 for user in users if not core.storage.installations_file(user).is_file())
    if not without:
        return None
    text = f"{without} of {len(users)} users have rows but no installed_plugins.json"
    if core.settings.access.missing_installations == "allow":
        return Finding(Level.OK, "storage", f"{text}: the table alone decides for them")
    return Finding(
        Level.WARNING,
        "storage",
        f"{text}: they get nothing",
        'access.missing_installations = "allow" lets the table decide for them,'
        " gateway migrate --write-missing writes the files",
    )
