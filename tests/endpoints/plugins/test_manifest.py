"""The manifest lists a user's plugins with the values of their rows."""

import pytest

from tests.endpoints.plugins.rows import (
    BARE,
    BROKEN,
    DESIGNER,
    JSON_DEFAULTS,
    MANIFEST_KEYS,
    METADATA,
    MODULE_JSON_DEFAULTS,
    NO_FILE,
    OLD_FILE,
    RICH,
    RICH_PLUGIN,
    SORTED,
    manifest,
)
from tests.support.server import Server
from tests.support.site import ADA, BEN, CLEO, NOBODY, Site, bearer
from tests.support.urls import MANIFEST, own, public

pytestmark = pytest.mark.slow

ODD_FILES: dict[str, bytes] = {
    "no JSON": b"{not json",
    "half written": b'{"Review": {"installation_meta',
    "empty": b"",
    "a list": b'["Review"]',
    "a text": b'"Review"',
    "null": b"null",
    "not UTF-8": b'{"Review\xff": {}}',
}


# The manifest


def test_a_manifest_entry_has_all_keys_with_the_rows_values(server: Server) -> None:
    (entry,) = manifest(server, RICH).values()
    assert set(entry) == MANIFEST_KEYS
    assert {key: entry[key] for key in RICH_PLUGIN} == RICH_PLUGIN
    assert entry["id"] == "Rich"
    assert entry["database_id"] == f"{RICH}_Rich"
    assert entry["installation_metadata"] == METADATA


def test_booleans_are_booleans_and_not_the_databases_integers(server: Server) -> None:
    body = server.get(MANIFEST, bearer(RICH)).body
    for key in ("enabled", "official", "islocal", "updateAvailable"):
        assert f'"{key}":true'.encode() in body


def test_nulls_in_the_row_are_nulls_in_the_manifest(server: Server) -> None:
    (entry,) = manifest(server, BARE).values()
    assert set(entry) == MANIFEST_KEYS
    for key in ("pluginType", "icon", "category", "status", "author", "lastUpdated", "downloads",
                "scope", "bundlemethod", "bundlelocation", "longDescription", "sourceType",
                "sourceUrl", "updateCheckUrl", "lastUpdateCheck", "latestVersion",
                "installationType", "endpointsFile", "routePrefix"):  # fmt: skip
        assert entry[key] is None, key
    assert entry["updateAvailable"] in (None, False)
    assert {key: entry[key] for key in JSON_DEFAULTS} == JSON_DEFAULTS


def test_broken_json_columns_become_their_defaults_and_spoil_nothing(server: Server) -> None:
    found = manifest(server, BROKEN, DESIGNER)
    assert list(found) == [*(f"Broken{number}" for number in range(5)), "Well"]
    for slug, entry in found.items():
        (module,) = entry["modules"]
        if slug == "Well":
            assert (entry["permissions"], module["props"]) == (["api.access"], {"a": 1})
        else:
            assert {key: entry[key] for key in JSON_DEFAULTS} == JSON_DEFAULTS
            assert {key: module[key] for key in MODULE_JSON_DEFAULTS} == MODULE_JSON_DEFAULTS


def test_entries_are_in_bytewise_order_of_their_slugs(server: Server) -> None:
    slugs = list(manifest(server, SORTED))
    assert slugs == sorted(slugs, key=str.encode)
    assert len(slugs) == 7


def test_disabled_plugins_are_not_listed(server: Server) -> None:
    assert manifest(server, CLEO) == {}


def test_who_has_nothing_gets_an_empty_object(server: Server) -> None:
    for url in (MANIFEST, DESIGNER):
        assert server.get(url, bearer(NOBODY)).body == b"{}"


def test_only_the_callers_rows_are_listed(server: Server) -> None:
    for user, versions in ((ADA, {"Eyes": "2.0.0", "Review": "1.0.0"}), (BEN, {"Review": "1.0.1"})):
        found = manifest(server, user)
        assert {slug: entry["version"] for slug, entry in found.items()} == versions
        assert {entry["userId"] for entry in found.values()} == {user}


def test_a_row_without_a_slug_is_keyed_by_its_id(lenient: Server) -> None:
    entry = manifest(lenient, NO_FILE)[f"{NO_FILE}_"]
    assert entry["id"] == f"{NO_FILE}_"
    assert "database_id" not in entry
    assert entry["bundlelocation"] == "/dist/remoteEntry.js"


def test_a_query_string_with_a_cache_buster_changes_nothing(server: Server) -> None:
    assert manifest(server, RICH, f"{MANIFEST}?_=123") == manifest(server, RICH)


# The installation rule


def test_without_a_file_nothing_is_installed(server: Server) -> None:
    assert manifest(server, NO_FILE) == {}
    assert server.get(own("Review"), bearer(NO_FILE)).code == "not_installed"
    assert server.get(public(f"{NO_FILE}_Review")).status == 404


def test_without_a_file_the_table_decides_where_the_setting_says_so(lenient: Server) -> None:
    entry = manifest(lenient, NO_FILE)["Review"]
    assert entry["installation_metadata"] in ({}, None)
    assert b"Review 1.0.0" in lenient.get(own("Review"), bearer(NO_FILE)).body
    assert b"Review 1.0.0" in lenient.get(public(f"{NO_FILE}_Review")).body


def test_a_file_that_exists_is_obeyed_whatever_the_setting(server: Server, lenient: Server) -> None:
    for running in (server, lenient):
        assert "Rich" not in manifest(running, OLD_FILE)
        assert running.get(own("Rich"), bearer(OLD_FILE)).code == "not_installed"


@pytest.mark.parametrize("content", ODD_FILES.values(), ids=list(ODD_FILES))
def test_a_broken_file_means_that_nothing_is_installed(
    site: Site, server: Server, lenient: Server, content: bytes
) -> None:
    """Also where a missing file means that the table decides: a file that exists is obeyed."""
    user = f"{sum(content):032x}"
    site.add_row(user, "Review", "1.0.0")
    site.write_installations(user, content)
    for running in (server, lenient):
        assert manifest(running, user) == {}
        assert running.get(own("Review"), bearer(user)).code == "not_installed"
        assert running.get(public(f"{user}_Review")).status == 404


def test_the_old_format_is_read_for_its_keys_and_metadata_alone(server: Server) -> None:
    found = manifest(server, OLD_FILE)
    assert list(found) == ["Eyes", "Plain", "Review"]
    assert found["Review"]["version"] == "1.0.0"
    assert found["Review"]["enabled"] is True
    assert found["Review"]["installation_metadata"] == {
        "migrated_from": "x",
        "installation_type": "migrated",
    }
    assert found["Eyes"]["installation_metadata"] == {}
    assert found["Plain"]["installation_metadata"] == {}
