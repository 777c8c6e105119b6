"""What npm builds from the templates of `gateway new`, published and shown in a real browser."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from gateway.demo.demo_site import USERS, make_demo_site
from tests.support.browser import chromium
from tests.support.commands import run
from tests.support.npm import Plugin
from tests.support.server import Server, serving

pytestmark = pytest.mark.slow

ADA = USERS[0].id
_DEADLINE_MS = 15_000
each_bundler = pytest.mark.parametrize("bundler", ["webpack", "vite"])

# Loads a plugin as an application's page does. `offered`: what the page gives for React, and where.
_SHOW_IN_A_PAGE = """async ([scope, entry, offered]) => {
    const load = (src) => new Promise((onload, onerror) => document.head.append(
        Object.assign(document.createElement("script"), { src, onload, onerror })));
    for (const library of ["react", "react-dom"])
        await load(`/demo/static/vendor/${library}.production.min.js`);
    const { React, ReactDOM } = window;
    const broken = { ...React, useState: () => { throw new Error("hooks of another React"); } };
    const shared = (library) => ({ react: { "18.3.1": { get: async () => () => library } } });
    if (!offered.window) delete window.React;
    const scopes = { its: shared(React), another: shared(broken), none: {} };
    await load(entry);
    await window[scope].init(scopes[offered.scope]);
    const component = (await window[scope].get("./" + scope))().default;
    const element = React.createElement(component, { greeting: "Good evening" });
    ReactDOM.createRoot(document.body).render(element);
}"""


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, plugins: Mapping[str, Plugin]
) -> Iterator[Server]:
    """The demo, where Ada has both plugins as `npm run build` builds them."""
    folder = tmp_path_factory.mktemp("site")
    config = str(make_demo_site(folder))
    for plugin in plugins.values():
        plugin.build()
        for command in (["publish", str(plugin.folder)], ["install", plugin.slug, "--user", ADA]):
            result = run({}, "--config", config, *command)
            assert result.exit_code == 0, result.output
    with serving({}, "--dir", str(folder), command="demo") as running:
        yield running


@pytest.fixture(scope="module")
def browser(server: Server) -> Iterator[Browser]:
    """Started last: commands do not run in a thread in which playwright has an event loop."""
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    page = browser.new_page(base_url=f"http://127.0.0.1:{server.port}")
    page.set_default_timeout(_DEADLINE_MS)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert errors == []


@each_bundler
def test_a_new_plugin_runs_in_the_host_page_with_its_chunk_style_and_image(
    page: Page, plugins: Mapping[str, Plugin], bundler: str
) -> None:
    page.goto("/?user=user-1")
    slug = plugins[bundler].slug
    plugin = page.get_by_test_id(f"plugin-{slug}")
    expect(plugin.get_by_text(f"Good morning from {slug}")).to_be_visible(timeout=_DEADLINE_MS)
    plugin.get_by_role("button", name="More").click()
    expect(plugin.get_by_text("a chunk of its own")).to_be_visible(timeout=_DEADLINE_MS)
    expect(plugin.locator(f".{slug}")).to_have_css("text-align", "center", timeout=_DEADLINE_MS)
    expect(plugin.locator("img")).not_to_have_js_property("naturalWidth", 0, timeout=_DEADLINE_MS)


@each_bundler
@pytest.mark.parametrize(
    ("window", "scope"), [(True, "none"), (True, "another"), (False, "its")],
    ids=["BrainDrive's page", "BrainDrive's with older plugins", "a page with a share scope"],
)  # fmt: skip
def test_its_hooks_run_with_the_react_that_renders_the_page(
    page: Page, plugins: Mapping[str, Plugin], bundler: str, window: bool, scope: str
) -> None:
    page.goto("/-/live")
    slug = plugins[bundler].slug
    entry = f"/api/v1/public/plugins/{ADA}_{slug}/dist/remoteEntry.js"
    page.evaluate(_SHOW_IN_A_PAGE, [slug, entry, {"window": window, "scope": scope}])
    page.get_by_role("button", name="More").click()
    expect(page.get_by_text(f"Good evening from {slug}")).to_be_visible(timeout=_DEADLINE_MS)
    expect(page.get_by_text("a chunk of its own")).to_be_visible(timeout=_DEADLINE_MS)


@each_bundler
def test_a_build_holds_no_react_and_names_its_chunks_by_their_content(
    server: Server, plugins: Mapping[str, Plugin], bundler: str
) -> None:
    scripts = {path.name: path.read_text() for path in plugins[bundler].folder.glob("dist/*.js")}
    assert sum(map(len, scripts.values())) < 20_000
    for name in set(scripts) - {"remoteEntry.js"}:
        assert len(Path(name).stem.replace(".", "-").rpartition("-")[2]) >= 8, name


@each_bundler
def test_lint_has_nothing_to_say_about_a_build(
    server: Server, plugins: Mapping[str, Plugin], bundler: str
) -> None:
    result = run({}, "lint", "--strict", str(plugins[bundler].folder))
    assert result.exit_code == 0, result.output
