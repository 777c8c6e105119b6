"""Runs `gateway …` in this process: most of a command's time is the start of Python."""

import os
import re
from collections.abc import Mapping

import pytest
from click.testing import CliRunner, Result

from gateway.cli import load_command, main

for _name in main.commands:
    load_command(_name)  # so that a child which is killed at any step imports nothing (killing.py)


def run(environment: Mapping[str, str], *arguments: str) -> Result:
    """`gateway …`, with no setting but those of `environment`."""
    ours: dict[str, str | None] = {name: None for name in os.environ if name.startswith("GATEWAY")}
    return CliRunner().invoke(main, arguments, env={**ours, **environment}, prog_name="gateway")


def refuse_to_serve(environment: Mapping[str, str], *arguments: str) -> str:
    """The line with which `gateway … serve …` refuses, before it listens."""

    def started(*_: object, **__: object) -> None:
        raise AssertionError("the server was started")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.processes.supervisor.Supervisor.run", started)
        return line_of(run(environment, *arguments))


def line_of(result: Result) -> str:
    """The one line of a command that refused with exit code 2. Raises any other exception."""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: "), line
    return line


def words(result: Result) -> str:
    """What the command said, on one line and without colours."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", result.output).split())
