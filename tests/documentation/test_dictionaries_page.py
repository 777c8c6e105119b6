"""dictionaries.md: its commands get a difference, and make the new file of it."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import require_program
from tests.documentation.blocks import ROOT
from tests.support.commands import run
from tests.support.server import serving
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "explanation" / "dictionaries.md").read_text()
ASK, DECODE = re.findall(r"(?ms)^```sh\n(.*?)^```$", PAGE)
LINES = "".join(f"console.log('line {number} of a plugin');\n" for number in range(200))


def publish(folder: Path, config: str, version: str) -> Path:
    """Returns the entry."""
    source = folder / version
    (source / "dist").mkdir(parents=True)
    (source / "plugin.json").write_text(json.dumps({"slug": "Review", "version": version}))
    entry = source / "dist" / "remoteEntry.js"
    entry.write_text(f"window.Review = '{version}';\n{LINES}")
    assert run({}, "--config", config, "publish", str(source)).exit_code == 0
    return entry


def test_the_second_request_gets_a_difference_that_makes_the_new_file(tmp_path: Path) -> None:
    for program in ("curl", "openssl", "zstd"):
        require_program(program)
    config = tmp_path / "site" / "config.toml"
    assert run({}, "init", "--with-secret", str(config.parent)).exit_code == 0
    old = publish(tmp_path, str(config), "1.0.0")
    new = publish(tmp_path, str(config), "1.0.1")
    installed = run({}, "--config", str(config), "install", "Review", "--user", "ada")
    assert installed.exit_code == 0, installed.output
    (tmp_path / "old.js").write_bytes(old.read_bytes())

    with serving({}, config=config) as server:

        def ask(commands: str) -> str:
            script = commands.replace("localhost:8000", f"localhost:{server.port}")
            command = ["bash", "-euc", script]
            return subprocess.run(
                command, cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True
            ).stdout

        eventually(lambda: ask(ASK), lambda head: "content-encoding: dcz" in head)
        ask(DECODE)
    assert (tmp_path / "new.js").read_bytes() == new.read_bytes()
