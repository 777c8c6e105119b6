"""Parameters that several commands share: names that parse, or one clear line."""

from collections.abc import Callable
from typing import Any

import click

from gateway.names import parse_slug, parse_user_id, parse_version


class Name(click.ParamType[Any]):
    """A command-line text that one of the parsers of names.py takes."""

    def __init__(self, name: str, parse: Callable[[object], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _parse_text(text: object) -> str:
    """Raises: ValueError, for bytes of the command line that are no UTF-8."""
    str(text).encode()
    return str(text)


TEXT = Name("text", _parse_text)
USER = Name("user id", parse_user_id)
SLUG = Name("slug", parse_slug)
VERSION = Name("version", parse_version)


def user_option(*, required: bool) -> Callable[[Any], Any]:
    return click.option("--user", type=USER, required=required, metavar="ID", help="A user's id.")
