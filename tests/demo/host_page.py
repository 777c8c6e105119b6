"""The page of `gateway demo` in a browser: its cards, and what its console reports."""

from playwright.sync_api import ConsoleMessage, FrameLocator, Locator, Page, expect

from gateway.demo.demo_site import DemoUser
from tests.support.server import Server

DEADLINE_MS = 15_000


def watch_errors(page: Page) -> list[str]:
    """What the page's console reports as an error from now on, in frames as well."""
    errors: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: errors.append(str(error)))
    return errors


def open_user(page: Page, server: Server, user: DemoUser) -> None:
    page.goto(f"http://127.0.0.1:{server.port}/?user={user.key}")


def cards(page: Page | FrameLocator) -> Locator:
    return page.locator('[data-testid^="plugin-"]')


def card(page: Page | FrameLocator, slug: str) -> Locator:
    return page.get_by_test_id(f"plugin-{slug}")


def expect_running(page: Page | FrameLocator, slug: str, version: str) -> None:
    """The card says so, and so does the code that runs inside it."""
    plugin = card(page, slug)
    expect(plugin).to_have_attribute("data-state", "running", timeout=DEADLINE_MS)
    expect(plugin).to_have_attribute("data-version", version)
    expect(plugin.locator("[data-plugin-version]")).to_have_attribute(
        "data-plugin-version", version
    )
