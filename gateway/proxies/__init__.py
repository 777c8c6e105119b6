"""Configurations of reverse proxies, printed for the current settings. One proxy, one file.

`Upstream` has all that a proxy must know of the gateway. The file of a proxy writes it in the
proxy's own language. No code here connects to a proxy or reads the disk.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Literal, NamedTuple

from gateway.disk.pinned_trees import pinnable_suffixes
from gateway.disk.storage import PluginStorage
from gateway.errors import ConfigurationError
from gateway.http.cache_policy import Audience, Lifetimes, asset_lifetimes
from gateway.http.media_types import MediaType, media_type
from gateway.identity.peers import UNIX_SOCKET, TrustedPeers, is_loopback, is_on_socket
from gateway.names import AssetPath
from gateway.settings import ServerSettings, Settings

Mode = Literal["proxy", "accel", "authorize"]
MODES: tuple[Mode, ...] = ("proxy", "accel", "authorize")

NEVER_FROM_CLIENTS = (
    "X-Dev-User",
    "X-Plugin-Root",
    "X-Plugin-Tree",
    "X-Accel-Redirect",
    "X-Accel-Expires",
    "X-Sendfile",
    "Forwarded",
    "Upgrade",
)
"""The proxy removes these fields from requests. They name a user, a file or a peer, which only the
proxy may do; or they ask for another protocol, which the gateway does not speak.
"""

# Characters that mean something to nginx or Caddy inside quotes.
_NOT_IN_QUOTES = re.compile(r'["\\$`{}\x00-\x1f]')
# Characters that end a word: a location is written without quotes.
_NOT_IN_PATHS = re.compile(r"[\s;#]")
PLUGIN = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
"""A pattern for a slug or a database id."""
PIN = "@[A-Za-z0-9_][A-Za-z0-9_.+-]*~[0-9a-f]{16}"
"""A pattern for `@{version}~{build}`."""


class Text(Template):
    """A piece of a configuration, in which `%{name}` is filled in."""

    delimiter = "%"


class Certificate(NamedTuple):
    """Absolute paths of PEM files."""

    chain: str
    key: str


class Entrance(NamedTuple):
    """Where clients reach the proxy, by default at the usual port under any name."""

    listen: str | None = None
    """`[ADDRESS:]PORT`"""
    server_name: str | None = None
    tls: Certificate | None = None
    scrapers: tuple[str, ...] = ()
    """Networks of the clients that may read the metrics."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """A gateway, and the application beside it, as a proxy in front of them sees them."""

    mode: Mode
    address: str
    """`host:port`, or the absolute path of the Unix socket."""
    is_socket: bool
    api: str
    plugins: str
    """The absolute path of the storage root."""
    accel_prefix: str
    suffixes: tuple[str, ...]
    """Without dots: the types of files that the proxy may send by itself."""
    media_types: dict[str, MediaType]
    """By suffix."""
    has_public: bool
    has_signed: bool
    identity_header: str
    proxy_identifies: bool
    """Whether the proxy is to say who the user is."""
    takes_changes: bool
    """Whether anyone may change over HTTP what users have."""
    origins: tuple[str, ...]
    public: Lifetimes
    private: Lifetimes
    dictionaries: bool
    """Whether browsers may use a version of a file as the dictionary of others."""
    https_alone: bool
    """Whether browsers reach the proxy by HTTPS alone, even if another proxy speaks it for us."""
    application: str = ""
    """`host:port` of the application that answers the rest of the host; empty: there is none."""

    @property
    def content_types(self) -> dict[str, list[str]]:
        """Suffixes by content type."""
        types: dict[str, list[str]] = {}
        for suffix, kind in self.media_types.items():
            types.setdefault(kind.content_type, []).append(suffix)
        return types

    @property
    def policies(self) -> dict[str, str]:
        """Content-Security-Policy by suffix, for those that have one."""
        return {suffix: kind.policy for suffix, kind in self.media_types.items() if kind.policy}

    @property
    def open_routes(self) -> list[str]:
        """The routes below `api` on which credentials do not count."""
        routes = {"public": self.has_public, "signed": self.has_signed}
        return [name for name, exists in routes.items() if exists]

    @property
    def pinned(self) -> str:
        return PluginStorage(Path(self.plugins)).cache.pinned_trees.as_posix()

    @property
    def api_pattern(self) -> str:
        return re.escape(self.api)

    @property
    def public_pinned_pattern(self) -> str:
        """A pattern for the path before the tree, which begins with the slug. The id of a plugin in
        the database is `<user>_<slug>`.
        """
        return rf"{self.api_pattern}/public/plugins/(?:[0-9a-f]{{32}}_)?"

    @property
    def tree_pattern(self) -> str:
        """A pattern for `{slug}/@{version}~{build}`."""
        return f"{PLUGIN}/{PIN}"


def upstream_of(settings: Settings, mode: Mode, application: str = "") -> Upstream:
    """Raises: ConfigurationError, if the settings do not fit the mode, or a proxy."""
    _require_fit(settings, mode)
    http, identity = settings.http, settings.identity
    unpinned_s, dev = http.unpinned_max_age, settings.dev.enabled
    public, private = (
        asset_lifetimes(audience, unpinned_max_age_s=unpinned_s, dev=dev)
        for audience in (Audience.PUBLIC, Audience.PRIVATE)
    )
    suffixes = tuple(pinnable_suffixes(http.allowed_suffixes))
    media_types = {name: media_type(AssetPath(f"x.{name}")) for name in http.allowed_suffixes}
    has_dictionaries = any(media_types[suffix].compressible for suffix in suffixes)
    return Upstream(
        mode=mode,
        address=_writable("server.uds", address_of(settings)),
        is_socket=bool(settings.server.uds),
        api=_writable("http.api_prefix", http.api_prefix, quoted=False),
        plugins=_writable("storage.root", str(settings.plugins_dir.resolve())),
        accel_prefix=_writable(
            "delivery.accel_prefix", settings.delivery.accel_prefix, quoted=False
        ),
        suffixes=suffixes,
        media_types=media_types,
        has_public=settings.access.public,
        has_signed=bool(identity.signed.secret),
        identity_header=identity.proxy.header,
        proxy_identifies="proxy" in identity.chain,
        takes_changes=settings.access.changes != "off",
        origins=tuple(http.cors_origins),
        public=public,
        private=private,
        dictionaries=http.dictionaries and not dev and has_dictionaries,
        https_alone=http.https,
        application=application,
    )


def address_of(settings: Settings) -> str:
    """`host:port` or the absolute path of the Unix socket, for a program of this machine."""
    server = settings.server
    if server.uds:
        return str(settings.path(server.uds).absolute())
    host = _host_of(server)
    return f"[{host}]:{server.port}" if ":" in host else f"{host}:{server.port}"


def _host_of(server: ServerSettings) -> str:
    """Where a program of this machine finds a server that may listen on all addresses."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)  # noqa: S104


def _writable(what: str, text: str, *, quoted: bool = True) -> str:
    """Returns `text`. Raises: ConfigurationError, if a proxy would read it differently."""
    if _NOT_IN_QUOTES.search(text):
        forbidden = "quotes, backslashes, braces or dollar signs"
    elif not quoted and _NOT_IN_PATHS.search(text):
        forbidden = "spaces, semicolons or '#'"
    else:
        return text
    raise ConfigurationError(
        f"{what}: {text!r} cannot be written into a proxy's configuration: expected no {forbidden}"
    )


def remarks_on(settings: Settings, mode: Mode, entrance: Entrance) -> Iterator[str]:
    """Warnings for a configuration that works only with other settings."""
    if mode not in ("proxy", settings.delivery.mode):
        yield f'delivery.mode is "{settings.delivery.mode}": this configuration wants "{mode}"'
    if not entrance.scrapers:
        return
    if not settings.observability.metrics:
        yield "observability.metrics is false: there are no metrics that --metrics-allow could open"
    elif not _lets_proxy_scrape(settings):
        peer = UNIX_SOCKET if settings.server.uds else _host_of(settings.server)
        yield f'observability.metrics_allow has no "{peer}": the gateway lets the proxy read none'


def _lets_proxy_scrape(settings: Settings) -> bool:
    """Also true if the gateway is on another host, where it sees an address that we do not know."""
    server, host = settings.server, _host_of(settings.server)
    listener = (server.uds, None) if server.uds else (host, server.port)
    proxy = {"client": (host, 0), "server": listener}
    is_known = is_on_socket(proxy) or is_loopback(proxy)
    return not is_known or proxy in TrustedPeers(settings.observability.metrics_allow)


def _require_fit(settings: Settings, mode: Mode) -> None:
    if mode == "proxy" and settings.delivery.mode == "accel":
        raise ConfigurationError(
            'delivery.mode = "accel" leaves the files to the proxy: expected --mode accel'
        )
    if mode == "accel" and not settings.delivery.accel_prefix:
        raise ConfigurationError(
            "delivery.accel_prefix: expected a path such as /_plugin_files"
            " (empty, the gateway sends X-Sendfile, which neither nginx nor Caddy knows)"
        )
    if "dev" in settings.identity.chain:
        raise ConfigurationError(
            "identity.chain: 'dev' lets anyone be anyone, and behind a proxy everyone is loopback"
        )
    if not settings.server.uds and not settings.server.port:
        raise ConfigurationError("server.port: expected the port that the proxy is to ask, not 0")
