"""embedding.md: its commands lead from nothing to an answer of an application with a gateway."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.processes import free_port
from tests.conftest import require_program
from tests.support.background import in_background
from tests.support.terminal import terminal

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "embedding.md").read_text()
BLOCKS = re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", PAGE)
DEADLINE_S = 30.0


def test_the_application_of_the_page_answers(tmp_path: Path) -> None:
    require_program("curl")
    install, initialise, serve, ask = (text for kind, text in BLOCKS if kind == "sh")
    (shown,) = (text for kind, text in BLOCKS if kind == "text")
    code = next(text for kind, text in BLOCKS if kind == "python")
    # As this environment has them. The examples with sessions need the last one.
    assert install == "pip install . fastapi itsdangerous\n"
    environment = terminal(tmp_path)
    environment["PATH"] += f"{os.pathsep}{Path(sys.executable).parent}"
    (tmp_path / "mounted.py").write_text(code)
    port = str(free_port())

    def run(line: str) -> str:
        command = ["bash", "-euc", line.replace("8000", port)]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    run(initialise)
    server = ["bash", "-c", serve.replace("8000", port)]
    with in_background(server, tmp_path, environment) as running:
        running.wait_for("Uvicorn running", DEADLINE_S)
        said = run(ask)
    assert all(line in said for line in shown.splitlines()), said
