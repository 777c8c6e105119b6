"""docs/how-to/plugins.md: its commands are run in their order, with real npm, Vite and gateways.

What the page leaves running in a second terminal runs in the background. Browsers and webpack,
which takes five times as long, are in the other tests of this folder.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.processes import free_port
from tests.support.background import Background, in_background
from tests.support.commands import run
from tests.support.npm import BUILT, DEADLINE_S, DEV_SERVER_PORT, NPM_SETTINGS, SERVES, Plugin
from tests.support.site import SECRET, Site
from tests.support.terminal import terminal
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "plugins.md").read_text()
BLOCKS = re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", PAGE)
USER = "a357d64dccd04551b08bff5fcaf2c167"


class Developer:
    """Follows the page: in a folder, with the terminals that they have opened."""

    def __init__(self, home: Path, site: Path, packages: Plugin) -> None:
        self._home = home
        self._folder = home
        self._packages = packages
        self._bundler = packages.bundler
        self._port = free_port()
        self._names = {
            "gateway new Notes": f"gateway new Notes --bundler {packages.bundler}",
            "/srv/site": str(site),
            "--user ID": f"--user {USER}",
            DEV_SERVER_PORT: str(self._port),
        }
        self._environment = {**terminal(home), **NPM_SETTINGS}
        self._terminals = ExitStack()
        self._running: list[Background] = []
        self._said = ""

    def follow(self, block: str) -> None:
        for name, ours in self._names.items():
            block = block.replace(name, ours)
        for line in block.splitlines():
            self._follow_line(line)

    def _follow_line(self, line: str) -> None:
        first, _, rest = line.partition(" ")
        if first == "cd":
            self._folder /= rest
            Plugin(self._folder, self._bundler).serve_at(self._port)
        elif first == "export":
            name, _, value = rest.partition("=")
            self._environment[name] = value
        elif line in ("npm run watch", "npm run dev"):
            printed = BUILT if line == "npm run watch" else SERVES
            self._start(line).wait_for(printed[self._bundler], DEADLINE_S)
        elif line.startswith("gateway dev "):
            self._start(f"{line} --port 0").wait_for("dev runs at ", DEADLINE_S)
        else:
            self._run(line)

    def _start(self, line: str) -> Background:
        running = in_background(["bash", "-c", line], self._folder, self._environment)
        self._running.append(self._terminals.enter_context(running))
        return self._running[-1]

    def _run(self, line: str) -> None:
        if line == "npm install":
            self._packages.lend_packages(self._folder)
        if line == "npm run build":
            self.close_terminals()
        result = subprocess.run(
            ["bash", "-c", line], cwd=self._folder, env=self._environment,
            capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        )  # fmt: skip
        assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"
        self._said = result.stdout

    def expect(self, block: str) -> None:
        """That a terminal says each line of the block, or that the last command has said it."""
        expected = comparable(block)
        eventually(self._lines, set(expected).issubset, DEADLINE_S)

    def _lines(self) -> list[str]:
        outputs = ["".join(running.output) for running in self._running]
        text = "\n".join((*outputs, self._said)).replace(str(self._home), "/home/you")
        return comparable(text)

    def close_terminals(self) -> None:
        self._terminals.close()
        self._running.clear()


def comparable(text: str) -> list[str]:
    """Lines without what differs from run to run: ports, sizes, times, and who looks at pages."""
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1", text)
    text = re.sub(r"\d+ (?:pages were|page was) told", "pages were told", text)
    text = re.sub(r", (?:seen \d+ ms after its last file|found in the folder)", "", text)
    text = re.sub(r"\d+ files, \d+ kB", "its files", text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site with one user, who has another plugin."""
    folder = tmp_path / "srv" / "site"
    config = str(folder / "config.toml")
    assert run({}, "init", str(folder)).exit_code == 0
    text = (folder / "config.toml").read_text()
    (folder / "config.toml").write_text(text.replace('#secret = ""', f'secret = "{SECRET}"', 1))
    other = Site(tmp_path / "elsewhere").publish("Other", "1.0.0")
    for command in (["publish", str(other)], ["install", "Other", "--user", USER]):
        result = run({}, "--config", config, *command)
        assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def developer(tmp_path: Path, site: Path, plugins: Mapping[str, Plugin]) -> Iterator[Developer]:
    home = tmp_path / "home"
    home.mkdir()
    developer = Developer(home, site, plugins["vite"])
    yield developer
    developer.close_terminals()


def test_the_page_can_be_followed_to_its_end(developer: Developer, site: Path) -> None:
    for kind, block in BLOCKS:
        if kind == "sh":
            developer.follow(block)
        elif kind == "text":
            developer.expect(block)
    config = str(site / "config.toml")
    listed = run({}, "--config", config, "list", "--user", USER)
    assert re.search(r"Notes +0\.1\.0 +yes +yes +yes", listed.output), listed.output
