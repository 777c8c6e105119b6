"""What commands take: the settings, and names that are parsed or refused with one line."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click
from click.shell_completion import CompletionItem

from gateway.disk.storage import PluginStorage
from gateway.errors import ConfigurationError
from gateway.names import (
    parse_new_version,
    parse_or_none,
    parse_slug,
    parse_source_url,
    parse_user_id,
)
from gateway.settings import (
    ENVIRONMENT_PREFIX,
    Settings,
    describe_no_site,
    find_config_file,
    load_settings,
)

P = ParamSpec("P")
R = TypeVar("R")

_PATIENCE: Mapping[str, Mapping[str, Any]] = {"database": {"query_timeout": 60.0}}


def is_site_described(config_file: Path | None) -> bool:
    """Whether a file or a variable says anything. Defaults alone would mean ./plugins."""
    has_file = config_file is not None or find_config_file(os.environ) is not None
    return has_file or has_variables()


def has_variables() -> bool:
    """Whether the environment sets anything, such as `GATEWAY__STORAGE__ROOT`."""
    return any(name.startswith(ENVIRONMENT_PREFIX) for name in os.environ)


def load_site(config_file: Path | None, overrides: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Raises: ConfigurationError, also if nothing describes a site: in the wrong folder, a command
    would make a second one there."""
    if not is_site_described(config_file):
        raise _no_site(f"no config.toml in {Path.cwd()}")
    settings = load_settings(config_file, overrides=overrides)
    if config_file is None and describe_no_site(load_settings()):
        raise _no_site(f"config.toml in {Path.cwd()} sets nothing, and there is no database")
    return settings


def _no_site(why: str) -> ConfigurationError:
    return ConfigurationError(
        f"no site here: {why}; go to the site's folder, name its file with --config or"
        " GATEWAY_CONFIG, or make a site: gateway init --with-secret FOLDER"
    )


def pass_site(command: Callable[Concatenate[Settings, P], R]) -> Callable[P, R]:
    """Passes the site's settings to the command as its first argument."""
    return _passing(command, load_site, {})


def pass_patient_site(command: Callable[Concatenate[Settings, P], R]) -> Callable[P, R]:
    """The site's settings, with a long query timeout: the command asks about many users at once,
    and no page waits for it."""
    return _passing(command, load_site, _PATIENCE)


def pass_settings(command: Callable[Concatenate[Settings, P], R]) -> Callable[P, R]:
    """The settings, for a command that also works where no site is: by the defaults."""
    return _passing(command, _load_any, {})


def _load_any(config_file: Path | None, overrides: Mapping[str, Mapping[str, Any]]) -> Settings:
    return load_settings(config_file, overrides=overrides)


def _passing(
    command: Callable[Concatenate[Settings, P], R],
    load: Callable[[Path | None, Mapping[str, Mapping[str, Any]]], Settings],
    overrides: Mapping[str, Mapping[str, Any]],
) -> Callable[P, R]:
    @wraps(command)
    def with_settings(*args: P.args, **kwargs: P.kwargs) -> R:
        config_file: Path | None = click.get_current_context().obj
        return command(load(config_file, overrides), *args, **kwargs)

    return with_settings


class Name(click.ParamType[Any]):
    """A text of the command line that one of the parsers in names.py accepts."""

    def __init__(self, name: str, parse: Callable[[object], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _SlugName(Name):
    """Shells complete the slugs of plugins/shared. No database is opened for that."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        names: list[str] = []
        with suppress(ConfigurationError, OSError):
            settings = load_settings(ctx.find_root().params["config_file"])
            names = PluginStorage(settings.plugins_dir).shared.names()
        slugs = (name for name in sorted(names) if parse_or_none(parse_slug, name))
        return [CompletionItem(slug) for slug in slugs if slug.startswith(incomplete)]


USER = Name("user id", parse_user_id)
SLUG = _SlugName("slug", parse_slug)
VERSION = Name("version", parse_new_version)
SOURCE_URL = Name("url", parse_source_url)


def address_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of `serve` that are settings of `[server]`."""
    for option in (
        click.option("--workers", type=click.IntRange(1, 256), help="Processes that serve."),
        click.option("--uds", metavar="PATH", help="Unix socket to listen on instead."),
        click.option("--port", type=click.IntRange(0, 65535), help="TCP port; 0: a free one."),
        click.option("--host", help="Address to listen on."),
    ):
        command = option(command)
    return command


def server_overrides(options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What `address_options` override in the settings."""
    server = {name: value for name, value in options.items() if value is not None}
    if "uds" in server:
        server["uds"] = str(Path(server["uds"]).absolute())
    return {"server": server}


def user_option(*, required: bool, help_text: str | None = None) -> Callable[[Any], Any]:
    help_text = help_text or ("The user's id." if required else "Only this user.")
    return click.option("--user", type=USER, required=required, metavar="ID", help=help_text)
