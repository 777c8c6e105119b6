"""A user's configuration of a plugin's modules, through every move, on both databases."""

import contextlib
import json
from typing import Any

import pytest

from gateway.errors import SourceUnavailable
from tests.support.accounts import Account, configured, module, publish
from tests.support.site import ADA


def test_the_users_values_win_and_new_fields_join(both: Account) -> None:
    publish(both.site, "1.0.0", modules=[module("Board", colour={"default": "red"})])
    both.install()
    both.configure("Board", {"colour": {"default": "red", "value": "blue"}, "own": [1]})
    both.site.execute(
        "UPDATE plugin SET config_fields = ? WHERE user_id = ?", '{"theme": "dark"}', ADA
    )
    colour = {"default": "green", "label": "Colour"}
    publish(
        both.site, "1.0.1", config_fields={"theme": "light", "zoom": 2},
        modules=[module("Board", colour=colour, size={"default": 3})],
    )  # fmt: skip
    both.update()
    assert both.configuration("Board") == {
        "colour": {"default": "red", "label": "Colour", "value": "blue"},
        "own": [1],
        "size": {"default": 3},
    }
    assert json.loads(both.row()["config_fields"]) == {"theme": "dark", "zoom": 2}
    both.rollback()
    assert both.configuration("Board")["colour"]["value"] == "blue"
    assert json.loads(both.row()["config_fields"])["theme"] == "dark"


@pytest.mark.parametrize(
    "text",
    [
        '{"broken": ', "plain words", "[1, 2]", '"text"', "null", "NaN", "{}",
        '{"a":1,  "spaces" : "stay"}', '{"big": 123456789012345678901234567890}',
        '{"not a number": NaN}', '{"twice": 1, "twice": 2}', '{"half": "\\ud800"}',
    ],
)  # fmt: skip
def test_configuration_that_nothing_joins_stays_byte_for_byte(account: Account, text: str) -> None:
    configured(account)
    publish(account.site, "1.0.1", modules=[module("Board")])
    publish(account.site, "1.0.2", modules=[])
    publish(account.site, "1.0.3", modules=[module("Board")])
    account.configure("Board", text)
    for version in ("1.0.1", "1.0.2", "1.0.3"):
        account.update(version)
        if version != "1.0.2":
            assert account.modules()["Board"]["config_fields"] == text, version
    account.rollback("1.0.0")
    if text.startswith("{") and json_of(text) is None:
        assert account.modules()["Board"]["config_fields"] == text


def json_of(text: str) -> Any:
    with contextlib.suppress(ValueError):
        return json.loads(text)


@pytest.mark.parametrize("text", ['{"broken": ', "plain words", "[1, 2]", '"text"'])
def test_configuration_that_is_no_object_stays_although_fields_are_new(
    account: Account, text: str
) -> None:
    configured(account)
    publish(account.site, "1.0.1", modules=[module("Board", new=1)])
    account.configure("Board", text)
    account.update()
    assert account.modules()["Board"]["config_fields"] == text


def test_a_large_number_of_the_user_survives_a_new_field(account: Account) -> None:
    configured(account)
    publish(account.site, "1.0.1", modules=[module("Board", new=1)])
    account.configure("Board", '{"id": 123456789012345678901234567890}')
    account.update()
    assert account.configuration("Board") == {"new": 1, "id": 123456789012345678901234567890}


@pytest.mark.parametrize("nothing", [None, ""])
def test_no_configuration_gets_that_of_the_version(both: Account, nothing: str | None) -> None:
    configured(both)
    publish(both.site, "1.0.1", modules=[module("Board", size=2)])
    both.configure("Board", nothing)
    both.update()
    assert both.configuration("Board") == {"size": 2}


def test_configuration_of_a_module_that_vanishes_comes_back_with_it(both: Account) -> None:
    configured(both)
    publish(both.site, "1.0.1", modules=[module("Other")])
    publish(both.site, "1.0.2", modules=[module("Other")])
    publish(both.site, "1.0.3", modules=[module("Board", colour="green", depth=1)])
    both.configure("Board", {"colour": "blue"})
    both.update("1.0.1")
    assert set(both.modules()) == {"Other"}
    both.update("1.0.2")
    both.update("1.0.3")
    assert both.configuration("Board") == {"colour": "blue", "depth": 1}
    both.configure("Board", {"colour": "pink"})
    both.update("1.0.1")
    both.rollback()
    assert both.configuration("Board")["colour"] == "pink"


def test_modules_stay_where_the_version_says_nothing_of_them(both: Account) -> None:
    configured(both)
    publish(both.site, "1.0.1")
    both.configure("Board", {"colour": "blue"})
    before = both.modules()
    both.update()
    assert both.modules() == before


def test_an_empty_list_of_modules_takes_them_away(account: Account) -> None:
    configured(account)
    publish(account.site, "1.0.1", modules=[])
    account.update()
    assert account.modules() == {}


def test_a_modules_row_is_found_by_its_name_whatever_its_id(both: Account) -> None:
    publish(both.site, "1.0.1", modules=[{**module("Board", size=2), "priority": 7}])
    database_id = both.site.give(ADA, "Review", "1.0.0")
    own = {"id": f"{ADA}_Board", "config_fields": '{"colour": "blue"}', "enabled": 0}
    both.site.add_module(database_id, "Board", ADA, **own)
    both.update()
    (row,) = both.modules().values()
    assert (row["id"], row["priority"], bool(row["enabled"])) == (f"{ADA}_Board", 7, False)
    assert both.configuration("Board") == {"colour": "blue", "size": 2}


def test_a_new_module_may_not_take_the_id_of_another(account: Account) -> None:
    """The application numbers modules by user and name in some plugins."""
    publish(account.site, "1.0.1", modules=[module("Board"), module("New")])
    database_id = account.site.give(ADA, "Review", "1.0.0")
    account.site.add_module(database_id, "Board", ADA, id=f"{database_id}_New", config_fields="{}")
    before = account.everything()
    with pytest.raises(SourceUnavailable):
        account.update()
    assert account.everything() == before
