"""The snippet of docs/how-to/plugins.md in a host page of another origin, in a real Chromium.

Scripts of another origin have an integrity only if CORS lets the page read them.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.demo.host_page import watch_errors
from tests.support.flipping import flipping_before
from tests.support.server import serving
from tests.support.site import ADA, Site, token
from tests.support.urls import ENTRY, MANIFEST

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SNIPPET = (ROOT / "gateway" / "demo" / "static" / "integrity.js").read_text()
DOCUMENTED = (ROOT / "docs" / "how-to" / "plugins.md").read_text()
# A container that loads its chunk as the runtimes of bundlers do.
CONTAINER = """/*! Mine */ var Mine = (() => {
  const base = document.currentScript.src.replace(/[^/]*$/, "");
  const load = (name) => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    Object.assign(script, { src: base + name, onload: resolve });
    script.onerror = () => reject(new Error(name));
    document.head.appendChild(script);
  });
  return { init() {}, get: () => load("chunk.js").then(() => () => window.Chunk) };
})();"""
CHUNK = "/*! Mine */ window.Chunk = 'it runs';"
HOST = """import { expectPublished } from "./integrity.js";
const { gateway, api, token, manifest } = CONFIG;
const headers = { Authorization: `Bearer ${token}` };
try {
  const plugin = (await (await fetch(gateway + manifest, { headers })).json()).Mine;
  const base = `${gateway}${api}/public/plugins/${plugin.database_id}/`;
  const entry = new URL(plugin.bundlelocation, base).href;
  const script = Object.assign(document.createElement("script"), { src: entry });
  const loaded = new Promise((resolve, reject) => {
    Object.assign(script, { onload: resolve, onerror: () => reject(new Error("entry")) });
  });
  expectPublished(plugin, base, entry);
  document.head.appendChild(script);
  await loaded;
  window.result = (await window.Mine.get("./Main"))();
} catch (error) {
  window.result = `failed: ${error.message}`;
}
"""


@contextmanager
def hosting(files: dict[str, tuple[str, str]]) -> Iterator[str]:
    """Serves files, by path: media type and content. Yields the origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, content = files.get(self.path, ("text/plain", ""))
            self.send_response(200 if self.path in files else 404)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://localhost:{listener.server_address[1]}"
        finally:
            listener.shutdown()
            thread.join()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.publish("Mine", "1.0.0", {ENTRY: CONTAINER, "dist/chunk.js": CHUNK})
    site.record("Mine", "1.0.0")
    site.give(ADA, "Mine", "1.0.0")
    return site


@contextmanager
def host_page(
    context: BrowserContext, site: Site, flipped: str = "", **settings: str
) -> Iterator[tuple[Page, list[str]]]:
    """A page at another origin than the gateway, which lists it, and what its console reports.

    `flipped`: the end of the paths whose content a proxy before the gateway changes.
    """
    files: dict[str, tuple[str, str]] = {}
    with ExitStack() as stack:
        origin = stack.enter_context(hosting(files))
        cors = {"GATEWAY__HTTP__CORS_ORIGINS": origin, **settings}
        server = stack.enter_context(serving({**site.environment, **cors}))
        proxy = stack.enter_context(flipping_before(server))
        proxy.flipped = flipped
        config = {
            "gateway": f"http://127.0.0.1:{proxy.port}",
            "api": "/api/v1",
            "token": token(ADA),
            "manifest": MANIFEST,
        }
        files["/integrity.js"] = "text/javascript", SNIPPET
        files["/host.js"] = "text/javascript", HOST.replace("CONFIG", json.dumps(config))
        files["/"] = (
            "text/html",
            '<link rel="icon" href="data:,"><script type="module" src="host.js"></script>',
        )
        page = context.new_page()
        errors = watch_errors(page)
        page.goto(origin)
        yield page, errors


def result(page: Page) -> str:
    page.wait_for_function("window.result")
    return str(page.evaluate("window.result"))


def test_the_documented_snippet_is_the_one_that_is_tested() -> None:
    (block,) = re.findall(r"```js\n(// Lets the browser run only.*?)```", DOCUMENTED, re.DOTALL)
    assert block == SNIPPET


def test_scripts_of_a_listed_origin_run_with_their_integrity(
    context: BrowserContext, site: Site
) -> None:
    required = {"GATEWAY__HTTP__REQUIRE_INTEGRITY": "true"}
    with host_page(context, site, **required) as (page, errors):
        assert result(page) == "it runs"
        attributes = page.evaluate(
            """() => [...document.head.querySelectorAll("script, link")]
                .filter(it => (it.src ?? it.href).includes("/plugins/"))
                .map(it => [it.localName, it.crossOrigin, it.integrity.slice(0, 7)])"""
        )
        assert {name for name, *_ in attributes} == {"script", "link"}
        assert all(rest == ["anonymous", "sha384-"] for _, *rest in attributes)
        assert errors == []


@pytest.mark.parametrize(
    ("path", "failure"), [("/remoteEntry.js", "entry"), ("/chunk.js", "chunk.js")]
)
def test_a_changed_byte_of_another_origin_is_not_run(
    context: BrowserContext, site: Site, path: str, failure: str
) -> None:
    with host_page(context, site, flipped=path) as (page, errors):
        assert result(page) == f"failed: {failure}"
        assert any("'integrity' attribute" in error for error in errors)
        if failure == "entry":
            assert page.evaluate("window.Mine === undefined")


def test_a_script_of_a_plugin_that_nobody_published_is_not_asked_for(
    context: BrowserContext, site: Site
) -> None:
    with host_page(context, site) as (page, errors):
        assert result(page) == "it runs"
        outcome = page.evaluate(
            """() => new Promise((resolve) => {
                const script = document.createElement("script");
                const [entry] = document.querySelectorAll("link[as=script]");
                script.src = new URL("unknown.js", entry.href).href;
                Object.assign(script, { onload: () => resolve("loaded") });
                script.onerror = () => resolve(`refused, inserted: ${script.isConnected}`);
                document.head.appendChild(script);
            })"""
        )
        assert outcome == "refused, inserted: false"
        assert errors == []


def test_a_host_that_is_not_listed_loads_nothing(context: BrowserContext, site: Site) -> None:
    unlisted = {"GATEWAY__HTTP__CORS_ORIGINS": "https://other.example"}
    with host_page(context, site, **unlisted) as (page, errors):
        assert result(page) == "failed: Failed to fetch"
        assert any("CORS policy" in error for error in errors)
        assert page.evaluate("window.Mine === undefined")


def test_the_host_of_this_test_loads_a_plugin_as_the_page_says() -> None:
    _module, use = re.findall(r"(?ms)^```js\n(.*?)^```$", DOCUMENTED)
    for line in use.splitlines()[1:3]:  # what differs: the base, and how the script is inserted
        assert line in HOST
    assert use.index("expectPublished(") < use.index("loadScript(") < use.index(".init(")
