"""The numbers are live, and the first line says whether anything is wrong, and with what."""

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.console import ANSWERED, console_environment, opened_console
from tests.support.mounted import URL_PREFIX, serving_mounted
from tests.support.server import Server, serving
from tests.support.site import ADA, BEN, NOBODY, Site, bearer, populated
from tests.support.urls import MANIFEST, own
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

_AT = r"^at \d\d:\d\d:\d\d"
# Every text that an element has from now on.
_RECORD = """(selector) => {
    const element = document.querySelector(selector);
    window.said = [element.textContent];
    new MutationObserver(() => window.said.push(element.textContent))
        .observe(element, { subtree: true, childList: true, characterData: true });
}"""


def test_the_first_line_is_about_the_three_parts(page: Page) -> None:
    expect(page.locator("#parts h2")).to_have_text(["Database", "Disk", "Gateway"])
    expect(page.locator("#stream")).to_have_text("Live")
    word, title, states = page.evaluate(
        """() => [document.querySelector("#verdict b").textContent, document.title,
            [...document.querySelectorAll("#parts b")].map((state) => state.textContent)]"""
    )
    # On a machine that is busy with other tests, a part may be slow.
    assert word == ("Healthy" if states == ["good", "good", "good"] else "Strained")
    assert title == f"{word} · Gateway console"


def test_the_plots_show_requests_that_are_made_meanwhile(page: Page, server: Server) -> None:
    rate = page.locator(".plot", has_text="Requests per second").locator("li", has_text="all")
    expect(rate.locator("b")).to_have_text("0")

    def shown() -> str:
        for _ in range(50):
            server.get(MANIFEST, bearer(BEN))
        return rate.locator("b").inner_text()

    eventually(shown, lambda text: text not in ("\u2013", "0") and float(text) > 1)


def test_a_plot_is_read_with_the_arrow_keys(page: Page) -> None:
    plot = page.get_by_role("slider", name="Latency, by time")
    expect(plot).to_have_attribute("aria-valuetext", re.compile("^now: "))
    eventually(lambda: plot.get_attribute("aria-valuemax"), lambda text: int(text or 0) >= 2)
    plot.focus()
    page.keyboard.press("ArrowLeft")
    expect(plot).to_have_attribute("aria-valuetext", re.compile(_AT + ": "))
    # All plots show that moment.
    for moment in page.locator(".moment").all():
        expect(moment).to_have_text(re.compile(_AT))
    page.keyboard.press("Escape")
    expect(page.locator(".moment").first).to_have_text("now")


def test_a_plot_is_read_with_the_mouse(page: Page) -> None:
    plot = page.get_by_role("slider", name="Processor cores in use, by time")
    eventually(lambda: plot.get_attribute("aria-valuemax"), lambda text: int(text or 0) >= 2)
    plot.hover(position={"x": 200, "y": 60})
    expect(page.locator(".moment").first).to_have_text(re.compile(_AT))
    page.mouse.move(5, 5)
    expect(page.locator(".moment").first).to_have_text("now")


def test_a_refused_request_is_listed_and_explained_by_a_click(page: Page, server: Server) -> None:
    path = own("Review", "dist/index.html")
    assert server.get(path, bearer(ADA)).code == "type_not_allowed"
    page.locator("#refused").get_by_role("button", name=path).click()
    expect(page.locator("#explanation .answer")).to_contain_text("not_authenticated")
    assert page.locator("#explain-form [name=url]").input_value() == path
    expect(page.locator("#explanation")).to_be_focused()


def test_a_locked_database_degrades_the_gateway_and_is_named(
    browser: Browser, tmp_path: Path
) -> None:
    site = populated(tmp_path)
    environment = console_environment(site, GATEWAY__DATABASE__QUERY_TIMEOUT="0.5")
    with (
        serving(environment) as server,
        opened_console(browser, server, expected="503") as page,
    ):
        expect(page.locator("#verdict")).to_contain_text(ANSWERED)
        with site.locked():
            server.get(own("Review"), bearer(NOBODY))
            expect(page.locator("#verdict")).to_contain_text("Degraded")
            expect(page.locator("#verdict")).to_contain_text("database is locked")
            expect(page.locator("#parts li", has_text="Database")).to_contain_text("failing")
            # On a machine that is busy with other tests, the disk may be slow.
            expect(page.locator("#parts li", has_text="Disk")).not_to_contain_text("failing")
            assert page.title() == "Degraded · Gateway console"
        # It failed in the last minute: that is no health yet.
        expect(page.locator("#verdict")).to_contain_text("Strained The database failed for")


def test_a_lost_stream_is_said_and_comes_back_by_itself(browser: Browser, site: Site) -> None:
    with (
        serving(console_environment(site), "--workers", "2") as server,
        opened_console(browser, server, expected="ERR_INCOMPLETE_CHUNKED_ENCODING") as page,
    ):
        worker = page.locator("#workers tr", has_text="sends this page its numbers").locator("th")
        pid = int(worker.locator("span").inner_text())
        page.evaluate(_RECORD, "#stream")
        os.kill(pid, signal.SIGKILL)
        eventually(
            lambda: page.evaluate("said"),
            lambda said: any(text.startswith("No news since") for text in said),
        )
        expect(page.locator("#stream")).to_have_text("Live")
        expect(page.locator("#workers")).not_to_contain_text(str(pid))


def test_renewed_workers_are_no_loss(browser: Browser, tmp_path: Path) -> None:
    site = populated(tmp_path)
    with (
        serving(console_environment(site), "--workers", "2") as server,
        opened_console(browser, server) as page,
    ):
        workers = page.locator("#workers tbody th span")
        expect(workers).to_have_count(2)
        expect(page.locator("#stream")).to_have_text("Live")
        before = set(workers.all_inner_texts())
        page.evaluate(_RECORD, "#stream")
        server.process.send_signal(signal.SIGHUP)
        eventually(
            lambda: set(workers.all_inner_texts()),
            lambda now: len(now) == 2 and not now & before,
        )
        expect(page.locator("#stream")).to_have_text("Live")
        assert set(page.evaluate("window.said")) == {"Live"}


def test_the_page_works_below_a_prefix(browser: Browser, site: Site) -> None:
    environment = console_environment(site)
    with (
        serving_mounted("with_running", environment) as server,
        opened_console(browser, server, prefix=URL_PREFIX) as page,
    ):
        expect(page.locator("#verdict")).to_contain_text(ANSWERED)
        expect(page.locator("#users-table")).to_contain_text("Review")


# Three hours of samples and states, as fast as they can be read. A real gateway takes three hours.
_SAMPLE = {"requests_per_s": 5.0, "cpu_cores": 0.5, "p99_s": 0.1}
_HOURS_S = 3 * 3600


def test_a_page_that_is_open_for_hours_holds_ten_minutes(page: Page) -> None:
    expect(page.locator("#verdict")).to_contain_text(ANSWERED)
    now = time.time()
    events = [
        f"event: sample\ndata: {json.dumps({'time': now + second, **_SAMPLE})}\n\n"
        for second in range(0, _HOURS_S, 2)
    ]
    page.route(
        "**/console/events",
        lambda route: route.fulfill(
            content_type="text/event-stream",
            # The browser is told not to come again before the end of the test.
            body=f"retry: {_HOURS_S * 1000}\n\n" + "".join(events),
        ),
    )
    elements = "document.querySelectorAll('*').length"
    before = page.evaluate(elements)
    page.reload()
    plot = page.get_by_role("slider", name="Latency, by time")
    expect(plot).to_have_attribute("aria-valuemax", "300")
    assert page.evaluate(elements) <= before + 50


def test_a_page_without_news_says_that_its_numbers_are_old(
    browser: Browser, tmp_path: Path
) -> None:
    with (
        serving(console_environment(populated(tmp_path))) as server,
        opened_console(browser, server, expected="ERR_CONNECTION_REFUSED") as page,
    ):
        expect(page.locator("#verdict")).to_contain_text(ANSWERED)
        assert server.stop() == 0
        expect(page.locator("#verdict")).to_contain_text("No news")
        assert page.title() == "No news · Gateway console"
