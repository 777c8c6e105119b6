"""Takes the pictures of docs/how-to/console.md: `python -m scripts.console_pictures`.

It needs Chromium and the packages of the group `dev`. The site is made anew, and is served by two
workers under some load.
"""

import argparse
import itertools
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.support.browser import chromium
from tests.support.console import console_environment, large_site, opened_console
from tests.support.server import Server, serving
from tests.support.site import ADA, BEN, CLEO, NOBODY, Site, bearer, populated
from tests.support.urls import MANIFEST, own

FOLDER = Path(__file__).parents[1] / "docs" / "how-to" / "console"
DESK = {"width": 1280, "height": 1060}
PHONE = {"width": 390, "height": 1100}
_PAUSE_S = 0.01
"""Between two requests."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=6.0, help="of load before the pictures")
    minutes: float = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        site = large_site(populated(Path(folder)))
        environment = console_environment(site, GATEWAY__DATABASE__QUERY_TIMEOUT="0.5")
        with serving(environment, "--workers", "2") as server, loaded(server) as load:
            load.wait(minutes * 60)
            take_pictures(browser, server, site)


def take_pictures(browser: Browser, server: Server, site: Site) -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, scheme, size in (
        ("light", "light", DESK),
        ("dark", "dark", DESK),
        ("phone", "light", PHONE),
    ):
        with opened_console(browser, server, color_scheme=scheme, viewport=size) as page:
            expect(page.locator("#verdict")).to_contain_text("Healthy")
            take(page, name)
            if name == "light":
                take_parts(page)
    with (
        opened_console(browser, server, color_scheme="light", viewport=DESK) as page,
        site.locked(),
    ):
        expect(page.locator("#verdict")).to_contain_text("Degraded")
        page.wait_for_timeout(20_000)
        take(page, "degraded")


def take_parts(page: Page) -> None:
    """The explanation of a refusal, and the question before a purge."""
    page.get_by_role("searchbox").fill(CLEO)
    page.locator("#users-table tr", has_text="Unbuilt").get_by_role("button").click()
    expect(page.locator("#explanation .answer")).to_contain_text("Refused")
    page.locator("#explain").screenshot(path=FOLDER / "explain.png")
    page.locator("#purge-form [name=user]").fill(ADA)
    page.locator("#purge-form").get_by_role("button").click()
    page.get_by_role("dialog").screenshot(path=FOLDER / "purge.png")


def take(page: Page, name: str) -> None:
    page.wait_for_function("document.querySelectorAll('#plots .lines path').length > 6")
    page.screenshot(path=FOLDER / f"{name}.png")


@contextmanager
def loaded(server: Server) -> Iterator[threading.Event]:
    """Users ask for files until the block ends. Nobody sets the event before that."""
    end = threading.Event()
    thread = threading.Thread(target=_ask_until, args=(server, end), daemon=True)
    thread.start()
    try:
        yield end
    finally:
        end.set()
        thread.join()


def _ask_until(server: Server, end: threading.Event) -> None:
    requests = [
        (MANIFEST, BEN),
        (own("Review"), ADA),
        (own("Review"), BEN),
        (own("Eyes"), ADA),
        (own("Review", "dist/1.js"), BEN),
    ]
    for turn in itertools.count():
        path, user = requests[turn % len(requests)]
        if turn % 40 == 0:
            path, user = own("Review"), f"{turn % 30:032x}"
        if turn % 90 == 0:
            path, user = own("Review"), NOBODY
        server.get(path, bearer(user))
        # A wave of three minutes.
        if end.wait(_PAUSE_S * (1 + (turn // 1500) % 3)):
            return


if __name__ == "__main__":
    main()
