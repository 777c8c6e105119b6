"""Writes the part of docs/reference/commands.md below its mark: `python -m scripts.commands_page`.

The text is that of `gateway COMMAND --help`, in the order of `gateway --help`. tests/test_docs.py
fails while the page says anything else.
"""

import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from gateway.cli import GROUPS, load_command, main

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "commands.md"
MARK = "<!-- What follows is made by python -m scripts.commands_page. -->\n"
_WIDTH = 140
_VERBATIM = "\b"
"""click's mark of a paragraph whose lines stay as they are."""


def renewed(page: str) -> str:
    """The page with its part below the mark made anew."""
    above, _, _ = page.partition(MARK)
    return above + MARK + "".join(f"\n{line}".rstrip() + "\n" for line in _sections())


def _sections() -> Iterator[str]:
    top = click.Context(main, info_name="gateway")
    for title, commands in GROUPS.items():
        yield f"## {title}"
        for name, *_ in commands:
            yield from _section(load_command(name), name, top)


def _section(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    yield f"### {context.command_path}"
    yield f"    {context.get_usage().removeprefix('Usage: ')}"
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        yield _paragraph(paragraph)
    if options := list(_options(command, context)):
        yield "\n".join(["| option | |", "|---|---|", *options])
    if command.epilog:
        yield from _example(command.epilog)
    if isinstance(command, click.Group):
        for below, subcommand in command.commands.items():
            yield from _section(subcommand, below, context)


def _paragraph(text: str) -> str:
    if text.startswith(_VERBATIM):
        return "\n".join(["```text", *text.splitlines()[1:], "```"])
    return textwrap.fill(" ".join(text.split()), _WIDTH, break_on_hyphens=False)


def _example(epilog: str) -> Iterator[str]:
    _, title, *lines = epilog.splitlines()
    yield title
    yield "\n".join(f"    {line.strip()}" for line in lines)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    options = (parameter for parameter in command.params if isinstance(parameter, click.Option))
    for option in options:
        if record := option.get_help_record(context):
            names, meaning = (text.replace("|", r"\|") for text in record)
            yield f"| `{names}` | {' '.join(meaning.split())} |"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
