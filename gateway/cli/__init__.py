"""The commands of `gateway`, without logic of their own. Bad input: exit code 2 and one line.

A command's module is imported when the command is called: `gateway --help` and the completion of
a shell need none of them, and no command needs those of the others.
"""

import gc as collector  # gateway.cli.gc is a command
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.exceptions import NoArgsIsHelpError

from gateway import __version__
from gateway.errors import GatewayError

GROUPS = {
    "First steps": (
        ("demo", "demo", "Serves two plugins to three users, on a page to upgrade them."),
        ("init", "init", "Makes config.toml, plugins/ and the database in DIR."),
        ("publish", "publishing", "Publishes a folder, .zip or .tar.gz for all users."),
        ("install", "installing", "Gives a published plugin to a user."),
        ("serve", "serving", "Serves the site that the configuration describes."),
        ("token", "credentials", "Prints a bearer token for a user."),
    ),
    "Every day": (
        ("list", "listing", "Lists which user has which plugin."),
        ("update", "installing", "Moves a user to another version of a plugin."),
        ("rollback", "installing", "Moves a user back to an earlier version of a plugin."),
        ("disable", "installing", "Disables a plugin that a user has."),
        ("enable", "installing", "Enables a plugin that a user has."),
        ("uninstall", "installing", "Takes a plugin from a user, with their configuration of it."),
        ("explain", "explain", "Shows why a file is served or refused, and what to do."),
    ),
    "For developers of plugins": (
        ("new", "new", "Makes a plugin to begin with, in the new folder NAME."),
        ("dev", "dev", "Serves what a bundler writes as one user's plugin."),
        ("lint", "linting", "Says what will not work, or not work well, in a plugin."),
    ),
    "For operators": (
        ("check", "check", "Says what would stop the site from serving."),
        ("service-unit", "service_unit", "Prints a systemd unit that runs `gateway serve`."),
        ("proxy-config", "proxy_config", "Prints a configuration of nginx, Caddy or Vite's proxy."),
        ("doctor", "doctor", "Compares database, JSON files and shared/ with each other."),
        ("migrate", "migration", "Makes users' JSON files minimal."),
        ("audit", "audit", "Shows who changed what, and what was refused."),
        ("cache", "cache", "Shows or purges the caches of running gateways."),
        ("gc", "gc", "Lists versions that no user has; --apply removes them."),
        ("sign", "credentials", "Prints the beginning of a signed URL."),
        ("openapi", "openapi", "Prints the OpenAPI document of the HTTP API."),
        ("completion", "completion", "Prints a script by which a shell completes commands."),
    ),
}  # fmt: skip
"""Title → name, module and first sentence of the help; all in the order of use."""
_OTHER_WORDS = {
    "add": "install", "create": "init", "delete": "uninstall", "downgrade": "rollback",
    "remove": "uninstall", "run": "serve", "start": "serve", "status": "check", "up": "serve",
    "upgrade": "update", "users": "list", "why": "explain",
}  # fmt: skip
"""What people type for a command, and its name."""

_MODULES = {name: module for group in GROUPS.values() for name, module, _ in group}


class _BadInput(click.ClickException):
    exit_code = 2


def load_command(name: str) -> click.Command:
    """The command of this name, after importing its module."""
    values = vars(import_module(f"gateway.cli.{_MODULES[name]}")).values()
    return next(it for it in values if isinstance(it, click.Command) and it.name == name)


class _Group(click.Group):
    """Imports the command that is called. Turns errors into one line and exit code 2.

    Help and completion have the commands in the order of their use.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, _MODULES))
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{width}}", text) for name, _, text in commands])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if (meant := _OTHER_WORDS.get(args[0])) is not None:
            ctx.fail(f"No such command '{args[0]}'. Did you mean '{meant}'?")
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None:
            command = load_command(name)
        if not collector.isenabled():  # in a process of its own: see __main__.py
            collector.freeze()
            collector.enable()
        return name, command, rest

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _in_one_line():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with _in_one_line():
            return super().invoke(ctx)


@contextmanager
def _in_one_line() -> Iterator[None]:
    try:
        yield
    except NoArgsIsHelpError:  # no mistake: it shows the help
        raise
    except click.UsageError as error:
        message = " ".join(error.format_message().split())
        command = error.ctx.command_path if error.ctx else "gateway"
        raise _BadInput(f"{message.removesuffix('.')} ({command} --help)") from None
    except GatewayError as error:
        raise _BadInput(str(error)) from None
    except BrokenPipeError:  # the reader of our output ended; click handles that
        raise
    except OSError as error:  # the disk is full, or fails
        raise _BadInput(str(error)) from None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Configuration file; by default $GATEWAY_CONFIG, or else ./config.toml if it exists.",
)
@click.version_option(__version__, prog_name="gateway")
@click.pass_context
def main(ctx: click.Context, config_file: Path | None) -> None:
    """Serves front-end plugin files to many users, to each user at their own version.

    The environment can set every setting, as GATEWAY__SECTION__KEY.
    """
    ctx.obj = config_file


for _commands in GROUPS.values():
    for _name, _, _summary in _commands:
        main.add_command(click.Command(_name, help=_summary))
