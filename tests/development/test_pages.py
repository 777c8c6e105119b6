"""What pages do while a plugin is developed, in a real browser."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from gateway.demo.demo_site import USERS
from tests.support.browser import chromium
from tests.support.developing import SLUG, Developing
from tests.support.pages import Page as HostPage
from tests.support.pages import serving_pages
from tests.support.urls import MANIFEST
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

_DEADLINE_MS = 20_000
ADA, _, LIN = USERS
# Kept over a reload, which `window` is not.
_COUNT_LOADS = "sessionStorage.loads = 1 + Number(sessionStorage.loads ?? 0)"
_HIDE = """isHidden => {
    Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""
_KEEP_STREAM = """window.EventSource = class extends EventSource {
    constructor(url) {
        super(url);
        window.stream = this;
    }
};"""
_TELL = "data => { stream.dispatchEvent(new MessageEvent('build', { data })); }"

Opener = Callable[[str], Page]


@pytest.fixture(scope="module")
def developing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Developing]:
    with Developing(tmp_path_factory.mktemp("dev")).running() as developing:
        yield developing


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        expect.set_options(timeout=_DEADLINE_MS)
        yield running


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    context.set_default_timeout(_DEADLINE_MS)
    context.add_init_script(_COUNT_LOADS)
    yield context
    context.close()


@pytest.fixture
def open_page(context: BrowserContext, developing: Developing) -> Opener:
    """Opens the host page of a user, and waits for its connection."""

    def open_page(user: str) -> Page:
        page = context.new_page()
        with page.expect_request(lambda request: request.url.endswith("/-/dev/events")):
            page.goto(f"{developing.url}/?user={user}")
        page.evaluate("window.mark = true")
        return page

    return open_page


@pytest.fixture
def page(open_page: Opener, developing: Developing) -> Page:
    """The developer's page, which shows a build of its own."""
    developing.build("before")
    page = open_page("user-1")
    expect_text(page, "before")
    expect(overlay(page)).to_contain_text(f"build {developing.number}")
    return page


def expect_text(page: Page, text: str) -> None:
    """The plugin itself has made it."""
    expect(page.locator("#text")).to_have_text(text)


def overlay(page: Page) -> Locator:
    return page.locator("gateway-dev").get_by_role("region", name="gateway dev")


def is_as_it_was(page: Page) -> bool:
    """Whether the page was not reloaded."""
    return bool(page.evaluate("window.mark === true"))


def loads(page: Page) -> int:
    return int(page.evaluate("Number(sessionStorage.loads)"))


def test_a_page_shows_the_new_text_after_a_build(page: Page, developing: Developing) -> None:
    developing.build("after")
    expect_text(page, "after")
    said = overlay(page)
    expect(said).to_contain_text(f"{SLUG} · build {developing.number}")
    expect(said).to_contain_text("s ago, 3 files, 1 kB")


def test_the_page_stays_where_it_was_scrolled_to(page: Page, developing: Developing) -> None:
    eventually(lambda: page.evaluate("document.documentElement.scrollHeight"), lambda px: px > 1200)
    page.mouse.wheel(0, 300)
    eventually(lambda: page.evaluate("scrollY"), lambda px: px == 300)
    developing.build("after")
    expect_text(page, "after")
    eventually(lambda: page.evaluate("scrollY"), lambda px: px == 300)


def test_another_users_page_does_not_move(
    page: Page, open_page: Opener, developing: Developing
) -> None:
    other = open_page("user-2")
    expect(other.locator("[data-plugin-version]")).to_have_attribute("data-plugin-version", "1.0.1")
    developing.build("after")
    expect_text(page, "after")
    assert is_as_it_was(other)
    expect(other.locator("gateway-dev")).to_have_count(0)


def test_a_page_without_the_plugin_does_not_move(
    page: Page, open_page: Opener, developing: Developing
) -> None:
    other = open_page("user-3")
    expect(other.get_by_test_id("plugin-NetworkEyes")).to_be_visible()
    developing.build("after")
    expect_text(page, "after")
    assert is_as_it_was(other)
    expect(other.locator("gateway-dev")).to_have_count(0)


def test_three_quick_builds_lead_to_one_reload(context: BrowserContext, open_page: Opener) -> None:
    context.add_init_script(_KEEP_STREAM)
    context.clock.install()
    page = open_page("user-1")
    expect(overlay(page)).to_be_visible()
    before = loads(page)
    context.clock.pause_at(time.time() + 60)
    for number in (7001, 7002, 7003):
        build = {"run": "another", "number": number, "version": f"2.0.0-dev.{number}"}
        page.evaluate(_TELL, json.dumps(build))
        context.clock.run_for(100)
        assert is_as_it_was(page)
    with page.expect_navigation():
        context.clock.run_for(100)
    assert loads(page) == before + 1


def test_a_refused_build_is_said_and_the_one_before_stays(
    page: Page, developing: Developing
) -> None:
    shown = developing.number
    refused = developing.refuse()
    expect(overlay(page)).to_contain_text(
        f"Build {refused} was refused, so the page keeps build {shown}: plugin.json: "
    )
    expect_text(page, "before")
    assert is_as_it_was(page)
    developing.build("after")
    expect_text(page, "after")
    expect(overlay(page)).not_to_contain_text("refused")


def test_a_page_opened_after_a_refused_build_says_so(
    open_page: Opener, developing: Developing
) -> None:
    developing.build("good")
    developing.refuse()
    expect(overlay(open_page("user-1"))).to_contain_text("was refused")


def test_a_failed_chunk_is_explained(page: Page, developing: Developing) -> None:
    developing.build("no chunk", chunk=False)
    expect(overlay(page)).to_contain_text("dist/text.js: 404 asset_not_found: ")
    expect(overlay(page)).to_contain_text("The bundler wrote no such file")
    developing.build("after")
    expect_text(page, "after")
    expect(overlay(page)).not_to_contain_text("404")


def test_a_failed_import_that_the_page_catches_is_explained(page: Page) -> None:
    page.evaluate(
        """() => {
            const { name } = performance.getEntriesByType("resource")
                .find(({ name }) => name.includes("remoteEntry.js"));
            return import(new URL("gone.js", name)).catch(() => null);
        }"""
    )
    expect(overlay(page)).to_contain_text("dist/gone.js: 404 asset_not_found: ")


def test_an_entry_that_leaves_no_container_is_explained(page: Page, developing: Developing) -> None:
    developing.build("renamed", scope="Renamed")
    sentence = f"The script ran and left no window.{SLUG}"
    expect(overlay(page)).to_contain_text(sentence)
    notice = page.get_by_test_id(f"plugin-{SLUG}").locator(".notice")
    expect(notice).to_contain_text(sentence)


def test_a_lost_gateway_is_said_and_what_was_built_meanwhile_shows(
    page: Page, developing: Developing
) -> None:
    developing.stop()
    expect(overlay(page)).to_contain_text("No connection to the gateway")
    assert is_as_it_was(page)
    developing.write("meanwhile")
    developing.start()
    expect_text(page, "meanwhile")
    expect(overlay(page)).not_to_contain_text("No connection")
    developing.stop()
    developing.write("again")
    developing.start()  # this build has the number of the one before
    expect_text(page, "again")


def test_a_page_that_nobody_sees_is_reloaded_when_it_is_seen(
    page: Page, open_page: Opener, developing: Developing
) -> None:
    seen = open_page("user-1")
    page.evaluate(_HIDE, True)
    developing.build("after")
    expect_text(seen, "after")
    assert is_as_it_was(page)
    page.evaluate(_HIDE, False)
    expect_text(page, "after")


def test_a_plugin_without_modules_is_said_to_show_nothing(
    page: Page, developing: Developing
) -> None:
    developing.build("nothing", modules=False)
    card = page.get_by_test_id(f"plugin-{SLUG}")
    expect(card).to_have_attribute("data-state", "empty")
    expect(card).to_contain_text("has no modules, so there is nothing to show")


def test_the_first_build_of_a_plugin_that_the_developer_does_not_have_shows(
    context: BrowserContext, tmp_path: Path
) -> None:
    with Developing(tmp_path, LIN, text="").running() as developing:
        page = context.new_page()
        page.goto(developing.url)
        expect(page.get_by_role("heading", name=f"No build of {SLUG} yet")).to_be_visible()
        developing.build("the first")
        expect_text(page, "the first")


def test_the_plugin_in_development_is_shown_first(page: Page) -> None:
    cards = page.locator("[data-testid^=plugin-]")
    expect(cards).to_have_count(2)
    expect(cards.first).to_have_attribute("data-testid", f"plugin-{SLUG}")


def test_the_page_begins_with_the_developer(page: Page, developing: Developing) -> None:
    page.goto(developing.url)
    expect(page.get_by_test_id("user-user-1")).to_have_attribute("aria-current", "page")


def test_the_overlay_is_closed_by_keyboard_until_something_goes_wrong(
    page: Page, developing: Developing
) -> None:
    overlay(page).get_by_role("button", name="Close").focus()
    page.keyboard.press("Enter")
    expect(page.locator("gateway-dev")).to_have_count(0)
    developing.build("after")
    expect_text(page, "after")
    expect(page.locator("gateway-dev")).to_have_count(0)
    developing.refuse()
    expect(overlay(page)).to_contain_text("was refused")
    overlay(page).get_by_role("button").focus()
    page.keyboard.press("Escape")
    expect(page.locator("gateway-dev")).to_have_count(0)


def test_the_news_are_announced_and_the_age_is_not(page: Page) -> None:
    live = overlay(page).locator("[aria-live=polite]")
    expect(live).to_contain_text(f"{SLUG} · build")
    expect(live).not_to_contain_text("ago")


# Host pages of one's own, of another origin

_HOST_PAGE = """<!doctype html><title>A host</title><p id="text"></p>
<script src="{gateway}/-/dev/reload.js"></script><script src="host.js"></script>"""
# With `?old`, it keeps the location of the plugin that it has got once.
_HOST_SCRIPT = """
window.React = { createElement: (tag, attributes, text) => text };
(async () => {
  if (location.search !== "?old" || !sessionStorage.kept) {
    const manifest = await (await fetch("{gateway}{manifest}", { headers: {headers} })).json();
    sessionStorage.kept = manifest.{slug}.bundlelocation;
  }
  const script = document.createElement("script");
  script.src = "{gateway}/api/v1/public/plugins/{id}/" + sessionStorage.kept;
  script.onload = async () => {
    const factory = await window.{slug}.get("./Text");
    document.getElementById("text").textContent = factory().default();
  };
  document.head.append(script);
})();
"""


@pytest.fixture(scope="module")
def host(developing: Developing) -> Iterator[str]:
    """The URL of a page that permits as little as it can; with `?alone`, no connection at all."""
    names = {
        "gateway": developing.url,
        "manifest": MANIFEST,
        "headers": json.dumps({"Authorization": f"Bearer {developing.token()}"}),
        "slug": SLUG,
        "id": developing.database_id,
    }

    def answer(target: str) -> HostPage:
        nothing = "'none'"
        is_script = target == "/host.js"
        text = _HOST_SCRIPT if is_script else _HOST_PAGE
        for name, value in names.items():
            text = text.replace(f"{{{name}}}", value)
        policy = (
            f"default-src {nothing};"
            f" script-src 'self' {developing.url};"
            f" connect-src {nothing if target == '/?alone' else developing.url}"
        )
        return HostPage("text/javascript" if is_script else "text/html", text, policy)

    with serving_pages(answer) as url:
        yield url


def test_a_host_page_of_another_origin_with_a_strict_policy_is_reloaded(
    context: BrowserContext, host: str, developing: Developing
) -> None:
    developing.build("before")
    page = context.new_page()
    page.goto(host)
    expect_text(page, "before")
    expect(overlay(page)).to_contain_text(f"build {developing.number}")
    assert overlay(page).evaluate("box => getComputedStyle(box).borderTopWidth") == "1px"
    developing.build("after")
    expect_text(page, "after")
    developing.build("no chunk", chunk=False)
    expect(overlay(page)).to_contain_text("dist/text.js: 404 asset_not_found: ")


def test_a_host_that_keeps_an_old_manifest_is_reloaded_once_and_told(
    context: BrowserContext, host: str, developing: Developing
) -> None:
    developing.build("before")
    page = context.new_page()
    page.goto(f"{host}/?old")
    expect_text(page, "before")
    before = loads(page)
    developing.build("after")
    expect(overlay(page)).to_contain_text("although it could have this one")
    expect_text(page, "before")
    assert loads(page) == before + 1


def test_a_policy_that_forbids_the_connection_is_named(context: BrowserContext, host: str) -> None:
    page = context.new_page()
    page.goto(f"{host}/?alone")
    expect(overlay(page)).to_contain_text(
        "/-/dev/events: This page's own Content-Security-Policy forbids it: connect-src"
    )
