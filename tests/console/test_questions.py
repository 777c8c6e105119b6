"""What an operator asks: who has what, why a request is answered so, what is wrong, who did it."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.console import MANY, MARKUP, console_environment, opened_console
from tests.support.server import Server, run_cli, serving
from tests.support.site import ADA, BEN, CLEO, USERS_CHANGE, bearer, populated
from tests.support.urls import own, signed

pytestmark = pytest.mark.slow


# Users


def test_users_are_shown_a_page_at_a_time(page: Page) -> None:
    rows = page.locator("#users-table tbody tr")
    expect(rows).to_have_count(25)
    expect(page.locator("#users-status")).to_have_text(
        "Page 1: 25 users, and more on the next page."
    )
    expect(page.get_by_role("button", name="Previous page")).to_be_disabled()
    page.get_by_role("button", name="Next page").click()
    expect(page.locator("#users-status")).to_have_text(f"Page 2: {MANY + 3 - 25} users.")
    expect(page.get_by_role("button", name="Next page")).to_be_disabled()
    page.get_by_role("button", name="Previous page").click()
    expect(rows).to_have_count(25)


def test_a_search_finds_users_while_it_is_typed(page: Page) -> None:
    page.get_by_role("searchbox").press_sequentially(ADA)
    rows = page.locator("#users-table tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.filter(has_text="Eyes")).to_contain_text("2.0.0")
    expect(rows.filter(has_text="Review")).to_contain_text("1.0.0")
    expect(page.locator("#users-status")).to_have_text(f"1 user for “{ADA}”.")
    page.get_by_role("searchbox").fill("nobody-has-this")
    expect(page.locator("#users")).to_contain_text("No user has this.")


def test_each_plugin_says_why_its_files_are_not_served(page: Page) -> None:
    page.get_by_role("searchbox").fill(CLEO)
    for slug, state in (
        ("Eyes", "disabled in the database"),
        ("Unlisted", "not installed in the user"),
        ("Ghost", "only in the user"),
        ("Unbuilt", "version is not published"),
        ("Climbing", "name cannot be a folder"),
    ):
        expect(page.locator("#users-table tr", has_text=slug)).to_contain_text(state)


def test_a_plugin_of_a_user_is_explained_by_a_click(page: Page) -> None:
    page.get_by_role("searchbox").fill(BEN)
    rows = page.locator("#users-table tbody tr")
    expect(rows).to_have_count(1)
    rows.get_by_role("button").click()
    expect(page.locator("#explanation .answer")).to_contain_text(
        "200: dist/remoteEntry.js of Review 1.0.1"
    )


def test_text_of_strangers_stays_text(page: Page) -> None:
    page.get_by_role("searchbox").fill(CLEO)
    row = page.locator("#users-table tr", has_text="Marked")
    expect(row).to_contain_text(MARKUP)
    row.get_by_role("button").click()
    expect(page.locator("#explanation")).to_contain_text("Refused")
    page.get_by_role("searchbox").fill(MARKUP)
    expect(page.locator("#users-status")).to_contain_text(MARKUP)
    page.get_by_role("button", name="Examine the site").click()
    expect(page.locator("#findings-status")).to_contain_text("problems.")
    expect(page.locator("#findings")).to_contain_text(MARKUP)
    assert page.locator("img").count() == 0


# Explain


def test_a_served_file_is_explained_as_a_way(page: Page) -> None:
    _explain_file(page, ADA, "Review", "dist/remoteEntry.js")
    steps = page.locator("#explanation li h3")
    expect(steps).to_have_text(
        [
            "May this type be served?",
            "Is it installed?",
            "Which version?",
            "Which file?",
            "What is in it?",
            "Served",
        ]
    )
    expect(page.locator("#explanation li", has_text="Which version?")).to_contain_text(
        "Review 1.0.0, enabled"
    )
    expect(page.locator("#explanation li", has_text="Is it installed?")).to_contain_text("ago")


def test_a_refusal_ends_with_what_to_do(page: Page) -> None:
    _explain_file(page, CLEO, "Unlisted", "dist/remoteEntry.js")
    answer = page.locator("#explanation .answer")
    expect(answer).to_contain_text("404 not_installed")
    expect(answer).to_contain_text(f"What to do: Run: gateway install Unlisted --user {CLEO}")


def test_a_url_is_explained_for_a_user(page: Page) -> None:
    page.get_by_label("URL, or its path").fill(f"https://host.example{own('Review')}")
    page.get_by_label("For the user (optional)").fill(BEN)
    page.get_by_label("For the user (optional)").press("Enter")
    expect(page.locator("#explanation .answer")).to_contain_text("Review 1.0.1")


def test_a_url_is_explained_without_writing_it_into_another_url(page: Page) -> None:
    page.get_by_label("URL, or its path").fill(signed("a-credential", "Review"))
    with page.expect_request(lambda request: "explain" in request.url) as asked:
        page.locator("#explain-form").get_by_role("button").click()
    assert asked.value.url.endswith("/-/explain")
    expect(page.locator("#explanation .answer")).to_contain_text("Refused")


def test_what_cannot_be_explained_is_said_in_a_sentence(browser: Browser, server: Server) -> None:
    with opened_console(browser, server, expected="422") as page:
        _explain_file(page, "../x", "Review", "a.js")
        expect(page.locator("#explain-status")).to_contain_text("not a user id")


def _explain_file(page: Page, user: str, plugin: str, path: str) -> None:
    page.get_by_role("radio", name="file").check()
    fields = page.locator("#explain-form [data-by=file]")
    fields.get_by_label("User").fill(user)
    fields.get_by_label("Plugin").fill(plugin)
    fields.get_by_label("Path").fill(path)
    page.locator("#explain-form").get_by_role("button", name="Explain").click()


# Findings


def test_findings_arrive_with_progress_and_a_summary(page: Page) -> None:
    page.get_by_role("button", name="Examine the site").click()
    group = page.locator(".finding[data-state=error]", has_text="version_without_folder")
    expect(group.locator("h3")).to_have_text(re.compile("^error version_without_folder . [1-9]"))
    expect(group).to_contain_text("Unbuilt")
    expect(group).to_contain_text("Publish the version, or move the user to another.")
    expect(page.locator("#findings-status")).to_contain_text("problems.")
    expect(page.locator("#findings-progress")).to_be_hidden()
    # Errors come first.
    severities = page.locator(".finding").evaluate_all("all => all.map(one => one.dataset.state)")
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    # A second run begins with an empty list.
    number = page.locator(".finding li").count()
    page.get_by_role("button", name="Examine the site").click()
    expect(page.locator("#findings-status")).to_contain_text("problems.")
    assert page.locator(".finding li").count() == number


# Changes


def test_changes_and_refused_ones_are_listed_with_their_author(
    browser: Browser, tmp_path: Path
) -> None:
    site = populated(tmp_path)
    environment = console_environment(site, **USERS_CHANGE)
    with serving(environment) as server:
        _change(server, "PUT", "Review/update")
        _change(server, "POST", "Nothing/install")
        assert run_cli(environment, "disable", "Eyes", "--user", ADA).returncode == 0
        with opened_console(browser, server) as page:
            rows = page.locator("#changes-table tbody tr")
            expect(rows).to_have_count(3)
            expect(rows.nth(0)).to_contain_text("disable")
            expect(rows.nth(0)).to_contain_text("(command)")
            expect(rows.nth(1)).to_contain_text("Nothing")
            expect(rows.nth(1)).not_to_contain_text("done")
            expect(rows.nth(2)).to_contain_text("1.0.0 → 1.0.1")
            page.locator("#changes-form").get_by_label("Plugin").fill("Eyes")
            page.locator("#changes-form").get_by_role("button").click()
            expect(rows).to_have_count(1)


def _change(server: Server, method: str, below: str) -> None:
    server.request(method, f"/api/v1/plugins/{below}", bearer(ADA), b"{}")
