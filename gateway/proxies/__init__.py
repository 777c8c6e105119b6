"""Configurations of reverse proxies, printed for the current settings. One proxy, one file.

What both must know of the gateway is in `Facts`; how a mode is said in a proxy's own words is
in its file. Text in, text out: nothing here asks the proxy or looks at the disk.
"""

import re
from dataclasses import dataclass
from string import Template
from typing import Literal

from gateway.disk.pinned_trees import pinnable_suffixes
from gateway.errors import ConfigurationError
from gateway.http.cache_policy import Audience, asset_cache_control
from gateway.http.media_types import media_type
from gateway.names import AssetPath
from gateway.settings import Settings

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
"""Fields of requests that are not handed on. They name a user, a file or a peer, which only the
proxy may do; or they ask for another protocol on the connection, which the gateway does not speak.
"""

# What nginx reads as something else inside quotes, and Caddy as a placeholder.
_NOT_IN_QUOTES = re.compile(r'["\\$`{}\x00-\x1f]')
# A location is written without quotes.
_NOT_IN_PATHS = re.compile(r"[\s;#]")
_PLUGIN = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"


class Text(Template):
    """A piece of a configuration, in which `%{name}` is filled in."""

    delimiter = "%"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a proxy's configuration says of this gateway."""

    mode: Mode
    upstream: str
    """`host:port`, or the absolute path of the Unix socket."""
    is_socket: bool
    api: str
    plugins: str
    """The absolute path of the storage root."""
    accel_prefix: str
    suffixes: tuple[str, ...]
    """Without dots; those that the proxy may send by itself."""
    content_types: dict[str, list[str]]
    """Suffixes by media type."""
    policies: dict[str, str]
    """Content-Security-Policy by suffix, where there is one."""
    has_public: bool
    has_signed: bool
    identity_header: str
    proxy_identifies: bool
    """Whether the proxy is to say who the user is."""
    origins: tuple[str, ...]
    public_pinned: str
    """Values of Cache-Control."""
    public_unpinned: str
    private_pinned: str
    private_unpinned: str

    @property
    def open_routes(self) -> list[str]:
        """Below `api`: those on which no credential counts."""
        routes = {"public": self.has_public, "signed": self.has_signed}
        return [name for name, is_there in routes.items() if is_there]

    @property
    def pinned(self) -> str:
        return f"{self.plugins}/cache/pinned"

    @property
    def ending(self) -> str:
        """A pattern for the end of a path."""
        return rf"\.(?:{'|'.join(self.suffixes)})"

    @property
    def api_pattern(self) -> str:
        return re.escape(self.api)

    @property
    def public_pinned_pattern(self) -> str:
        """Up to the tree: a slug, or a database id that ends in one."""
        return rf"{self.api_pattern}/public/plugins/(?:[0-9a-f]{{32}}_)?"

    @property
    def tree_pattern(self) -> str:
        """`{slug}/@{version}~{build}`."""
        return rf"{_PLUGIN}/@[A-Za-z0-9_][A-Za-z0-9_.+-]*~[0-9a-f]{{16}}"

    @property
    def plugin_pattern(self) -> str:
        return _PLUGIN


def facts_of(settings: Settings, mode: Mode) -> Facts:
    """Raises: ConfigurationError, where the settings do not go with the mode, or with a proxy."""
    _require_fit(settings, mode)
    server = settings.server
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)  # noqa: S104
    address = f"[{host}]:{server.port}" if ":" in host else f"{host}:{server.port}"
    upstream = str(settings.path(server.uds).absolute()) if server.uds else address
    types: dict[str, list[str]] = {}
    policies: dict[str, str] = {}
    for suffix in settings.http.allowed_suffixes:
        kind = media_type(AssetPath(f"x.{suffix}"))
        types.setdefault(kind.content_type, []).append(suffix)
        if kind.policy:
            policies[suffix] = kind.policy

    def cache_control(audience: Audience, *, pinned: bool) -> str:
        return asset_cache_control(
            audience,
            pinned=pinned,
            unpinned_max_age_s=settings.http.unpinned_max_age,
            dev=settings.dev.enabled,
        )

    return Facts(
        mode=mode,
        upstream=quotable("server.uds", upstream),
        is_socket=bool(server.uds),
        api=plain("http.api_prefix", settings.http.api_prefix),
        plugins=quotable("storage.root", str(settings.plugins_dir.resolve())),
        accel_prefix=plain("delivery.accel_prefix", settings.delivery.accel_prefix),
        suffixes=tuple(pinnable_suffixes(settings.http.allowed_suffixes)),
        content_types=types,
        policies=policies,
        has_public=settings.access.public,
        has_signed=bool(settings.identity.signed.secret),
        identity_header=settings.identity.proxy.header,
        proxy_identifies="proxy" in settings.identity.chain,
        origins=tuple(settings.http.cors_origins),
        public_pinned=cache_control(Audience.PUBLIC, pinned=True),
        public_unpinned=cache_control(Audience.PUBLIC, pinned=False),
        private_pinned=cache_control(Audience.PRIVATE, pinned=True),
        private_unpinned=cache_control(Audience.PRIVATE, pinned=False),
    )


def quotable(what: str, text: str) -> str:
    """Raises: ConfigurationError, where a proxy would not read `text` in quotes as it is."""
    return _writable(what, text, _NOT_IN_QUOTES, "quotes, backslashes, braces or dollar signs")


def plain(what: str, text: str) -> str:
    """Raises: ConfigurationError, where a proxy would not read `text` as one word."""
    return _writable(what, quotable(what, text), _NOT_IN_PATHS, "spaces, semicolons or '#'")


def _writable(what: str, text: str, forbidden: re.Pattern[str], names: str) -> str:
    if forbidden.search(text):
        raise ConfigurationError(
            f"{what}: {text!r} cannot be written into a proxy's configuration: expected no {names}"
        )
    return text


def remark_on(settings: Settings, mode: Mode) -> str | None:
    """What is to be set before the configuration does what it is for."""
    if mode in ("proxy", settings.delivery.mode):
        return None
    return f'delivery.mode is "{settings.delivery.mode}": this configuration wants "{mode}"'


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
