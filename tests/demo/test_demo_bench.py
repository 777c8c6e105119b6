"""The demo's first page: two users side by side, what is changed there, and what is drawn of it."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, FrameLocator, Locator, Page, Response, Route, expect

from gateway.demo.demo_site import USERS, DemoUser, demo_plugins
from tests.demo.host_page import card, expect_running, watch_errors
from tests.support.server import Server, serving
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ADA, GRACE, _ = USERS
REVIEW = "NetworkReview"
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def bench(page: Page, demo: Server) -> Page:
    """The page, when both users' pages run and the first request is drawn."""
    return opened_bench(page, demo)


@pytest.fixture
def own_bench(page: Page, own_demo: Server) -> Page:
    """The same page, of a demo that the test may change."""
    return opened_bench(page, own_demo)


def opened_bench(page: Page, demo: Server, *, is_still: bool = True) -> Page:
    """`is_still`: for somebody who wants no motion, for whom it is drawn at once."""
    page.emulate_media(reduced_motion="reduce" if is_still else "no-preference")
    page.goto(f"http://127.0.0.1:{demo.port}/")
    expect_running(window(page, ADA), REVIEW, "1.0.0")
    expect_running(window(page, GRACE), REVIEW, "1.0.1")
    expect_drawn(page)
    return page


def window(page: Page, user: DemoUser) -> FrameLocator:
    return page.frame_locator(f'iframe[title^="{user.name}"]')


def press(page: Page, user: DemoUser, button: str, slug: str = REVIEW) -> None:
    """Waits until the change is made, and drawn."""
    panel = page.get_by_test_id(f"panel-{user.key}")
    panel.get_by_test_id(f"controls-{slug}").get_by_role("button", name=button).click()
    expect(panel.get_by_role("status")).to_contain_text(f"{slug}: ")
    expect_drawn(page)


def publish(page: Page, version: str) -> None:
    page.get_by_test_id("publish").click()
    status = page.get_by_test_id("shared").get_by_role("status")
    expect(status).to_contain_text(f"{version} is published.")
    expect_drawn(page)


def expect_drawn(page: Page) -> None:
    expect(page.get_by_test_id("flow")).to_have_attribute("data-state", "drawn")
    expect(page.locator(".steps > li.lit")).to_have_count(5)


def step(page: Page, name: str) -> Locator:
    return page.locator(f'.steps [data-step="{name}"]')


def expect_kept(page: Page | FrameLocator, version: str, files: int) -> None:
    expect(card(page, REVIEW).locator(".kept")).to_contain_text(
        f"This open page keeps {version}: {files} of its {files} files came again.",
    )


def test_an_upgrade_of_one_user_leaves_the_other_users_page_as_it_is(own_bench: Page) -> None:
    publish(own_bench, "1.0.2")
    press(own_bench, GRACE, "Upgrade to 1.0.2")
    expect_running(window(own_bench, GRACE), REVIEW, "1.0.2")
    expect_running(window(own_bench, ADA), REVIEW, "1.0.0")
    expect_kept(window(own_bench, ADA), "1.0.0", files=4)
    expect(own_bench.get_by_role("heading", level=2).first).to_have_text(
        "Network Review: 1.0.0 for Ada, 1.0.2 for Grace"
    )


def test_an_open_page_still_loads_chunks_of_the_version_that_its_user_has_left(
    context: BrowserContext, own_bench: Page, own_demo: Server
) -> None:
    """The page is open in a tab of its own, and a chunk of it comes after the upgrade."""
    tab = context.new_page()
    errors = watch_errors(tab)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    tab.route("**/dist/Timeline.js", hold)
    tab.goto(f"http://127.0.0.1:{own_demo.port}/?user={GRACE.key}")
    expect(card(tab, REVIEW)).to_have_attribute("data-state", "running")
    # Events come while a question waits.
    eventually(lambda: (tab.title(), len(held)), lambda found: found[1] == 1)
    press(own_bench, GRACE, "Roll back to 1.0.0")
    expect_running(window(own_bench, GRACE), REVIEW, "1.0.0")

    with tab.expect_response("**/dist/Timeline.js") as late:
        held[0].continue_()
    assert late.value.status == 200
    assert "NetworkReview 1.0.1" in late.value.text()[:100]
    expect(card(tab, REVIEW).get_by_text("Timeline", exact=True)).to_be_visible()
    expect_running(tab, REVIEW, "1.0.1")
    expect(card(tab, REVIEW).locator(".kept")).to_contain_text("Grace has 1.0.0 now.")
    assert errors == []


def test_another_page_of_the_same_user_keeps_its_version(page: Page, own_demo: Server) -> None:
    page.goto(f"http://127.0.0.1:{own_demo.port}/?compare={ADA.key},{ADA.key}")
    first, second = (page.frame_locator("iframe").nth(side) for side in (0, 1))
    for side in (first, second):
        expect_running(side, REVIEW, "1.0.0")
    expect(page.get_by_text("and see that the other page stays as it is")).to_be_visible()
    page.get_by_role("button", name="Upgrade to 1.0.1").first.click()
    expect_running(first, REVIEW, "1.0.1")
    expect_running(second, REVIEW, "1.0.0")
    expect(card(second, REVIEW).locator(".kept")).to_have_text(
        "Ada has 1.0.1 now. This open page keeps 1.0.0: 4 of its 4 files came again."
    )
    page.get_by_role("button", name="Load Ada").last.click()
    expect_running(second, REVIEW, "1.0.1")


def test_what_was_rolled_back_can_be_upgraded_again(own_bench: Page, own_demo: Server) -> None:
    press(own_bench, ADA, "Upgrade to 1.0.1")
    expect_running(window(own_bench, ADA), REVIEW, "1.0.1")
    expect(own_bench.get_by_role("heading", level=2).first).to_have_text(
        "Network Review: 1.0.1 for Ada and Grace"
    )
    press(own_bench, ADA, "Roll back to 1.0.0")
    expect_running(window(own_bench, ADA), REVIEW, "1.0.0")
    controls = own_bench.get_by_test_id(f"panel-{ADA.key}").get_by_test_id(f"controls-{REVIEW}")
    expect(controls.get_by_role("button", name="Upgrade to 1.0.1")).to_be_enabled()
    expect(controls.get_by_role("button", name="Roll back")).to_be_focused()
    expect_kept(window(own_bench, GRACE), "1.0.1", files=5)


def test_a_plugin_is_installed_and_uninstalled(context: BrowserContext, own_demo: Server) -> None:
    own_bench = opened_bench(context.new_page(), own_demo)  # whose console reports the 404
    press(own_bench, GRACE, "Install", "NetworkEyes")
    expect_running(window(own_bench, GRACE), "NetworkEyes", "1.0.0")
    press(own_bench, ADA, "Uninstall", "NetworkEyes")
    expect(card(window(own_bench, ADA), "NetworkEyes")).to_have_count(0)
    expect(step(own_bench, "bytes")).to_contain_text("404, not_installed")


def test_the_drawing_shows_what_the_rows_the_files_and_the_gateway_say(
    own_bench: Page, own_demo: Server, folder: Path
) -> None:
    asked: list[dict[str, str]] = []
    path = f"/api/v1/plugins/{REVIEW}/dist/remoteEntry.js"

    def keep(answer: Response) -> None:
        if urlsplit(answer.url).path == path:
            asked.append(answer.headers)

    own_bench.on("response", keep)
    press(own_bench, ADA, "Upgrade to 1.0.1")
    first, again = asked

    expect(own_bench.locator(".said")).to_contain_text(f"PUT /api/v1/plugins/{REVIEW}/update: 200")
    expect(step(own_bench, "who")).to_contain_text(ADA.id[:8])
    for name, before, after in (
        ("json", f'"{REVIEW}": {{…}}', f'"{REVIEW}": {{… "previous_versions": ["1.0.0"]}}'),
        ("row", "version: 1.0.0", "version: 1.0.1"),
        ("path", *(f"shared/{REVIEW}/v1.0.{n}/dist/remoteEntry.js" for n in (0, 1))),
    ):
        expect(step(own_bench, name).locator("del")).to_have_text(before)
        expect(step(own_bench, name).locator("ins")).to_have_text(after)
    file = folder / "plugins" / "users" / f"user_{ADA.id}" / "installed_plugins.json"
    entry = json.loads(file.read_bytes())[REVIEW]
    assert entry["installation_metadata"]["previous_versions"] == ["1.0.0"]

    expect(step(own_bench, "bytes").locator(".value")).to_have_text(first["etag"])
    for name, cache in (("json", "installations"), ("row", "versions"), ("bytes", "assets")):
        for number, headers in ((1, first), (2, again)):
            line = step(own_bench, name).locator(f'[data-request="{number}"]')
            expect(line).to_contain_text("hit" if is_hit(headers, cache) else "loaded")
    assert not is_hit(first, "versions")  # the change was heard
    total = float(re.search(r"total;dur=([0-9.]+)", again["server-timing"])[1])  # type: ignore[index]
    line = step(own_bench, "bytes").locator('[data-request="2"]')
    expect(line).to_contain_text(f"304, 0\u00a0B, {total:.1f}\u00a0ms")


def is_hit(headers: dict[str, str], cache: str) -> bool:
    (member,) = [
        each for each in headers["cache-status"].split(", ") if each.partition(";")[0] == cache
    ]
    return "; hit" in member


def test_publishing_is_drawn_as_a_new_folder_that_nobody_has(own_bench: Page, folder: Path) -> None:
    publish(own_bench, "1.0.2")
    expect(step(own_bench, "row").locator("del")).to_have_count(0)
    expect(step(own_bench, "row")).to_contain_text("version: 1.0.1")
    expect(step(own_bench, "path")).to_contain_text("new: v1.0.2, 16 files, build ")
    line = own_bench.get_by_test_id("shared").locator('[data-version="1.0.2"]')
    expect(line).to_contain_text("nobody")
    expect(line).to_contain_text("16 files")
    press(own_bench, ADA, "Upgrade to 1.0.2")
    expect(line).to_contain_text("Ada")
    expect(own_bench.get_by_test_id("shared")).not_to_contain_text("Nobody has it yet")


def test_a_refusal_is_said_where_the_button_is(context: BrowserContext, demo: Server) -> None:
    bench = opened_bench(context.new_page(), demo)  # whose console reports the 409
    bench.route(
        "**/demo/publish",
        lambda route: route.fulfill(status=409, json={"detail": "No more.", "code": "x"}),
    )
    bench.get_by_test_id("publish").click()
    expect(bench.get_by_test_id("shared").get_by_role("status")).to_have_text("No more.")


@pytest.mark.parametrize("way", ["hover", "focus", "tap"])
def test_a_term_is_explained(bench: Page, way: str) -> None:
    word = step(bench, "row").get_by_role("button", name="row")
    tip = bench.locator(f"#{word.get_attribute('aria-describedby')}")
    expect(word).to_have_accessible_description(re.compile("One row of the application"))
    expect(tip).to_be_hidden()
    {"hover": word.hover, "focus": word.focus, "tap": word.click}[way]()
    expect(tip).to_be_visible()
    if way == "hover":
        tip.hover()  # the pointer may go there, to select its text
        expect(tip).to_be_visible()
        bench.mouse.move(0, 0)
    else:
        bench.keyboard.press("Escape")
    expect(tip).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(context: BrowserContext, demo: Server, scheme: Any) -> None:
    page = context.new_page()
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    for path in ("/", f"/?user={ADA.key}"):
        page.goto(f"http://127.0.0.1:{demo.port}{path}")
        place = window(page, ADA) if path == "/" else page
        expect_running(place, REVIEW, "1.0.0")
        if path == "/":
            expect_drawn(page)
            page.get_by_test_id("flow").get_by_role("button", name="ETag").focus()
        widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths == [PHONE["width"]] * 2


def test_the_page_of_gateway_dev_compares_and_changes_nothing(page: Page, tmp_path: Path) -> None:
    plugin = str(demo_plugins() / "shared" / REVIEW / "v1.0.1")
    elsewhere = ("env", "-C", str(tmp_path))  # in a folder without a site
    with serving({"PYTHONPATH": str(ROOT)}, plugin, command="dev", under=elsewhere) as dev:
        page.goto(f"http://127.0.0.1:{dev.port}/?compare={ADA.key},{GRACE.key}")
        expect(window(page, ADA).locator("[data-plugin-version]").first).to_be_visible()
        expect_running(window(page, GRACE), REVIEW, "1.0.1")
        expect(page.get_by_role("button", name=re.compile("Upgrade|Roll|Publish"))).to_have_count(0)


def test_the_page_asks_no_other_host(bench: Page, demo: Server) -> None:
    loaded: list[str] = bench.evaluate(
        "performance.getEntriesByType('resource').map(entry => entry.name)"
    )
    assert {urlsplit(url).netloc for url in loaded} == {f"127.0.0.1:{demo.port}"}


def test_the_boxes_light_up_in_the_order_of_the_decision(page: Page, own_demo: Server) -> None:
    opened_bench(page, own_demo, is_still=False)
    page.evaluate(
        """() => new MutationObserver(all => all.forEach(({ target }) =>
            (window.litSteps ??= []).push(target.dataset.step)))
            .observe(document.querySelector(".steps"),
                { subtree: true, attributeFilter: ["class"] })"""
    )
    press(page, ADA, "Upgrade to 1.0.1")
    assert page.evaluate("litSteps") == ["who", "json", "row", "path", "bytes"]
