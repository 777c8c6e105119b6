"""docs/tutorial.md: its commands are run in their order, and its page is opened in Chromium.

What the reader leaves running in a terminal of its own runs in the background, on free ports.
"""

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.processes import free_port
from tests.conftest import require_program
from tests.support.background import in_background
from tests.support.browser import chromium
from tests.support.terminal import terminal
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[1] / "docs" / "tutorial.md").read_text()
BLOCKS = re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", PAGE)
STARTED = {"gateway serve": "running on", "http.server": "Serving HTTP"}
INSTALLATION = "python3 -m venv .venv\n. .venv/bin/activate\npip install .\n"
"""What `terminal` stands for; tests/test_packages.py installs the wheel."""
DEADLINE_S = 30.0


class Reader:
    """Follows the page in a folder, with the terminals and tabs that they open."""

    def __init__(self, home: Path, browser: Browser) -> None:
        self._folder = home
        self._context = browser.new_context()
        self._environment = terminal(home)
        self._terminals = ExitStack()
        self._ports = {port: str(free_port()) for port in ("8000", "8080")}
        self.said = ""

    def here(self, text: str) -> str:
        for port, ours in self._ports.items():
            text = re.sub(rf"\b{port}\b", ours, text)
        return text

    def run(self, block: str) -> None:
        block = self.here(block)
        if block == INSTALLATION:
            return
        # The second terminal begins in the checkout, without the environment.
        block = block.removeprefix(". .venv/bin/activate && cd site\n")
        for program, started in STARTED.items():
            if program in block:
                folder = self._folder if program == "gateway serve" else self._folder.parent
                self._start(block, started, folder)
                return
        if block.rpartition("cd ")[2] == "site\n":
            block, self._folder = block.replace("cd site\n", ""), self._folder / "site"
            self._run(block, self._folder.parent)
        else:
            self._run(block, self._folder)

    def _start(self, line: str, started: str, folder: Path) -> None:
        port = self._ports["8000"]
        environment = {**self._environment, "GATEWAY__SERVER__PORT": port}
        running = in_background(["bash", "-c", line], folder, environment)
        self._terminals.enter_context(running).wait_for(started, DEADLINE_S)

    def _run(self, block: str, folder: Path) -> None:
        done = subprocess.run(
            ["bash", "-euc", block], cwd=folder, env=self._environment,
            capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        )  # fmt: skip
        refused = block.startswith("gateway explain ")  # exit code 1 says so
        assert done.returncode == refused, f"{block}\n{done.stdout}{done.stderr}"
        self.said = done.stdout

    def expect(self, block: str) -> None:
        """That the last commands have said each line of the block, or begin it so."""
        for line in block.splitlines():
            assert line in self.said, self.said

    def opened(self) -> Page:
        page = self._context.new_page()
        page.goto(self.said.strip())
        return page

    def close(self) -> None:
        self._terminals.close()
        self._context.close()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    require_program("curl")
    with chromium() as browser:
        reader = Reader(tmp_path, browser)
        yield reader
        reader.close()


def test_the_tutorial_can_be_followed_to_its_end(reader: Reader) -> None:
    upgrade = next(n for n, (_, text) in enumerate(BLOCKS) if text.startswith("perl "))
    rollback = next(n for n, (_, text) in enumerate(BLOCKS) if "rollback" in text)
    follow(reader, BLOCKS[:upgrade])
    url = reader.said
    first = reader.opened()
    expect(first.locator("#version")).to_have_text("You have Hello 1.0.0")

    follow(reader, BLOCKS[upgrade:rollback])
    reader.said = url
    second = reader.opened()
    reload_until_it_says(second, "You have Hello 1.0.1")
    for page, version in ((first, "1.0.0"), (second, "1.0.1")):
        page.get_by_role("button").click()
        expect(page.locator("#greeting")).to_have_text(f"Hello from version {version}")

    follow(reader, BLOCKS[rollback:])
    reload_until_it_says(second, "You have Hello 1.0.0")


def reload_until_it_says(page: Page, text: str) -> None:
    """The server may answer from before a change until its next look at the database."""
    version = page.locator("#version")

    def said() -> str:
        page.reload()
        expect(version).not_to_be_empty()
        return version.inner_text()

    eventually(said, lambda it: it == text)


def follow(reader: Reader, blocks: list[tuple[str, str]]) -> None:
    for kind, text in blocks:
        if kind == "sh":
            reader.run(text)
        else:
            reader.expect(text)
