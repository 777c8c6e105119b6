"""Enabling, disabling and uninstalling a plugin of a user, on both databases."""

from typing import Any

import pytest

from gateway.errors import NotInstalled, UnknownPlugin
from tests.support.accounts import Account, configured, module, publish
from tests.support.postgres import PostgresSite
from tests.support.site import ADA, BEN


def test_enable_and_disable_change_the_row_alone(both: Account) -> None:
    publish(both.site, "1.0.0")
    both.install()
    document = both.document()
    outcome = both.enable(enabled=False)
    assert (outcome.enabled, outcome.changed, outcome.version) == (False, True, "1.0.0")
    assert not both.row()["enabled"]
    assert both.enable(enabled=False).changed is False
    outcome = both.enable()
    assert (outcome.enabled, outcome.changed) == (True, True)
    assert both.row()["enabled"]
    assert both.document() == document


def test_enabling_needs_no_json_and_a_null_counts_as_disabled(account: Account) -> None:
    account.site.write_installations(ADA, b"{broken")
    account.site.add_row(ADA, "Review", "1.0.0", enabled=None)
    assert account.enable(enabled=False).changed is False
    assert account.enable().changed is True
    assert account.row()["enabled"] == 1
    with pytest.raises(UnknownPlugin):
        account.enable("Other")


def test_uninstall_takes_rows_modules_and_entry(both: Account) -> None:
    configured(both)
    outcome = both.uninstall()
    assert (outcome.version, outcome.previous_version) == (None, "1.0.0")
    assert (outcome.enabled, outcome.changed) == (None, True)
    assert both.plugins() == {}
    assert both.site.query("SELECT * FROM module") == []
    assert both.document() == {}
    with pytest.raises(NotInstalled):
        both.uninstall()


def test_uninstall_takes_a_row_without_an_entry_and_an_entry_without_a_row(both: Account) -> None:
    both.site.add_row(ADA, "Review", "1.0.0")
    assert both.uninstall().changed
    assert both.document() is None
    both.site.write_installations(ADA, {"Review": None, "Other": {}})
    assert both.uninstall().changed
    assert both.document() == {"Other": {}}


def test_uninstall_by_database_id_can_be_repeated_after_a_kill(account: Account) -> None:
    """The row is gone with the commit, the entry was not reached."""
    account.site.write_installations(ADA, {"Review": {}})
    assert account.uninstall(f"{ADA}_Review").slug == "Review"
    assert account.document() == {}


def test_others_and_other_plugins_are_not_touched(both: Account) -> None:
    for version in ("1.0.0", "1.0.1"):
        for slug in ("Review", "Eyes"):
            publish(both.site, version, slug=slug, modules=[module("Board", of=version)])
    ben = Account(both.site, BEN)
    if isinstance(both.site, PostgresSite):
        ben.settings = both.settings
    for one in (both, ben):
        for slug in ("Review", "Eyes"):
            one.install("1.0.0", slug)
    both.site.install("c" * 32, "Review")

    def others() -> list[Any]:
        mine = f"{ADA}_Review"
        return [
            [row for row in both.site.query("SELECT * FROM plugin") if row["id"] != mine],
            [row for row in both.site.query("SELECT * FROM module") if row["plugin_id"] != mine],
            ben.document(),
            both.entry("Eyes"),
        ]

    before = others()
    both.update()
    both.enable(enabled=False)
    both.rollback()
    both.uninstall()
    assert others() == before
