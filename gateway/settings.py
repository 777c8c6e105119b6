"""Every setting: its name, type, default, unit and help. Settings are read once and frozen.

There are three sources, and the later one wins: the defaults below, `config.toml`, the
environment (`GATEWAY__SECTION__KEY`). An unknown key or a wrong type stops the start with one
line. Relative paths (`storage.root`, a SQLite file, `identity.jwt.key_file`) start at the folder
of the configuration file, or at the working directory if there is no file.

pydantic-settings is not used: it ignores unknown `GATEWAY__…` variables, and a misspelt variable
must stop the start. Change config.toml and docs/reference/configuration.md together with this file;
tests compare them.
"""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_origin
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from gateway.errors import ConfigurationError
from gateway.names import parse_user_id

ENVIRONMENT_PREFIX = "GATEWAY__"
CONFIG_VARIABLE = "GATEWAY_CONFIG"
"""This variable names the configuration file, unless `--config` does."""

# fmt: off
DEFAULT_SUFFIXES = [
    "js", "mjs", "css", "map", "json", "wasm", "svg", "png", "jpg", "jpeg", "gif", "webp", "avif",
    "ico", "woff", "woff2", "ttf", "eot", "otf", "webmanifest",
]
# fmt: on

# Their values are never repeated in messages, which end in logs. A database URL has a password.
_SECRET_KEYS = ("secret", "token", "url")
_SCHEMES = {"sqlite": "sqlite", "postgresql": "postgresql", "postgres": "postgresql"}


def _database_url(value: str) -> str:
    scheme = urlsplit(value).scheme.partition("+")[0]
    if scheme not in _SCHEMES:
        raise ValueError("expected sqlite:///FILE or postgresql://USER@HOST/NAME")
    if scheme == "sqlite" and not value.partition("://")[2].partition("?")[0].strip("/"):
        raise ValueError("expected a file: sqlite:///gateway.db or sqlite:////var/lib/gateway.db")
    return value


def _api_prefix(value: str) -> str:
    if value and (not value.startswith("/") or value.endswith("/")):
        raise ValueError("expected a path that starts with '/' and does not end with one")
    return value


def _suffixes(values: list[str]) -> list[str]:
    cleaned = [value.removeprefix(".").lower() for value in values]
    for value in cleaned:
        if not value.isalnum():
            raise ValueError(f"expected suffixes such as 'js', got {value!r}")
    for value in ("py", "pyc", "pyo", "html", "htm", "xhtml"):
        if value in cleaned:
            raise ValueError(f"{value!r} is never served")
    return cleaned


def _origins(values: list[str]) -> list[str]:
    for value in values:
        parts = urlsplit(value)
        if (
            not parts.scheme
            or not parts.hostname
            or "@" in parts.netloc
            or value != f"{parts.scheme}://{parts.netloc}".lower()
        ):
            raise ValueError(
                "expected origins such as 'https://app.example', without a path or a slash at the"
                f" end, got {value!r} (credentials rule out '*')"
            )
    return values


def _user_ids(values: list[str]) -> list[str]:
    return [parse_user_id(value) for value in values]


def _networks(values: list[str]) -> list[str]:
    for value in values:
        if value != "unix":
            ip_network(value)  # ValueError names the value
    return values


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ServerSettings(_Section):
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(8000, ge=0, le=65535)
    """TCP port; 0 takes a free one."""
    workers: int = Field(1, ge=1, le=256)
    """Processes that serve."""
    uds: str = ""
    """Unix socket to listen on instead of host and port."""
    limit_concurrency: int = Field(0, ge=0)
    """Open connections at most, further ones get 503; 0 sets no limit."""
    max_head_bytes: int = Field(65536, ge=4096)
    """Bytes of a request line and its header fields; a larger head gets 431."""
    head_timeout: float = Field(10.0, gt=0)
    """Seconds in which a head must arrive, and then its body; a slower request gets 408."""
    send_timeout: float = Field(30.0, gt=0)
    """Seconds after which a client that reads nothing of its answer is disconnected."""
    drain_delay: float = Field(0.0, ge=0)
    """Seconds after SIGTERM in which all is still served, while /-/ready answers 503."""
    drain_timeout: float = Field(10.0, ge=0)
    """Seconds that running requests then get to end."""


class DatabaseSettings(_Section):
    url: Annotated[str, AfterValidator(_database_url)] = "sqlite:///gateway.db"
    """sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME."""
    min_size: int = Field(1, ge=1)
    """PostgreSQL connections that each worker keeps."""
    max_size: int = Field(4, ge=1)
    """PostgreSQL connections that each worker opens at most."""
    query_timeout: float = Field(2.0, gt=0)
    """Seconds after which a query counts as failed."""


class StorageSettings(_Section):
    root: str = "plugins"
    """The folder with shared/, users/ and cache/."""


class HttpSettings(_Section):
    api_prefix: Annotated[str, AfterValidator(_api_prefix)] = "/api/v1"
    """The beginning of the URLs of the application's API."""
    unpinned_max_age: int = Field(0, ge=0)
    """Seconds that a browser may use an unpinned file without asking; 0: it always asks."""
    pin_manifest: bool = True
    """Whether manifests give pinned bundle locations."""
    require_integrity: bool = False
    """Whether only versions are given out whose files are those that gateway publish recorded."""
    cors_origins: Annotated[list[str], AfterValidator(_origins)] = []
    """Origins whose pages may read answers, with credentials."""
    dictionaries: bool = True
    """Whether a browser that holds a version of a file gets the others as the difference from it
    (RFC 9842)."""
    https: bool = False
    """Whether browsers reach the gateway by HTTPS alone, also where no trusted proxy says so.
    Differences are sent by HTTPS, and to localhost."""
    allowed_suffixes: Annotated[list[str], AfterValidator(_suffixes)] = DEFAULT_SUFFIXES
    """File types that are served."""


class AccessSettings(_Section):
    changes: Literal["off", "admins", "users"] = "off"
    """Who may change over HTTP what users have: nobody, administrators for any user, or users for
    themselves too. "off": serving never opens the database for writing."""
    public: bool = True
    """Whether the public route exists, by which script tags load bundles without a credential."""
    missing_installations: Literal["deny", "allow"] = "deny"
    """What a user without an installed_plugins.json has: nothing (deny), or what the table says
    (allow)."""


class JwtSettings(_Section):
    algorithms: list[
        Literal["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "EdDSA"]
    ] = Field(["HS256"], min_length=1)
    """Accepted algorithms; a token with another one is refused."""
    secret: str = ""
    """Key of the HS algorithms."""
    key_file: str = ""
    """PEM file with the key of the RS, ES and EdDSA algorithms."""
    jwks_url: str = Field("", pattern=r"^(https?://.+)?$")
    """Where the public keys are published (RFC 7517)."""
    audience: str = ""
    """Required `aud`; empty: any."""
    issuer: str = ""
    """Required `iss`; empty: any."""


class ProxySettings(_Section):
    header: str = Field("X-User-Id", pattern=r"^[A-Za-z0-9-]+$")
    """Header in which a trusted proxy names the user."""
    trusted: Annotated[list[str], AfterValidator(_networks)] = ["127.0.0.1"]
    """Peers whose header is believed: addresses, networks, or 'unix' for the Unix socket."""


class SignedSettings(_Section):
    secret: str = ""
    """Key of the signed URLs; empty: the signed route does not exist."""
    max_ttl: int = Field(86400, gt=0)
    """Longest lifetime of a signed URL, in seconds."""


class IdentitySettings(_Section):
    chain: list[Literal["jwt", "proxy", "dev"]] = Field(["jwt"], min_length=1)
    """Ways to identify the user, tried in this order."""
    admin_users: Annotated[list[str], AfterValidator(_user_ids)] = []
    """User ids of administrators."""
    jwt: JwtSettings = JwtSettings()
    proxy: ProxySettings = ProxySettings()
    signed: SignedSettings = SignedSettings()


class AdminSettings(_Section):
    token: str = ""
    """Bearer token of administrators; empty: only admin_users are administrators."""


class LookupCacheSettings(_Section):
    ttl: float = Field(10.0, ge=0)
    """Seconds that an answer is used without asking its source again. They count from the last
    moment at which a change source confirmed that nothing had changed."""
    max_age: float = Field(300.0, ge=0)
    """Seconds after which the source is asked again in any case; at least ttl."""
    max_entries: int = Field(100_000, ge=1)
    """Entries at most; the least recently used one is evicted first."""
    negative_ttl: float = Field(1.0, ge=0)
    """Seconds that a negative answer is used."""
    stale_if_error: float = Field(60.0, ge=0)
    """Seconds after its ttl that an answer is used while its source fails (RFC 5861 §4)."""


class AssetCacheSettings(_Section):
    max_bytes: int = Field(256 * 2**20, ge=0)
    """Bytes of files in memory at most; 0: every file is read from disk."""
    max_file_bytes: int = Field(8 * 2**20, ge=0)
    """Larger files are streamed from disk."""
    revalidate: float = Field(2.0, ge=0)
    """Seconds after which a file and its folder are checked again for changes in place."""


class DifferenceCacheSettings(_Section):
    max_bytes: int = Field(256 * 2**20, ge=0)
    """Bytes of differences between versions on disk at most; 0: none is made ahead or kept."""


class CacheSettings(_Section):
    installations: LookupCacheSettings = LookupCacheSettings()
    versions: LookupCacheSettings = LookupCacheSettings()
    assets: AssetCacheSettings = AssetCacheSettings()
    differences: DifferenceCacheSettings = DifferenceCacheSettings()


class DeliverySettings(_Section):
    mode: Literal["direct", "accel", "authorize"] = "direct"
    """Who sends the bytes: the gateway (direct), or the proxy in front of it: the gateway names
    each file (accel), or permits a plugin (authorize)."""
    accel_prefix: Annotated[str, AfterValidator(_api_prefix)] = "/_plugin_files"
    """Internal location of the proxy, for `accel`."""
    authorize_ttl: int = Field(5, ge=0)
    """Seconds that the proxy may use a permission, in `authorize`; 0: it asks every time."""


class FreshnessSettings(_Section):
    sqlite_poll: float = Field(0.1, ge=0)
    """Seconds between reads of the SQLite file's change counter; 0: never."""
    watch_users: bool = True
    """Whether the users' JSON files are watched."""
    postgres_channel: str = Field("gateway_plugin", pattern=r"^[a-z_][a-z0-9_]{0,62}$")
    """Channel of LISTEN and NOTIFY."""


class LifecycleSettings(_Section):
    retention_days: float = Field(7, ge=0)
    """Days that a version is kept after its last row was removed."""


def _share(value: Any, validate: ValidatorFunctionWrapHandler) -> bool | float:
    try:
        share: bool | float = validate(value)
    except ValidationError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError("expected true, false, or a share from 0 to 1")
    return share


class ObservabilitySettings(_Section):
    access_log: Annotated[bool | float, WrapValidator(_share)] = False
    """Which answers are logged: false: none; true: all; a number from 0 to 1: that share of them,
    and every refusal (status 400 or more)."""
    log_format: Literal["text", "json"] = "text"
    """Plain lines, or one JSON object per line."""
    debug_headers: bool = False
    """Whether answers carry Cache-Status and Server-Timing."""
    traces: bool = False
    """Whether requests of the cold path are traced and sent to an OpenTelemetry collector, as the
    variables `OTEL_*` say."""
    metrics: bool = True
    """Whether /-/metrics exists."""
    metrics_allow: Annotated[list[str], AfterValidator(_networks)] = ["127.0.0.0/8", "::1"]
    """Peers that may read /-/metrics without a credential: addresses, networks, or 'unix'."""


class DevSettings(_Section):
    enabled: bool = False
    """Development, on loopback only: nothing is `immutable`, changes show at once, and pages of any
    localhost origin may read answers."""


class Settings(_Section):
    """All settings, by section. `Settings()` has the defaults; `load_settings` reads sources."""

    server: ServerSettings = ServerSettings()
    database: DatabaseSettings = DatabaseSettings()
    storage: StorageSettings = StorageSettings()
    http: HttpSettings = HttpSettings()
    access: AccessSettings = AccessSettings()
    identity: IdentitySettings = IdentitySettings()
    admin: AdminSettings = AdminSettings()
    cache: CacheSettings = CacheSettings()
    delivery: DeliverySettings = DeliverySettings()
    freshness: FreshnessSettings = FreshnessSettings()
    lifecycle: LifecycleSettings = LifecycleSettings()
    observability: ObservabilitySettings = ObservabilitySettings()
    dev: DevSettings = DevSettings()

    _base: Path = PrivateAttr(default_factory=Path.cwd)

    def based_at(self, folder: Path) -> Self:
        """The same settings, with relative paths that start at `folder`."""
        copy = self.model_copy()
        copy._base = folder.resolve()
        return copy

    def path(self, text: str) -> Path:
        return self._base / text

    @property
    def plugins_dir(self) -> Path:
        return self.path(self.storage.root)

    @property
    def database_dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return _SCHEMES[urlsplit(self.database.url).scheme.partition("+")[0]]

    @property
    def database_name(self) -> str:
        """Which database it is, for people: without user and password."""
        if self.database_dialect == "sqlite":
            return f"SQLite, {self.sqlite_file}"
        url = urlsplit(self.database.url)
        port = f":{url.port}" if url.port else ""
        return f"PostgreSQL, {url.hostname or 'local'}{port}{url.path}"

    @property
    def sqlite_file(self) -> Path:
        """The database file; only meaningful for the dialect sqlite."""
        text = self.database.url.partition("://")[2].partition("?")[0]
        return self.path(text.removeprefix("/"))


def load_settings(
    config_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Settings:
    """Settings from a file, the environment and `overrides` (section → key → value).

    Without `config_file`, the variable `GATEWAY_CONFIG` names the file; otherwise it is
    `config.toml` in the working directory, if that exists.

    Raises: ConfigurationError, one line that names each wrong key and what was expected.
    """
    environ = os.environ if environ is None else environ
    config_file = config_file or find_config_file(environ)
    values = _read_toml(config_file) if config_file else {}
    mistakes: list[_Mistake] = []
    variables: dict[str, str] = {}
    for name, keys, value in _environment_values(environ, mistakes):
        _place(values, keys, value)
        variables[".".join(keys)] = f"environment: {name}"
    for section, keys_of_section in (overrides or {}).items():
        for key, value in keys_of_section.items():
            _place(values, [section, key], value)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        mistakes += _mistakes(error, variables, str(config_file or "settings"))
    if mistakes:
        raise ConfigurationError(_one_line(mistakes))
    return settings.based_at(config_file.parent if config_file else Path.cwd())


def describe_no_site(settings: Settings) -> bool:
    """Whether nothing is set, and the working directory has no database as the defaults name it."""
    return settings == Settings().based_at(Path.cwd()) and not settings.sqlite_file.exists()


def find_config_file(environ: Mapping[str, str]) -> Path | None:
    """The file of `load_settings` if none is named; None: there is none."""
    if named := environ.get(CONFIG_VARIABLE):
        return Path(named)
    usual = Path("config.toml")
    return usual if usual.is_file() else None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not valid TOML: {error}") from None


_Mistake = tuple[str, str]
"""Where it is, a file or a variable, and what is wrong."""


def _environment_values(
    environ: Mapping[str, str], mistakes: list[_Mistake]
) -> Iterator[tuple[str, list[str], Any]]:
    """(name, key path, typed value) of each variable that begins with `GATEWAY__`.

    Appends those that are wrong to `mistakes`.
    """
    types = setting_types()
    for name, text in environ.items():
        if not name.upper().startswith(ENVIRONMENT_PREFIX):
            continue
        keys = name[len(ENVIRONMENT_PREFIX) :].lower().split("__")
        annotation = types.get(".".join(keys))
        if annotation is None:
            mistakes.append((f"environment: {name}", f"unknown setting{_hint(keys)}"))
            continue
        try:
            value = _typed(annotation, text)
        except ValidationError as error:
            problem = f"{_message(error.errors()[0])}, got {text!r}"
            mistakes.append((f"environment: {name}", problem))
            continue
        yield name, keys, value


def _typed(annotation: Any, text: str) -> Any:
    """`text` as a value of that type. A list is a JSON array, or items separated by commas."""
    if get_origin(annotation) is not list:
        return TypeAdapter(annotation).validate_strings(text, strict=False)
    if text.lstrip().startswith("["):
        return TypeAdapter(annotation).validate_json(text)
    return [item.strip() for item in text.split(",") if item.strip()]


def setting_types(model: type[BaseModel] = Settings, prefix: str = "") -> dict[str, Any]:
    """The type of every key, by `section.key`, in order."""
    types: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            types |= setting_types(field.annotation, f"{prefix}{name}.")
        else:
            types[prefix + name] = field.annotation
    return types


def _place(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = values.setdefault(key, {})
        if not isinstance(inner, dict):
            return  # the file has a wrong type here; validation will say so
        values = inner
    values[keys[-1]] = value


def _mistakes(
    error: ValidationError, variables: Mapping[str, str], source: str
) -> Iterator[_Mistake]:
    """`variables`: the origin of each key that the environment sets."""
    for one in error.errors():
        keys = [str(key) for key in one["loc"]]
        key = ".".join(keys)
        if one["type"] == "extra_forbidden":
            yield source, f"{key}: unknown setting{_hint(keys)}"
        else:
            got = "" if keys[-1] in _SECRET_KEYS else f", got {one['input']!r}"
            yield variables.get(key, source), f"{key}: {_message(one)}{got}"


def _one_line(mistakes: Sequence[_Mistake]) -> str:
    """All mistakes; each place is named once, before those in it."""
    by_place: dict[str, list[str]] = {}
    for place, problem in mistakes:
        by_place.setdefault(place, []).append(problem)
    return "; ".join(f"{place}: {'; '.join(problems)}" for place, problems in by_place.items())


def _message(error: Any) -> str:
    text: str = error["msg"]
    text = text.removeprefix("Value error, ")
    return text[0].lower() + text[1:]


def _hint(keys: list[str]) -> str:
    close = difflib.get_close_matches(".".join(keys), list(setting_types()), n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""
