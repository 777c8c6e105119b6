"""How a shell starts this program."""

import shlex
import shutil
import sys
import sysconfig
from pathlib import Path


def program() -> list[str]:
    """The words that start it from anywhere."""
    script = Path(sysconfig.get_path("scripts")) / "gateway"
    return [str(script)] if script.is_file() else [sys.executable, "-m", "gateway"]


def shortest_program() -> str:
    """For a command to paste: `gateway`, if a shell finds this program by that name."""
    words = program()
    found = shutil.which("gateway")
    if found is not None and Path(found).resolve() == Path(words[0]).resolve():
        return "gateway"
    return shlex.join(words)
