"""Demos, a browser, and pages in it that may report no error."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.demo.host_page import DEADLINE_MS, watch_errors
from tests.support.browser import chromium
from tests.support.server import Server, serving


@pytest.fixture(scope="module")
def demo() -> Iterator[Server]:
    """A demo for all tests of a file that change nothing in it."""
    with serving({}, command="demo") as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of the site of `own_demo`."""
    return tmp_path / "site"


@pytest.fixture
def own_demo(folder: Path) -> Iterator[Server]:
    """A demo whose users and plugins one test changes."""
    with serving({}, "--dir", str(folder), command="demo") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        expect.set_options(timeout=DEADLINE_MS)
        yield running


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser with an empty cache."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(DEADLINE_MS)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page that must not report an error by the end of the test."""
    page = context.new_page()
    errors = watch_errors(page)
    yield page
    assert errors == []
