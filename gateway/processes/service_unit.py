"""A systemd unit, printed for the current settings: it may write what serving writes, and no more.

That is `plugins/cache` while nobody changes over HTTP what users have; otherwise also what a change
writes: the users' files, the audit log, and the folder of the SQLite file. `plugins/shared` stays
read-only in any case, so no request can change what browsers run.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.disk.storage import PluginStorage
from gateway.errors import ConfigurationError
from gateway.settings import Settings

# Others are specifiers, quotes or variables of systemd or of the shell, or end a word.
_PLAIN = re.compile(r"[A-Za-z0-9@_+=:,./-]+")
_HOMES = tuple(map(Path, ("/home", "/root", "/run/user")))
"""ProtectHome=yes hides them."""
_TEMPORARY = tuple(map(Path, ("/tmp", "/var/tmp")))  # noqa: S108  # nothing is made there
"""PrivateTmp=yes hides them."""
_RUNTIME = Path("/run")
# The supervisor needs less than that to end after its workers.
_MORE_THAN_DRAINING_S = 10
_MODES = {"audit": 700}
"""Of folders in `plugins/` that are made for the service, where it is not 755."""

_UNIT = """\
# `gateway service-unit` printed this for the gateway's settings. Print it again when they change:
#     gateway service-unit > /etc/systemd/system/gateway.service
#     systemctl daemon-reload && systemctl enable --now gateway
[Unit]
Description=Plugin-asset gateway
Wants=network-online.target
After={after}
RequiresMountsFor={mounts}
# It is started again for as long as the database or the disk is away.
StartLimitIntervalSec=0

[Service]
Type=exec
User={user}
Group={group}
WorkingDirectory={directory}
# {variables}
EnvironmentFile={environment_file}
{prepared}
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
KillMode=mixed
# More than server.drain_delay + server.drain_timeout.
TimeoutStopSec={stop_s}
Restart=on-failure
RestartSec=5
# Each connection takes one file descriptor, each file being sent another.
LimitNOFILE=65536

# {reason}
{access}
ProtectSystem=strict
ProtectHome={protect_home}
PrivateTmp={private_tmp}
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
NoNewPrivileges=yes
{capabilities}
LockPersonality=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True)
class Service:
    """How the unit runs `gateway serve`. All paths are absolute."""

    user: str
    group: str
    environment_file: Path
    command: Sequence[str]
    """The program with its arguments."""
    directory: Path
    """The working directory."""
    needed: Sequence[Path]
    """Files and folders that it reads beside the site, such as the interpreter's."""
    variables: Sequence[str]
    """Names of the settings that the environment holds now. The unit's file must have them."""


def service_unit(settings: Settings, service: Service) -> str:
    """Raises: ConfigurationError, if something cannot be written into a unit."""
    written = _written(settings)
    kept = [path for path in _kept(settings, service) if _is_below(path, written)]
    needed = [*written, service.directory, settings.plugins_dir, *service.needed]
    is_postgres = settings.database_dialect == "postgresql"
    return _UNIT.format(
        after="network-online.target" + (" postgresql.service" if is_postgres else ""),
        mounts=" ".join(map(_plain, written)),
        user=_plain(service.user),
        group=_plain(service.group),
        directory=_plain(service.directory),
        variables=_secrets(service.variables),
        environment_file=_plain(service.environment_file),
        prepared="\n".join(_prepared(written, settings, service)),
        command=" ".join(map(_plain, service.command)),
        stop_s=_stop_s(settings),
        reason=_reason(settings),
        access="\n".join(_access(settings, written, kept)),
        protect_home="read-only" if any(_is_below(path, _HOMES) for path in needed) else "yes",
        private_tmp="no" if any(_is_below(path, _TEMPORARY) for path in needed) else "yes",
        capabilities="\n".join(_capabilities(settings)),
    )


def _written(settings: Settings) -> list[Path]:
    """The folders that serving writes to."""
    storage = PluginStorage(settings.plugins_dir.resolve())
    folders = [storage.cache.path]
    if settings.access.changes != "off":
        folders += [storage.users.path, storage.audit.folder]
        if settings.database_dialect == "sqlite":  # it makes its journal beside the file
            folders.append(settings.sqlite_file.resolve().parent)
    if settings.server.uds and not _is_below(_socket(settings), [_RUNTIME]):
        folders.append(_socket(settings).parent)
    return folders


def _kept(settings: Settings, service: Service) -> list[Path]:
    """What must not be written to, even if it is in a folder that is."""
    return [settings.plugins_dir.resolve(), *service.needed]


def _access(settings: Settings, written: Sequence[Path], kept: Sequence[Path]) -> Iterator[str]:
    yield f"ReadWritePaths={' '.join(map(_plain, written))}"
    if kept:  # the more exact path counts
        yield f"ReadOnlyPaths={' '.join(map(_plain, kept))}"
    if settings.server.uds and _is_below(_socket(settings), [_RUNTIME]):
        folder = _socket(settings).parent.relative_to(_RUNTIME)
        if folder == Path():
            raise ConfigurationError(
                "server.uds: expected a folder of its own, such as /run/gateway/gateway.sock"
            )
        yield f"RuntimeDirectory={_plain(folder)}"
        yield "RuntimeDirectoryMode=0750"


def _prepared(written: Sequence[Path], settings: Settings, service: Service) -> Iterator[str]:
    """Commands of root that make missing folders: what ReadWritePaths names must exist."""
    for folder in written:
        if folder.parent == settings.plugins_dir.resolve():
            path, mode = _plain(folder), _MODES.get(folder.name, 755)
            owner = f"-o {_plain(service.user)} -g {_plain(service.group)}"
            yield (
                f"ExecStartPre=+/bin/sh -c"
                f" 'test -d {path} || /usr/bin/install -d -m {mode} {owner} {path}'"
            )


def _stop_s(settings: Settings) -> int:
    server = settings.server
    return math.ceil(server.drain_delay + server.drain_timeout) + _MORE_THAN_DRAINING_S


def _reason(settings: Settings) -> str:
    if settings.access.changes == "off":
        return 'access.changes = "off": serving writes to plugins/cache alone.'
    return f'access.changes = "{settings.access.changes}": a change writes to these folders.'


def _secrets(variables: Sequence[str]) -> str:
    if not variables:
        return "Secrets, such as GATEWAY__IDENTITY__JWT__SECRET=…, for root and this user alone."
    return f"It must hold these, which the environment had: {', '.join(variables)}."


def _capabilities(settings: Settings) -> Iterator[str]:
    is_privileged = not settings.server.uds and 0 < settings.server.port < 1024
    name = "CAP_NET_BIND_SERVICE" if is_privileged else ""
    yield f"CapabilityBoundingSet={name}"
    if is_privileged:
        yield f"AmbientCapabilities={name}"


def _socket(settings: Settings) -> Path:
    return settings.path(settings.server.uds).absolute()


def _is_below(path: Path, folders: Sequence[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _plain(text: str | Path) -> str:
    """Raises: ConfigurationError, if systemd or a shell would read it differently."""
    if not _PLAIN.fullmatch(str(text)):
        raise ConfigurationError(
            f"{str(text)!r} cannot be written into a unit:"
            " expected letters, digits, and none of spaces, quotes, '%', '$', ';'"
        )
    return str(text)
