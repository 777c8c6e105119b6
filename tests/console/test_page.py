"""The page as it is sent: one text, its own script and style and no others."""

import base64
import hashlib
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from gateway.endpoints.console_page import console_page
from tests.support.console import ADMIN_TOKEN, CREDENTIALS
from tests.support.server import Server

ROOT = Path(__file__).parents[2]
HOLDER = {"Authorization": f"Bearer {ADMIN_TOKEN}"}


def test_the_policy_names_the_script_and_the_style_and_nothing_else() -> None:
    page = console_page()
    for kind, source in (
        ("script", re.search(r'<script type="module">(.*?)</script>', page.html, re.DOTALL)),
        ("style", re.search(r"<style>(.*?)</style>", page.html, re.DOTALL)),
    ):
        assert source is not None
        digest = base64.b64encode(hashlib.sha256(source[1].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in page.policy
    assert page.policy.startswith("default-src 'none'; connect-src 'self';")
    assert "unsafe" not in page.policy


def test_the_page_needs_no_other_file() -> None:
    html = console_page().html
    assert re.findall(r"(?m)^(?:import|export)\b.*", html) == []
    assert re.findall(r'(?:src|style)="[^"]*"', html) == []
    assert "<link" not in html


def test_every_file_of_the_page_is_in_it() -> None:
    folder = ROOT / "gateway" / "endpoints" / "static" / "console"
    html = console_page().html
    for path in folder.glob("*.js"):
        assert f"modules.{path.stem} = " in html


@pytest.mark.slow
def test_the_answer_may_not_be_kept_or_framed(server: Server) -> None:
    answer = server.get("/-/console", HOLDER)
    assert answer.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert server.get("/-/console").status == 401


@pytest.mark.slow
def test_a_script_that_is_put_into_the_page_does_not_run(browser: Browser, server: Server) -> None:
    context = browser.new_context(http_credentials=CREDENTIALS)
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{server.port}/-/console")
    with page.expect_console_message(lambda message: "Content Security Policy" in message.text):
        page.evaluate(
            """() => document.body.append(Object.assign(
                document.createElement("script"), { textContent: "window.ran = true" }))"""
        )
    assert page.evaluate("window.ran") is None
    expect(page.locator("h1")).to_be_visible()
    context.close()
