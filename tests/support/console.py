"""The console in a browser, opened as an administrator opens it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, HttpCredentials, Page

from tests.support.server import Server
from tests.support.site import CLEO, Site, with_refusals

ADMIN_TOKEN = "the-token-of-the-administrators"
MARKUP = "<img src=x onerror=alert(1)>"
"""A version that another program wrote into the table."""
CREDENTIALS = HttpCredentials(username="any", password=ADMIN_TOKEN)
MANY = 30
"""Users beside the usual ones: more than the console shows on a page."""
DEADLINE_MS = 20_000
ANSWERED = re.compile("^(Healthy|Strained) ")
"""The first line while requests are answered; a busy machine is a strain."""


def console_environment(site: Site, **more: str) -> dict[str, str]:
    return {**site.environment, "GATEWAY__ADMIN__TOKEN": ADMIN_TOKEN, **more}


def large_site(site: Site) -> Site:
    """The populated site, more users, and a user whose plugins are refused for each reason."""
    for number in range(MANY):
        site.give(f"{number:032x}", "Review", "1.0.1" if number % 3 else "1.0.0")
    site.give(CLEO, "Marked", MARKUP)
    return with_refusals(site, CLEO)


@contextmanager
def opened_console(
    browser: Browser,
    server: Server,
    *,
    expected: str | None = None,
    prefix: str = "",
    **options: Any,
) -> Iterator[Page]:
    """The page. At the end of the block the browser must not have reported an error.

    `expected`: part of what it reports by itself, of a refusal or a connection that breaks.
    `prefix`: where the gateway is mounted.
    `options`: of the browser's context, such as `viewport` and `color_scheme`.
    """
    context = browser.new_context(http_credentials=CREDENTIALS, **options)
    context.set_default_timeout(DEADLINE_MS)
    page = context.new_page()
    complaints = watched(page)
    page.goto(f"http://127.0.0.1:{server.port}{prefix}/-/console")
    yield page
    context.close()
    unexpected = [text for text in complaints if expected is None or expected not in text]
    assert unexpected == [], unexpected


def watched(page: Page) -> list[str]:
    """What the browser reports from now on: errors, and what the policy of the page forbids."""
    complaints: list[str] = []

    def hear(kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            complaints.append(text)

    page.on("console", lambda message: hear(message.type, message.text))
    page.on("pageerror", lambda error: hear("error", str(error)))
    return complaints
