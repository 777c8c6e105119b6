"""The demo's page runs only what was published: Chromium, and a proxy that changes a byte."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from gateway.demo.demo_site import USERS
from tests.demo.host_page import DEADLINE_MS, card, expect_running, watch_errors
from tests.support.flipping import Flipping, flipping_before
from tests.support.server import Server

pytestmark = pytest.mark.slow
ADA = USERS[0]
CHUNK = "ReviewBoard.js"
# What the page asked for, by the path: how often, and how by Resource Timing.
_LOADED = """() => performance.getEntriesByType("resource")
    .filter(entry => entry.name.includes("/plugins/") && entry.name.includes(".js"))
    .map(entry => [new URL(entry.name).pathname.split("/").pop(), entry.initiatorType])"""
# webpack removes the elements of its chunks when they are loaded.
_WATCH_SCRIPTS = """
window.integrity = {};
new MutationObserver((changes) => changes.forEach(({ addedNodes }) => addedNodes.forEach((node) => {
  if (node.localName !== "script" || !node.src.includes("/plugins/")) return;
  window.integrity[new URL(node.src).pathname.split("/").pop()] = node.integrity;
}))).observe(document, { childList: true, subtree: true });
"""


@pytest.fixture
def proxy(demo: Server) -> Iterator[Flipping]:
    with flipping_before(demo) as running:
        yield running


def open_through(page: Page, proxy: Flipping) -> None:
    page.goto(f"http://127.0.0.1:{proxy.port}/?user={ADA.key}")


def test_all_scripts_of_a_plugin_have_their_integrity_and_are_fetched_once(
    page: Page, proxy: Flipping
) -> None:
    page.add_init_script(_WATCH_SCRIPTS)
    open_through(page, proxy)
    expect_running(page, "NetworkReview", "1.0.0")
    expect_running(page, "NetworkEyes", "1.0.0")
    integrity = page.evaluate("window.integrity")
    assert {"remoteEntry.js", CHUNK, "LatencyWatch.js"} <= integrity.keys()
    assert all(value.startswith("sha384-") for value in integrity.values())
    preloaded = {name for name, way in page.evaluate(_LOADED) if way == "link"}
    assert {"remoteEntry.js", CHUNK, "LatencyWatch.js"} <= preloaded
    of_plugins = [path for path in proxy.scripts if "/plugins/" in path]
    assert len(of_plugins) == len(set(of_plugins))


@pytest.mark.parametrize("name", ["remoteEntry.js", CHUNK])
def test_a_file_of_which_one_byte_was_changed_is_not_run(
    context: BrowserContext, proxy: Flipping, name: str
) -> None:
    page = context.new_page()
    errors = watch_errors(page)
    proxy.flipped = f"/{name}"
    open_through(page, proxy)
    plugin = card(page, "NetworkReview")
    expect(plugin).to_have_attribute("data-state", "failed", timeout=DEADLINE_MS)
    expect(plugin.locator(".notice")).to_contain_text(
        "The file is not the one that was published, so the browser did not run it."
    )
    expect(plugin.locator(".notice")).to_contain_text("integrity_mismatch")
    expect(plugin.locator(".notice")).to_contain_text(name)
    assert plugin.locator("[data-plugin-version]").count() == 0
    assert any("Failed to find a valid digest in the 'integrity' attribute" in it for it in errors)
    if name == CHUNK:
        expect_running(page, "NetworkEyes", "1.0.0")


def test_without_a_change_the_same_proxy_changes_nothing(page: Page, proxy: Flipping) -> None:
    open_through(page, proxy)
    expect_running(page, "NetworkReview", "1.0.0")
