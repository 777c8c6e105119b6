"""Takes the picture of README, docs/demo.webp: `python -m scripts.demo_picture`.

It needs Chromium and the packages of the group `dev`. The demo's site is made anew: Grace is rolled
back and upgraded again, while Ada's page stays open.
"""

import argparse
from base64 import b64decode
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.demo.host_page import expect_running
from tests.support.browser import chromium
from tests.support.server import serving

PICTURE = Path(__file__).parents[1] / "docs" / "demo.webp"
_DESK = {"width": 1280, "height": 800}
_PHONE = {"width": 390, "height": 844}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="phone and dark ones too")
    folder: Path | None = parser.parse_args().all
    with chromium() as browser, serving({}, command="demo") as server:
        pictures = {PICTURE: (_DESK, "light")}
        if folder is not None:
            folder.mkdir(exist_ok=True)
            for name, size in (("desk", _DESK), ("phone", _PHONE)):
                for scheme in ("light", "dark"):
                    pictures[folder / f"{name}-{scheme}.webp"] = (size, scheme)
        for path, (size, scheme) in pictures.items():
            page = browser.new_page(viewport=size, color_scheme=scheme, reduced_motion="reduce")
            page.goto(f"http://127.0.0.1:{server.port}/")
            take(page, path)
            page.close()


def take(page: Page, path: Path) -> None:
    grace = page.get_by_test_id("panel-user-2")
    for button, result in (("Roll back to 1.0.0", "1.0.1 → 1.0.0"), ("Upgrade", "1.0.0 → 1.0.1")):
        grace.get_by_role("button", name=button).click()
        expect(grace.get_by_role("status")).to_contain_text(result)
    for name, version in (("Ada", "1.0.0"), ("Grace", "1.0.1")):
        expect_running(page.frame_locator(f'iframe[title^="{name}"]'), "NetworkReview", version)
    expect(page.get_by_test_id("flow")).to_have_attribute("data-state", "drawn")
    page.mouse.move(0, 0)
    path.write_bytes(webp(page))


def webp(page: Page) -> bytes:
    """The whole page. As PNG, which is all that Playwright offers, it has 200 kB, not 120."""
    size = page.evaluate("({width: innerWidth, height: document.body.scrollHeight - 32})")
    session = page.context.new_cdp_session(page)
    answer = session.send(
        "Page.captureScreenshot",
        {
            "format": "webp",
            "quality": 90,
            "captureBeyondViewport": True,
            "clip": {"x": 0, "y": 0, "scale": 1, **size},
        },
    )
    return b64decode(answer["data"])


if __name__ == "__main__":
    main()
