"""What `make` would do, as `make -n` prints it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import require_program

ROOT = Path(__file__).parents[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def plan(checkout: Path) -> str:
    command = [require_program("make"), "-n", "test", "PYTHON=python3.13"]
    # Those of a `make` that runs this test are not meant for this one.
    environment = {name: text for name, text in os.environ.items() if "MAKE" not in name}
    done = subprocess.run(
        command, cwd=checkout, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout


def test_an_environment_is_made_with_the_given_interpreter(checkout: Path) -> None:
    assert "python3.13 -m venv .venv" in plan(checkout)


def test_an_environment_that_is_there_keeps_its_interpreter(checkout: Path) -> None:
    """`venv` of another one would mix the two: the old binary, and the library of the new."""
    programs = checkout / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").touch()
    os.utime(programs / "activate", (0, 0))
    assert "-m venv" not in plan(checkout)
    assert "pip install" in plan(checkout)
