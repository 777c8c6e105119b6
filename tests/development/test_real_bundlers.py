"""`gateway dev` as developers use it: an edit, a real bundler, and the pages of two users."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.processes import free_port
from tests.support.browser import chromium
from tests.support.npm import BUILT, DEADLINE_S, SERVES, Plugin
from tests.support.server import Server, serving

pytestmark = pytest.mark.slow

_DEADLINE_MS = 60_000
# From a build's last file to the text in the page: 0.5 to 0.9 s, and 1.6 s with a load of 15.
_MOST_S = 10.0
_EDITED = "text that was edited"
# Notes the moment at which the page shows the text, on the clock of file times.
_WATCH = f"""
    const look = () => {{
        if (document.body?.textContent.includes("{_EDITED}")) window.seenAt = Date.now() / 1000;
        else requestAnimationFrame(look);
    }};
    look();
"""
# As libraries come that were compiled to React's JSX runtime.
_COMPILED = """import { jsx } from "react/jsx-runtime";
export default () => jsx("p", { children: "This text came in a chunk of its own." });
"""
each_bundler = pytest.mark.parametrize("bundler", ["webpack", "vite"])


@pytest.fixture
def plugin(plugins: Mapping[str, Plugin], bundler: str, tmp_path: Path) -> Plugin:
    """A copy, which the test may edit."""
    copy = plugins[bundler].copy(tmp_path)
    (copy.folder / "src" / "Details.jsx").write_text(_COMPILED)
    return copy


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def developing(plugin: Plugin, *arguments: str) -> AbstractContextManager[Server]:
    """`gateway dev` on a temporary site: the plugin is Ada's."""
    elsewhere = ("env", "-C", str(plugin.folder))  # no config.toml is there
    return serving({}, str(plugin.folder), *arguments, command="dev", under=elsewhere)


def open_page(browser: Browser, server: Server, user: str) -> Page:
    """A page of the user, in a browser profile of its own, that says if it was loaded again."""
    page = browser.new_context().new_page()
    page.set_default_timeout(_DEADLINE_MS)
    page.add_init_script(_WATCH)
    page.goto(f"http://127.0.0.1:{server.port}/?user={user}")
    page.evaluate("window.isAsItWas = true")
    return page


def expect_text(page: Page, text: str) -> None:
    expect(page.get_by_text(text)).to_be_visible(timeout=_DEADLINE_MS)


def built_at(plugin: Plugin) -> float:
    """When the bundler wrote its last file."""
    return max(file.stat().st_mtime for file in plugin.folder.glob("dist/**/*"))


@each_bundler
def test_an_edit_shows_when_its_build_has_ended_to_its_user_alone(
    plugin: Plugin, browser: Browser, bundler: str
) -> None:
    with plugin.running("watch") as watch, developing(plugin) as server:
        watch.wait_for(BUILT[bundler], DEADLINE_S)
        developer = open_page(browser, server, "user-1")
        other = open_page(browser, server, "user-2")
        expect_text(developer, f"from {plugin.slug}")
        plugin.replace(f"from {plugin.slug}", _EDITED)
        expect_text(developer, _EDITED)
        assert 0 < developer.evaluate("window.seenAt") - built_at(plugin) < _MOST_S
        assert other.evaluate("window.isAsItWas")
        assert plugin.slug not in (other.text_content("body") or "")


@each_bundler
def test_an_edit_shows_through_the_bundlers_own_server_to_its_user_alone(
    plugin: Plugin, browser: Browser, bundler: str
) -> None:
    port = free_port()
    plugin.serve_at(port)
    origin = ("--from", f"http://localhost:{port}")
    with plugin.running("dev") as dev_server, developing(plugin, *origin) as server:
        dev_server.wait_for(SERVES[bundler], DEADLINE_S)
        developer = open_page(browser, server, "user-1")
        other = open_page(browser, server, "user-2")
        expect_text(developer, f"from {plugin.slug}")
        developer.get_by_role("button", name="More").click()
        expect_text(developer, "a chunk of its own")
        plugin.replace(f"from {plugin.slug}", _EDITED)
        expect_text(developer, _EDITED)
        assert other.evaluate("window.isAsItWas")
        assert plugin.slug not in (other.text_content("body") or "")
