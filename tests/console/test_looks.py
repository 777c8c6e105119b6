"""The page can be read: in the dark, on a phone, by keyboard alone, without scripts."""

from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.console import ANSWERED, CREDENTIALS, opened_console
from tests.support.server import Server
from tests.support.site import CLEO
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1400, "height": 1000}
each_scheme = pytest.mark.parametrize("scheme", ["light", "dark"])

# Each text that is shown, with its contrast against what is painted behind it (WCAG 2.2, 1.4.3).
_CONTRASTS = """() => {
    const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const parsed = new Map();
    function rgba(colour) {
        if (!parsed.has(colour)) {
            context.clearRect(0, 0, 1, 1);
            context.fillStyle = colour;
            context.fillRect(0, 0, 1, 1);
            parsed.set(colour, [...context.getImageData(0, 0, 1, 1).data]);
        }
        return parsed.get(colour);
    }
    function luminance([red, green, blue]) {
        const [r, g, b] = [red, green, blue].map((channel) => {
            const value = channel / 255;
            return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    }
    function behind(element) {
        for (let at = element; at; at = at.parentElement) {
            const colour = rgba(getComputedStyle(at).backgroundColor);
            if (colour[3] === 255) return colour;
            if (colour[3] !== 0) throw new Error(`half transparent: ${at.outerHTML}`);
        }
        throw new Error("nothing is painted");
    }
    function contrast(one, other) {
        const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
        return (light + 0.05) / (dark + 0.05);
    }
    const found = [];
    function measure(element, colour, text) {
        found.push([text.slice(0, 40), contrast(rgba(colour), behind(element))]);
    }
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        const text = walker.currentNode.textContent.trim();
        if (!text || !element.checkVisibility() || element.closest("script, style")) continue;
        const style = getComputedStyle(element);
        measure(element, element.closest("svg") ? style.fill : style.color, text);
    }
    for (const field of document.querySelectorAll("input[placeholder]")) {
        if (field.checkVisibility())
            measure(field, getComputedStyle(field, "::placeholder").color, field.placeholder);
    }
    return found;
}"""


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def viewport(request: pytest.FixtureRequest) -> dict[str, int]:
    size: dict[str, int] = request.param
    return size


@each_scheme
def test_every_text_has_enough_contrast(
    browser: Browser, server: Server, scheme: str, viewport: dict[str, int]
) -> None:
    with opened_console(browser, server, color_scheme=scheme, viewport=viewport) as page:
        fill(page)
        contrasts = page.evaluate(_CONTRASTS)
        assert len(contrasts) > 150
        assert [(text, ratio) for text, ratio in contrasts if ratio < 4.5] == []


def test_the_dark_page_is_dark(browser: Browser, server: Server) -> None:
    with opened_console(browser, server, color_scheme="dark") as page:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert colour == "rgb(15, 20, 24)"


def test_a_phone_shows_all_without_scrolling_sideways(browser: Browser, server: Server) -> None:
    with opened_console(browser, server, viewport=PHONE, has_touch=True, is_mobile=True) as page:
        fill(page)
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        outside = page.evaluate(
            """() => [...document.querySelectorAll("main *")]
                .filter((element) => element.checkVisibility())
                .filter((element) => element.getBoundingClientRect().right > innerWidth + 0.5)
                .map((element) => element.outerHTML.slice(0, 200))"""
        )
        assert outside == []


def fill(page: Page) -> None:
    """Makes every part of the page show something."""
    expect(page.locator("#verdict")).to_contain_text(ANSWERED)
    page.get_by_role("searchbox").fill(CLEO)
    page.get_by_role("radio", name="file").check()
    expect(page.locator("#users-table")).to_contain_text("Unbuilt")
    page.locator("#users-table tr", has_text="Unbuilt").get_by_role("button").click()
    expect(page.locator("#explanation .answer")).to_contain_text("Refused")
    page.get_by_role("button", name="Examine the site").click()
    expect(page.locator("#findings-status")).to_contain_text("problems.")


# The keyboard

_FOCUSED = """() => {
    const element = document.activeElement;
    const { outlineStyle, outlineWidth } = getComputedStyle(element);
    const shown = element.matches("[type=radio]") ? element.closest("label") : element;
    const style = getComputedStyle(shown);
    const { left, right } = shown.getBoundingClientRect();
    return {
        id: element.id || element.name || element.textContent.trim(),
        name: element.tagName,
        is_marked: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
        is_on_page: right > 0 && left < innerWidth,
    };
}"""


def test_the_tab_key_goes_through_the_whole_page_and_out_of_it(page: Page) -> None:
    expect(page.locator("#verdict")).to_contain_text(ANSWERED)
    expect(page.locator("#users-table")).to_contain_text("Review")
    seen: list[dict[str, Any]] = []
    for _ in range(150):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        seen.append(page.evaluate(_FOCUSED))
    else:
        pytest.fail("the focus never left the page")
    assert seen[0]["id"] == "Skip to the state of the gateway"
    assert [stop for stop in seen if not stop["is_marked"] or not stop["is_on_page"]] == []
    stops = [stop["id"] for stop in seen]
    for expected in ("search", "Search", "users-next", "examine", "by", "url", "Explain", "hard"):
        assert expected in stops


def test_a_purge_is_made_with_the_keyboard_alone(page: Page) -> None:
    expect(page.locator("#verdict")).to_contain_text(ANSWERED)
    page.locator("#purge-form [name=user]").focus()
    page.keyboard.type(CLEO)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Forget it")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#purge-status")).to_have_text("Done: all workers were told.")


def test_the_focus_stays_while_the_numbers_change(page: Page, server: Server) -> None:
    def ask(name: str, times: int) -> None:
        for _ in range(times):
            server.get(f"/api/v1/plugins/Review/{name}.html")

    def names() -> list[str]:
        read = "rows => rows.map(row => row.textContent.match(/[ab]\\.html/)?.[0]).filter(Boolean)"
        found: list[str] = page.locator("#refused tbody tr").evaluate_all(read)
        return found

    ask("a", 3)
    ask("b", 1)
    eventually(names, lambda found: found == ["a.html", "b.html"])
    row = page.locator("#refused").get_by_role("button", name="b.html")
    row.focus()
    ask("b", 5)
    eventually(names, lambda found: found == ["b.html", "a.html"])
    expect(row).to_be_focused()


# Structure


def test_every_field_has_a_label_and_every_part_a_heading(page: Page) -> None:
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("input, select")]
            .filter((field) => field.labels.length === 0).map((field) => field.outerHTML)"""
    )
    assert unnamed == []
    levels = page.locator("h1, h2, h3").evaluate_all("all => all.map((one) => +one.tagName[1])")
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    for role in ("banner", "navigation", "main", "search"):
        expect(page.get_by_role(role)).to_have_count(1)
    for link in page.get_by_role("navigation").get_by_role("link").all():
        target = page.locator(link.get_attribute("href") or "")
        expect(target.locator("h2").first).to_be_attached()


def test_nothing_moves_for_those_who_asked_for_that(browser: Browser, server: Server) -> None:
    with opened_console(browser, server, reduced_motion="reduce") as page:
        expect(page.locator("#stream")).to_have_text("Live")
        assert page.evaluate("document.getAnimations().length") == 0
        assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_without_scripts_the_page_says_so(browser: Browser, server: Server) -> None:
    context = browser.new_context(http_credentials=CREDENTIALS, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{server.port}/-/console")
    notice = page.locator("noscript p")  # get_by_text leaves out what is in a noscript
    expect(notice).to_be_visible()
    expect(notice).to_contain_text("This page needs JavaScript.")
    context.close()
