"""A shell in which `gateway` is this checkout's, as after `pip install`."""

import os
import sys
from pathlib import Path

from tests.support.server import clean_environment

ROOT = Path(__file__).parents[2]


def terminal(home: Path) -> dict[str, str]:
    """The environment of a shell. `home` gets a folder bin/ with the program."""
    program = home / "bin" / "gateway"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gateway "$@"\n')
    program.chmod(0o755)
    return {
        **clean_environment(),
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }
