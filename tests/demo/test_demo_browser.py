"""The demo in a real browser: every user's plugins run, at their versions, from the right URLs."""

import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    BrowserContext,
    Locator,
    Page,
    Response,
    Route,
    expect,
)

from gateway.demo.demo_site import USERS, DemoUser, demo_plugins
from gateway.names import Slug
from tests.demo.host_page import (
    DEADLINE_MS,
    card,
    cards,
    expect_running,
    open_user,
    watch_errors,
)
from tests.support.server import Server, serving
from tests.support.urls import MANIFEST
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

_PIN = r"@{version}~[0-9a-f]{{16}}"
ADA, GRACE, LIN = USERS
each_user = pytest.mark.parametrize("user", USERS, ids=lambda user: user.key)

# Resource Timing of what the page itself loaded below an address: name → (bytes over the
# network, bytes of the content). Questions that scripts ask by fetch are left out.
_LOADED = """address => Object.fromEntries(performance.getEntriesByType("resource")
    .filter(entry => entry.name.startsWith(address) && entry.initiatorType !== "fetch")
    .map(entry => [entry.name, [entry.transferSize, entry.decodedBodySize]]))"""


def watch_files(page: Page) -> dict[str, Response]:
    """Answers to scripts and images of plugins, by URL without its query."""
    answers: dict[str, Response] = {}

    def keep(response: Response) -> None:
        url = urlsplit(response.url)
        if "/plugins/" in url.path and response.request.resource_type in ("script", "image"):
            answers[url.path] = response

    page.on("response", keep)
    return answers


def expect_failed(page: Page, slug: str, status: int, code: str) -> None:
    plugin = card(page, slug)
    expect(plugin).to_have_attribute("data-state", "failed", timeout=DEADLINE_MS)
    for text in (str(status), code):
        expect(plugin.locator(".notice code").get_by_text(text, exact=True)).to_be_visible()


def built_files(slug: str, version: str) -> set[str]:
    """Names of what webpack made of a version; a page that shows the plugin loads them all."""
    folder = demo_plugins() / "shared" / slug / f"v{version}" / "dist"
    return {path.name for path in folder.iterdir()}


def expect_all_loaded(page: Page, slug: str, version: str) -> Locator:
    """Rows of the card's table of files, one for each built file."""
    rows = card(page, slug).locator("table.files tbody tr")
    expect(rows).to_have_count(len(built_files(slug, version)), timeout=DEADLINE_MS)
    return rows


def address_of(user: DemoUser, slug: str) -> str:
    return f"/api/v1/public/plugins/{user.id}_{slug}/"


@each_user
def test_users_see_exactly_their_plugins_running_at_their_versions(
    page: Page, demo: Server, user: DemoUser
) -> None:
    open_user(page, demo, user)
    expect(cards(page)).to_have_count(len(user.versions))
    for slug, version in user.versions.items():
        expect_running(page, slug, version)


def test_choosing_another_user_shows_their_plugins(page: Page, demo: Server) -> None:
    open_user(page, demo, ADA)
    expect(page.get_by_test_id(f"user-{ADA.key}")).to_have_attribute("aria-current", "page")
    page.get_by_test_id(f"user-{LIN.key}").click()
    expect(page.get_by_test_id(f"user-{LIN.key}")).to_have_attribute("aria-current", "page")
    expect(cards(page)).to_have_count(len(LIN.versions))
    expect_running(page, "NetworkEyes", "1.0.0")


def test_two_versions_of_one_plugin_run_side_by_side(page: Page, demo: Server) -> None:
    answers = watch_files(page)
    open_user(page, demo, ADA)
    page.get_by_test_id("compare").click()
    for user in (ADA, GRACE):
        frame = page.frame_locator(f'iframe[title^="{user.name}"]')
        expect(cards(frame)).to_have_count(len(user.versions))
        for slug, version in user.versions.items():
            expect_running(frame, slug, version)
    expect(page.get_by_role("heading", level=2).first).to_have_text(
        "Network Review: 1.0.0 for Ada, 1.0.1 for Grace"
    )
    entries = [path for path in answers if path.endswith("_NetworkReview/dist/remoteEntry.js")]
    assert entries == []  # nothing unpinned
    for user in (ADA, GRACE):
        pin = _PIN.format(version=re.escape(user.versions[Slug("NetworkReview")]))
        entry = re.compile(address_of(user, "NetworkReview") + pin + "/dist/remoteEntry.js")
        assert any(entry.fullmatch(path) for path in answers)


@each_user
def test_chunks_come_from_beside_the_pinned_entry(page: Page, demo: Server, user: DemoUser) -> None:
    answers = watch_files(page)
    open_user(page, demo, user)
    for slug, version in user.versions.items():
        expect_all_loaded(page, slug, version)
        address = address_of(user, slug)
        below = {path: answer for path, answer in answers.items() if path.startswith(address)}
        folder = re.compile(address + _PIN.format(version=re.escape(version)) + "/dist/")
        folders = {path.rpartition("/")[0] + "/" for path in below}
        assert len(folders) == 1
        assert folder.fullmatch(folders.pop())
        assert {path.rpartition("/")[2] for path in below} == built_files(slug, version)
        for path, answer in below.items():
            assert answer.status == 200
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            if path.endswith(".js"):
                assert f"{slug} {version}" in answer.text()[:200], path


def test_a_second_visit_answers_pinned_files_from_the_browsers_cache(
    context: BrowserContext, page: Page, demo: Server
) -> None:
    for visit, view in enumerate((page, context.new_page())):
        open_user(view, demo, ADA)
        for slug, version in ADA.versions.items():
            expect_all_loaded(view, slug, version)
            address = f"http://127.0.0.1:{demo.port}{address_of(ADA, slug)}"
            loaded: dict[str, Any] = view.evaluate(_LOADED, address)
            assert len(loaded) == len(built_files(slug, version))
            for url, (transferred, size) in loaded.items():
                assert size > 0, url
                assert (transferred > 0) == (visit == 0), url


def test_the_files_table_shows_304_for_what_is_asked_again(page: Page, demo: Server) -> None:
    open_user(page, demo, ADA)
    for slug, version in ADA.versions.items():
        rows = expect_all_loaded(page, slug, version)
        for row in rows.all():
            _, first, again = row.locator("th, td").all()
            expect(first.locator("b")).to_have_text("200", timeout=DEADLINE_MS)
            expect(again.locator("b")).to_have_text("304", timeout=DEADLINE_MS)
            expect(first.locator("dl")).to_contain_text("public, max-age=31536000, immutable")


def test_the_button_of_network_eyes_says_what_it_will_do(page: Page, demo: Server) -> None:
    open_user(page, demo, LIN)
    card(page, "NetworkEyes").get_by_role("button", name="Pause").click()
    card(page, "NetworkEyes").get_by_role("button", name="Resume").click()
    expect(card(page, "NetworkEyes").get_by_role("button", name="Pause")).to_be_visible()


def test_a_number_and_its_unit_stay_on_one_line(context: BrowserContext, demo: Server) -> None:
    page = context.new_page()
    page.set_viewport_size({"width": 390, "height": 800})
    open_user(page, demo, LIN)
    expect_running(page, "NetworkEyes", "1.0.0")
    numbers = card(page, "NetworkEyes").locator(".ne-numbers dd")
    expect(numbers.first).to_contain_text(" ms", timeout=DEADLINE_MS)
    # As wide as a slow machine makes it.
    for number in numbers.all():
        boxes: int = number.evaluate(
            """dd => { dd.textContent = "999.9 ms"; const text = document.createRange();
                text.selectNodeContents(dd); return text.getClientRects().length; }"""
        )
        assert boxes == 1


def test_a_version_without_files_shows_the_gateways_code(
    context: BrowserContext, tmp_path: Path
) -> None:
    with serving(_NO_WAIT, "--dir", str(tmp_path / "site"), command="demo") as server:
        page = context.new_page()
        open_user(page, server, ADA)
        expect_running(page, "NetworkReview", "1.0.0")
        page.close()

        unpublish(tmp_path / "site", "NetworkReview", "1.0.0")
        eventually(lambda: bundle_location(server, ADA, "NetworkReview"), is_unpinned)
        page = context.new_page()
        errors = watch_errors(page)
        open_user(page, server, ADA)
        expect_failed(
            page, "NetworkReview", 404, "unknown_plugin"
        )  # the public route tells no more
        expect_running(page, "NetworkEyes", "1.0.0")
        refused = ("404", "_NetworkReview/")  # the answer, and the script it would have been
        assert [error for error in errors if not any(text in error for text in refused)] == []

        open_user(page, server, GRACE)
        expect_running(page, "NetworkReview", "1.0.1")


def test_a_pin_whose_bytes_are_gone_shows_version_retired(
    context: BrowserContext, tmp_path: Path
) -> None:
    """The page has the manifest already, as an open page has, when the folder goes."""
    with serving(_NO_WAIT, "--dir", str(tmp_path / "site"), command="demo") as server:
        page = context.new_page()

        def retire_first(route: Route) -> None:
            unpublish(tmp_path / "site", "NetworkReview", "1.0.0")
            pinned = urlsplit(route.request.url).path
            eventually(lambda: server.get(pinned).status, lambda status: status == 410)
            route.continue_()

        page.route("**/*_NetworkReview/@*/dist/remoteEntry.js*", retire_first, times=1)
        open_user(page, server, ADA)
        expect_failed(page, "NetworkReview", 410, "version_retired")
        expect_running(page, "NetworkEyes", "1.0.0")


# Each request looks at the folders anew.
_NO_WAIT = {"GATEWAY__CACHE__ASSETS__REVALIDATE": "0"}


def unpublish(site: Path, slug: str, version: str) -> None:
    shutil.rmtree(site / "plugins" / "shared" / slug / f"v{version}")


def bundle_location(server: Server, user: DemoUser, slug: str) -> str:
    """Where the user's manifest sends the page."""
    tokens = {each["id"]: each["token"] for each in server.get("/demo/users.json").json["users"]}
    manifest = server.get(MANIFEST, {"Authorization": f"Bearer {tokens[user.id]}"})
    return str(manifest.json[slug]["bundlelocation"])


def is_unpinned(location: str) -> bool:
    return not location.startswith("@")
