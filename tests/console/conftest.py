from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import chromium
from tests.support.console import (
    DEADLINE_MS,
    console_environment,
    large_site,
    opened_console,
)
from tests.support.server import Server, serving
from tests.support.site import Site, populated


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return large_site(populated(Path(tmp_path_factory.mktemp("site"))))


@pytest.fixture(scope="package")
def server(site: Site) -> Iterator[Server]:
    with serving(console_environment(site)) as running:
        yield running


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        expect.set_options(timeout=DEADLINE_MS)
        yield running


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """The console, on a desk."""
    with opened_console(browser, server, viewport={"width": 1400, "height": 1000}) as page:
        yield page
