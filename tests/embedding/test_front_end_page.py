"""front-end.md: its code loads plugins that webpack built, in Chromium, from a real gateway.

The page comes from another origin than the gateway, so that CORS and integrity count.
"""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from benchmarks.processes import free_port
from gateway.demo.demo_site import demo_plugins
from tests.support.background import in_background
from tests.support.browser import chromium
from tests.support.commands import run
from tests.support.server import Server, serving

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "how-to" / "front-end.md").read_text()
(CODE,) = re.findall(r"(?ms)^```js\n(.*?)^```$", TEXT)
(HTML,) = re.findall(r"(?ms)^```html\n(.*?)^```$", TEXT)
VENDOR = ROOT / "gateway" / "demo" / "static" / "vendor"
DEADLINE_S = 20.0


class FrontEnd:
    """A site, its gateway, and the page of front-end.md at an origin of its own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._config = folder / "site" / "config.toml"
        assert run({}, "init", "--with-secret", str(folder / "site")).exit_code == 0
        for plugin in ("NetworkReview", "NetworkEyes"):
            self.gateway("publish", str(demo_plugins() / "shared" / plugin / "v1.0.0"))
            self.gateway("install", plugin, "--user", "ada")
        port = free_port()
        self._origin = f"http://127.0.0.1:{port}"
        cors = {"GATEWAY__HTTP__CORS_ORIGINS": self._origin}
        server = stack.enter_context(serving(cors, config=self._config))
        self._write_page(folder / "page", server)
        command = [sys.executable, "-u", "-m", "http.server", str(port), "--bind", "127.0.0.1"]
        running = stack.enter_context(in_background(command, folder / "page", {}))
        running.wait_for("Serving HTTP", DEADLINE_S)
        self._context = stack.enter_context(chromium()).new_context()

    def _write_page(self, folder: Path, server: Server) -> None:
        folder.mkdir()
        for name in ("react", "react-dom"):
            shutil.copy(VENDOR / f"{name}.production.min.js", folder / f"{name}.js")
        code = CODE.replace('"/api/v1"', f'"http://127.0.0.1:{server.port}/api/v1"')
        assert code != CODE
        (folder / "plugins.js").write_text(code)
        (folder / "index.html").write_text(HTML)

    def gateway(self, *words: str) -> str:
        result = run({}, "--config", str(self._config), *words)
        assert result.exit_code == 0, result.output
        return result.stdout.strip()

    def version_folder(self, slug: str) -> Path:
        return self._config.parent / "plugins" / "shared" / slug / "v1.0.0"

    def opened(self) -> Page:
        page = self._context.new_page()
        page.goto(f"{self._origin}/#{self.gateway('token', '--user', 'ada')}")
        return page


@pytest.fixture
def front_end(tmp_path: Path) -> Iterator[FrontEnd]:
    with ExitStack() as stack:
        yield FrontEnd(tmp_path, stack)


def test_the_page_shows_the_plugins_with_their_integrity(front_end: FrontEnd) -> None:
    page = front_end.opened()
    sections = page.locator("main > section")
    expect(sections).to_have_count(2)
    expect(sections.filter(has_text="Network Review")).to_contain_text("1.0.0")
    hashes = page.locator("script[integrity^=sha384-]")
    expect(hashes).to_have_count(2)


def test_a_plugin_that_fails_does_not_take_the_others(front_end: FrontEnd) -> None:
    """Its row names an entry that is not there."""
    broken = front_end.version_folder("NetworkEyes")
    metadata = json.loads((broken / "plugin.json").read_text())
    (broken / metadata["bundle_location"]).unlink()
    page = front_end.opened()
    expect(page.locator("main > section").filter(has_text="was not loaded")).to_have_count(1)
    expect(page.locator("main > section").filter(has_text="Network Review")).to_contain_text(
        "1.0.0"
    )
