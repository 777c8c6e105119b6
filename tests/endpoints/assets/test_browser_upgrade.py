"""A real Chromium loads a plugin, and then its next version: as the difference from the first."""

import random
from collections.abc import Iterator
from typing import NamedTuple

import brotli
import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.support.browser import chromium
from tests.support.dictionaries import asking
from tests.support.pages import Page, serving_pages
from tests.support.server import Server, serving
from tests.support.site import ADA, Site
from tests.support.urls import ENTRY, pin_of, public
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

_WORDS = random.Random(1).randbytes(60_000).hex()
OLD = f"const words = '{_WORDS}'; document.title = 'one ' + words.length;".encode()
NEW = OLD.replace(b"one", b"two") + b"document.title += ' new';"
OTHER_OLD, OTHER_NEW = (content + b"/* of another plugin */" for content in (OLD, NEW))
WIDTH = len(_WORDS)
URL = "/api/v1/public/plugins/{plugin}/{pin}/{entry}"


class Loaded(NamedTuple):
    """What the page shows, and what its script took on the wire."""

    title: str
    content_encoding: str | None
    wire_bytes: int
    """With the head; 0: from the browser's cache."""


class Upgrade(NamedTuple):
    """Where a script of each version is, and the page that loads it."""

    server: Server
    old: str
    new: str
    other_old: str
    other_new: str
    """Those of another plugin, whose files have the same names."""
    page: str
    """The origin of a page that loads the script that its query names."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def _page(target: str) -> Page:
    script = target.partition("?")[2]
    text = f"<!doctype html><title>none</title><script crossorigin src='{script}'></script>"
    return Page("text/html", text, "default-src *")


@pytest.fixture(scope="module")
def upgrade(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgrade]:
    site = Site(tmp_path_factory.mktemp("upgrade"))
    site.publish("Review", "1.0.0", {ENTRY: OLD})
    site.publish("Review", "1.0.1", {ENTRY: NEW})
    site.publish("Eyes", "1.0.0", {ENTRY: OTHER_OLD})
    site.publish("Eyes", "1.0.1", {ENTRY: OTHER_NEW})
    site.give(ADA, "Review", "1.0.0")
    site.give(ADA, "Eyes", "1.0.0")
    with serving_pages(_page) as origin:
        settings = {
            "GATEWAY__HTTP__CORS_ORIGINS": origin,
            "GATEWAY__OBSERVABILITY__ACCESS_LOG": "true",
            "GATEWAY__CACHE__VERSIONS__TTL": "0",
        }
        with serving({**site.environment, **settings}) as server:
            old = [_script(server, slug, "1.0.0") for slug in ("Review", "Eyes")]
            site.execute("UPDATE plugin SET version = '1.0.1'")
            new = [_script(server, slug, "1.0.1") for slug in ("Review", "Eyes")]
            for url, content in zip(new, (OLD, OTHER_OLD), strict=True):
                _wait_for_the_difference(server, url, content)
            yield Upgrade(server, old[0], new[0], old[1], new[1], origin)


def _script(server: Server, slug: str, version: str) -> str:
    """The pinned URL of Ada's, as soon as she has that version."""
    pin = eventually(lambda: pin_of(server, ADA, slug), lambda it: version in it)
    return public(f"{ADA}_{slug}", f"{pin}/{ENTRY}")


def _wait_for_the_difference(server: Server, url: str, dictionary: bytes) -> None:
    eventually(
        lambda: server.get(url, asking(dictionary)).headers.get("content-encoding"),
        lambda coding: coding == "dcz",
    )


def load(context: BrowserContext, upgrade: Upgrade, path: str) -> Loaded:
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.send("Network.enable")
    requests: dict[str, dict[str, object]] = {}
    sizes: dict[str, int] = {}
    devtools.on(
        "Network.responseReceived",
        lambda event: requests.update({event["requestId"]: event["response"]}),
    )
    devtools.on(
        "Network.loadingFinished",
        lambda event: sizes.update({event["requestId"]: int(event["encodedDataLength"])}),
    )
    url = f"http://localhost:{upgrade.server.port}{path}"
    page.goto(f"{upgrade.page}/?{url}")
    page.wait_for_function("document.title != 'none'")
    page.wait_for_load_state("networkidle")
    title = page.title()
    ((name, response),) = [(n, r) for n, r in requests.items() if r["url"] == url]
    page.close()
    headers = response["headers"]
    assert isinstance(headers, dict)
    fields = {str(key).lower(): str(value) for key, value in headers.items()}
    return Loaded(title, fields.get("content-encoding"), sizes[name])


def test_an_upgrade_costs_its_difference_and_the_second_visit_nothing(
    browser: Browser, upgrade: Upgrade
) -> None:
    def visits() -> tuple[Loaded, Loaded, BrowserContext]:
        """In a new context: the browser may need a moment until it knows its dictionary."""
        context = browser.new_context()
        return (
            load(context, upgrade, upgrade.old),
            load(context, upgrade, upgrade.new),
            context,
        )

    first, second, context = eventually(visits, lambda it: it[1].content_encoding == "dcz")
    usual_bytes = len(brotli.compress(NEW))
    assert first.title == f"one {WIDTH}"
    assert first.wire_bytes > usual_bytes * 0.9
    assert second.title == f"two {WIDTH} new"
    assert second.wire_bytes < usual_bytes * 0.15

    def requests() -> int:
        """Lines are written in order: the last one is that of a request made here."""
        marker = f"/-/live?{random.random()}"
        upgrade.server.get(marker)
        eventually(lambda: "".join(upgrade.server.output), lambda text: marker in text)
        return sum(upgrade.new in line for line in upgrade.server.output)

    before = requests()
    again = load(context, upgrade, upgrade.new)
    assert again.title == second.title
    assert requests() == before


def test_plugins_with_files_of_one_name_have_a_dictionary_each(
    browser: Browser, upgrade: Upgrade
) -> None:
    def codings() -> list[str | None]:
        context = browser.new_context()
        for path in (upgrade.old, upgrade.other_old):
            load(context, upgrade, path)
        new = (upgrade.new, upgrade.other_new)
        return [load(context, upgrade, path).content_encoding for path in new]

    eventually(codings, lambda it: it == ["dcz", "dcz"])
