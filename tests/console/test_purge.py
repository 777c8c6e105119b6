"""The console forgets nothing before a dialog has said in words what that will do."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.support.console import opened_console
from tests.support.server import Server
from tests.support.site import ADA

pytestmark = pytest.mark.slow


@pytest.fixture
def purges(page: Page) -> list[Any]:
    """The bodies of the purges that the page asks for from now on."""
    bodies: list[Any] = []

    def hear(request: Request) -> None:
        if request.url.endswith("/-/cache/purge"):
            bodies.append(request.post_data_json)

    page.on("request", hear)
    return bodies


def ask(page: Page, *, hard: bool = False, **named: str) -> None:
    form = page.locator("#purge-form")
    for name, value in named.items():
        form.get_by_label(name.capitalize()).fill(value)
    form.get_by_role("checkbox").set_checked(hard)
    form.get_by_role("button").click()


def test_a_confirmed_purge_is_sent_as_it_was_worded(page: Page, purges: list[Any]) -> None:
    ask(page, user=ADA)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(
        f"Forget everything cached about user {ADA} in all workers."
        " Their next request asks the database."
    )
    dialog.get_by_role("button", name="Forget it").click()
    expect(page.locator("#purge-status")).to_have_text("Done: all workers were told.")
    assert purges == [{"user": ADA, "hard": False}]


def by_button(page: Page) -> None:
    page.get_by_role("dialog").get_by_role("button", name="Keep it").click()


def by_escape(page: Page) -> None:
    page.keyboard.press("Escape")


def by_enter(page: Page) -> None:
    """What has the focus first does no harm."""
    page.keyboard.press("Enter")


@pytest.mark.parametrize("refuse", [by_button, by_escape, by_enter])
def test_a_purge_that_is_not_confirmed_is_not_sent(
    page: Page, purges: list[Any], refuse: Callable[[Page], None]
) -> None:
    ask(page, user=ADA, hard=True)
    expect(page.get_by_role("dialog")).to_be_visible()
    refuse(page)
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator("#purge-form").get_by_role("button")).to_be_focused()
    expect(page.locator("#purge-status")).to_have_text("")
    assert purges == []


@pytest.mark.parametrize(
    ("named", "hard", "words"),
    [
        ({}, False, ("what is cached about all users", "the old answers are still used")),
        ({}, True, ("all users and all files", "these users get errors")),
        ({"user": "ada"}, True, ("about user ada", "The old answers are dropped too")),
        ({"plugin": "Review"}, False, ("the files of Review, all versions, in all workers",)),
        (
            {"user": "ada", "plugin": "Review", "version": "1.0.0"},
            False,
            ("about user ada, and the files of Review 1.0.0, in all workers",),
        ),
    ],
)
def test_the_dialog_says_what_will_be_forgotten(
    page: Page, named: dict[str, str], hard: bool, words: tuple[str, ...]
) -> None:
    ask(page, hard=hard, **named)
    for part in words:
        expect(page.locator("#purge-words")).to_contain_text(part)


def test_a_purge_that_the_gateway_refuses_says_why(browser: Browser, server: Server) -> None:
    with opened_console(browser, server, expected="422") as page:
        ask(page, version="1.0.0")
        page.get_by_role("dialog").get_by_role("button", name="Forget it").click()
        expect(page.locator("#purge-status")).to_contain_text("expected a plugin beside it")
