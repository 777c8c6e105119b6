"""The commands of `gateway`, without logic of their own. Bad input: exit code 2 and one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.exceptions import NoArgsIsHelpError

import gateway
from gateway.cli.audit import audit
from gateway.cli.cache import cache
from gateway.cli.check import check
from gateway.cli.credentials import sign, token
from gateway.cli.demo import demo
from gateway.cli.doctor import doctor
from gateway.cli.explain import explain
from gateway.cli.gc import gc
from gateway.cli.init import init
from gateway.cli.installing import disable, enable, install, rollback, uninstall, update
from gateway.cli.listing import list_
from gateway.cli.migration import migrate
from gateway.cli.proxy_config import proxy_config
from gateway.cli.publishing import publish
from gateway.cli.service_unit import service_unit_
from gateway.cli.serving import serve
from gateway.errors import GatewayError


class _BadInput(click.ClickException):
    exit_code = 2


class _Group(click.Group):
    """Turns our errors, and click's, into one line and exit code 2."""

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
@click.version_option(gateway.__version__, prog_name="gateway")
@click.pass_context
def main(ctx: click.Context, config_file: Path | None) -> None:
    """Serves front-end plugin files to many users, to each user at their own version.

    The environment can set every setting, as GATEWAY__SECTION__KEY.
    """
    ctx.obj = config_file


for command in (
    demo, init, serve, check, publish, install, update, rollback, uninstall, enable, disable, list_,
    gc, doctor, migrate, audit, cache, token, sign, explain,
    proxy_config, service_unit_,
):  # fmt: skip
    main.add_command(command)
