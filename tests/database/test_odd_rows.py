"""Rows with values that no application should write: none is believed, and none breaks an answer.

SQLite keeps values of any type in any column.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from gateway.database.tables import is_true
from tests.support.commands import run
from tests.support.server import Server, serving
from tests.support.site import ADA, BEN, CLEO, USERS_CHANGE, Site, bearer, populated
from tests.support.urls import API, MANIFEST, own, public

pytestmark = pytest.mark.slow

DESIGNER = f"{MANIFEST}/designer"


# What `enabled` says


@pytest.mark.parametrize(
    "value", [True, 1, 1.0, 2, -1, Decimal(1), "1", "true", "TRUE", " t ", "y", "yes", "on"]
)
def test_what_is_true(value: object) -> None:
    assert is_true(value)


@pytest.mark.parametrize(
    "value",
    [False, 0, 0.0, Decimal(0), None, "", "0", "false", "f", "no", "off", "2", "enabled", b"1"],
)
def test_what_is_not(value: object) -> None:
    assert not is_true(value)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = populated(tmp_path_factory.mktemp("site"))
    site.loosen()
    return site


@pytest.fixture(scope="module")
def odd_server(odd: Site) -> Iterator[Server]:
    settings = {
        f"GATEWAY__CACHE__{cache}__{setting}": "0.01"
        for cache in ("INSTALLATIONS", "VERSIONS")
        for setting in ("TTL", "NEGATIVE_TTL")
    }
    with serving({**odd.environment, **settings, **USERS_CHANGE}) as running:
        yield running


@pytest.fixture
def rows_restored(odd: Site) -> Iterator[None]:
    with odd.rows_restored():
        yield
    odd.execute("DELETE FROM module")


@pytest.mark.usefixtures("rows_restored")
@pytest.mark.parametrize(
    ("value", "is_enabled"),
    [("false", False), ("f", False), ("0", False), ("no", False), ("", False), (b"1", False),
     ("true", True), (1.0, True)],
)  # fmt: skip
def test_a_text_in_enabled_means_what_it_says_everywhere(
    odd: Site, odd_server: Server, value: object, is_enabled: bool
) -> None:
    row = f"{CLEO}_Eyes"
    odd.add_module(row, "View", CLEO, enabled=value)
    odd.execute("UPDATE plugin SET enabled = ? WHERE id = ?", value, row)
    odd.execute("DELETE FROM plugin WHERE plugin_slug = 'Eyes' AND id <> ?", row)
    as_cleo = bearer(CLEO)
    _until_looked_at(odd_server, odd)
    file = odd_server.get(own("Eyes"), as_cleo)
    assert file.status == 200 if is_enabled else file.code == "plugin_disabled"
    assert odd_server.get(public(row)).status == (200 if is_enabled else 404)
    assert odd_server.get(public("Eyes")).status == (200 if is_enabled else 404)
    assert list(odd_server.get(MANIFEST, as_cleo).json) == (["Eyes"] if is_enabled else [])
    info = odd_server.get(f"{API}/plugins/{row}/info", as_cleo).json
    assert (info["enabled"], info["modules"][0]["enabled"]) == (is_enabled, is_enabled)
    status = odd_server.get(f"{API}/plugins/Eyes/status", as_cleo).json["data"]
    assert status["plugin_info"]["enabled"] == int(is_enabled)
    changed = odd_server.request(
        "PATCH", f"{API}/plugins/{row}", as_cleo, b'{"enabled": true}'
    ).json["data"]["changed"]
    assert changed is not is_enabled


def _until_looked_at(server: Server, site: Site) -> None:
    """What was cached before is gone."""
    done = run({**site.environment, "GATEWAY__SERVER__PORT": str(server.port)}, "cache", "purge")
    assert done.exit_code == 0, done.output


# Values that are no text


TEXTS = ("id", "plugin_slug", "version", "name", "bundle_location", "user_id", "last_updated")


@pytest.mark.usefixtures("rows_restored")
@pytest.mark.parametrize("column", TEXTS)
def test_a_blob_breaks_no_answer(odd: Site, odd_server: Server, column: str) -> None:
    odd.add_row(ADA, "Other", "1.0.0")
    odd.execute(f"UPDATE plugin SET {column} = x'ff00' WHERE id = ?", f"{ADA}_Other")
    odd.add_module(f"{ADA}_Review", "View", ADA)
    _until_looked_at(odd_server, odd)
    as_ada = bearer(ADA)
    for path in (
        own("Review"),
        public(f"{ADA}_Review"),
        f"{API}/plugins/by-slug/Review",
        f"{API}/plugins/Review/status",
        f"{API}/plugins/{ADA}_Review/info",
        f"{API}/plugins/{ADA}_Review/modules",
        f"{API}/plugins/{ADA}_Review/modules/View",
    ):
        assert odd_server.get(path, as_ada).status == 200, path
    for path in (MANIFEST, DESIGNER):
        assert {"Eyes", "Review"} <= set(odd_server.get(path, as_ada).json)
    for command in (["check"], ["doctor", "--json"], ["list"], ["gc"], ["migrate"]):
        done = run(odd.environment, *command)
        assert done.exit_code in (0, 1), done.output


@pytest.mark.usefixtures("rows_restored")
@pytest.mark.parametrize("column", ["id", "plugin_id", "name", "props", "tags", "priority"])
def test_a_blob_in_a_module_breaks_no_answer(odd: Site, odd_server: Server, column: str) -> None:
    for name in ("Broken", "Whole"):
        odd.add_module(f"{ADA}_Review", name, ADA)
    odd.execute(f"UPDATE module SET {column} = x'ff00' WHERE name = 'Broken'")
    modules = odd_server.get(f"{API}/plugins/{ADA}_Review/modules", bearer(ADA)).json["modules"]
    assert "Whole" in [module["name"] for module in modules]
    assert odd_server.get(f"{API}/plugins/{ADA}_Review/modules/Whole", bearer(ADA)).status == 200
    assert odd_server.get(DESIGNER, bearer(ADA)).status == 200


@pytest.mark.usefixtures("rows_restored")
@pytest.mark.parametrize("version", [b"2.0.0", "../2.0.0", "", None])
def test_a_version_that_no_folder_has_makes_no_slug_ambiguous(
    odd: Site, odd_server: Server, version: Any
) -> None:
    odd.execute("UPDATE plugin SET version = ?, enabled = 1 WHERE user_id = ?", version, CLEO)
    _until_looked_at(odd_server, odd)
    assert odd_server.get(public("Eyes")).status == 200


# The order of modules


def test_modules_come_in_the_order_of_the_table(either_site: Site) -> None:
    """The application asks for none, and its designer shows them as they come."""
    names = ["Zoom", "Alpha", "Middle", "Beta"]
    for name in names:
        for user in (BEN, ADA):
            either_site.add_module(f"{user}_Review", name, user)
    either_site.execute("DELETE FROM module WHERE name = 'Middle' AND user_id = ?", ADA)
    either_site.add_module(f"{ADA}_Review", "Added", ADA)
    expected = ["Zoom", "Alpha", "Beta", "Added"]
    row = f"{API}/plugins/{ADA}_Review"
    with serving(either_site.environment) as server:
        as_ada = bearer(ADA)
        answers = [
            server.get(DESIGNER, as_ada).json["Review"],
            server.get(f"{row}/info", as_ada).json,
            server.get(f"{row}/modules", as_ada).json,
        ]
        ben = server.get(DESIGNER, bearer(BEN)).json["Review"]["modules"]
    for answer in answers:
        assert [module["name"] for module in answer["modules"]] == expected
    assert [module["name"] for module in ben] == names


def test_a_view_in_the_tables_place_is_read_too(either_site: Site) -> None:
    """Its rows have no place of their own."""
    either_site.add_module(f"{ADA}_Review", "Only", ADA)
    either_site.execute("ALTER TABLE module RENAME TO modules_of_all")
    either_site.execute("CREATE VIEW module AS SELECT * FROM modules_of_all")
    with serving(either_site.environment) as server:
        modules = server.get(DESIGNER, bearer(ADA)).json["Review"]["modules"]
    assert [module["name"] for module in modules] == ["Only"]


# Names that are none


def test_a_name_that_nothing_can_have_is_unknown_to_every_route(either_site: Site) -> None:
    """PostgreSQL takes NUL in a text for an error: it was a 503, and opened the circuit."""
    as_ada = bearer(ADA)
    with serving({**either_site.environment, **USERS_CHANGE}) as server:
        for name in ("a%00b", "a%1fb", "%00", "x" * 256, "%ff"):
            plugin = f"{API}/plugins/{name}"
            for method, path, body in (
                ("PATCH", plugin, b'{"enabled": false}'),
                ("PUT", f"{plugin}/update", b"{}"),
                ("POST", f"{plugin}/rollback", b"{}"),
                ("POST", f"{plugin}/install", b"{}"),
                ("DELETE", f"{plugin}/uninstall", b""),
            ):
                assert server.request(method, path, as_ada, body).status == 404, path
            for path in (
                own(name),
                public(name),
                f"{plugin}/info",
                f"{plugin}/modules",
                f"{API}/plugins/{ADA}_Review/modules/{name}",
                f"{API}/plugins/by-slug/{name}",
            ):
                assert server.get(path, as_ada).status == 404, path
            status = server.get(f"{plugin}/status", as_ada)
            assert (status.status, status.json["data"]["exists"]) == (200, False)
        assert server.get(own("Review"), as_ada).status == 200
