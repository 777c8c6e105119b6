"""The status of a user's plugin, and the health of its files."""

import json
from typing import Any

import pytest

from tests.endpoints.plugins.rows import METADATA, NO_FILE, RICH, status
from tests.support.server import Server
from tests.support.site import ADA, BEN, CLEO, Site, bearer
from tests.support.urls import API, ENTRY

pytestmark = pytest.mark.slow


def test_status_tells_of_the_callers_own_version(site: Site, server: Server) -> None:
    """Not of the folder whose name sorts last, as the application does."""
    site.publish("Review", "1.0.10", {ENTRY: b"a much longer entry" * 100})
    for user, version in ((ADA, "1.0.0"), (BEN, "1.0.1")):
        entry = site.version_folder("Review", version) / ENTRY
        assert status(server, user, "Review") == {
            "plugin_slug": "Review",
            "exists": True,
            "status": "healthy",
            "plugin_id": f"{user}_Review",
            "plugin_info": {
                "id": f"{user}_Review",
                "name": "Review",
                "version": version,
                "enabled": 1,
                "created_at": "2026-01-02 03:04:05",
                "updated_at": "2026-01-02 03:04:05",
            },
            "health_details": {
                "bundle_exists": True,
                "bundle_size": entry.stat().st_size,
                "package_json_valid": True,
                "assets_present": True,
            },
            "installation_metadata": METADATA,
        }


def test_in_status_enabled_is_an_integer(server: Server) -> None:
    for user, slug, enabled in ((RICH, "Rich", b"1"), (CLEO, "Eyes", b"0")):
        body = server.get(f"{API}/plugins/{slug}/status", bearer(user)).body
        assert b'"enabled":' + enabled + b"," in body
        assert b'"exists":true' in body


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({ENTRY: "x", "package.json": "{}"}, ("healthy", True, 1, True, False)),
        ({ENTRY: "", "package.json": "{}"}, ("unhealthy", False, 0, True, False)),
        ({"package.json": "{}"}, ("unhealthy", False, 0, True, False)),
        ({ENTRY: "x"}, ("unhealthy", True, 1, False, False)),
        ({ENTRY: "x", "package.json": "{"}, ("unhealthy", True, 1, False, False)),
        ({ENTRY: "x", "package.json": "{}", "assets/a.svg": ""}, ("healthy", True, 1, True, True)),
        ({}, ("unhealthy", False, 0, False, False)),
    ],
    ids=["well", "empty entry", "no entry", "no package.json", "broken package.json", "assets",
         "no folder"],
)  # fmt: skip
def test_health_is_what_is_on_disk(
    site: Site, server: Server, files: dict[str, str | bytes], expected: tuple[Any, ...]
) -> None:
    slug = f"Health{abs(hash(json.dumps(sorted(files.items()), default=str)))}"
    site.publish(slug, "1.0.0", files)
    user = f"{abs(hash(slug)):032x}"
    site.give(user, slug, "1.0.0")
    data = status(server, user, slug)
    health = data["health_details"]
    assert (
        data["status"],
        health["bundle_exists"],
        health["bundle_size"],
        health["package_json_valid"],
        health["assets_present"],
    ) == expected
    assert data["exists"] is True


@pytest.mark.parametrize("slug", ["Unheard-of", "Eyes", f"{RICH}_Rich", "..", "%2e%2e"])
def test_without_a_row_the_status_is_not_installed(server: Server, slug: str) -> None:
    data = status(server, BEN, slug)
    assert (data["exists"], data["status"]) == (False, "not_installed")
    assert set(data) == {"plugin_slug", "exists", "status"}


def test_a_row_without_the_json_entry_is_not_healthy(server: Server) -> None:
    data = status(server, NO_FILE, "Review")
    assert data["status"] == "not_installed"
