"""The JSON endpoints as HTTP: validators, methods, credentials."""

import pytest

from tests.endpoints.plugins.rows import BARE, DESIGNER, RICH
from tests.support.server import Answer, Server
from tests.support.site import Site, bearer
from tests.support.urls import API, ENTRY, MANIFEST, own
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


every_endpoint = pytest.mark.parametrize(
    "url",
    [
        MANIFEST,
        DESIGNER,
        f"{API}/plugins/by-slug/Rich",
        f"{API}/plugins/{RICH}_Rich/info",
        f"{API}/plugins/{RICH}_Rich/modules",
        f"{API}/plugins/{RICH}_Rich/modules/{RICH}_Rich_Widget",
        f"{API}/plugins/Rich/status",
    ],
)


@every_endpoint
def test_json_is_private_and_revalidated_by_its_etag(server: Server, url: str) -> None:
    whole = server.get(url, bearer(RICH))
    assert whole.status == 200
    assert whole.headers["content-type"] == "application/json"
    assert whole.headers["cache-control"] == "private, no-cache"
    assert whole.headers["x-content-type-options"] == "nosniff"
    etag = whole.headers["etag"]
    for held in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        answer = server.get(url, {**bearer(RICH), "If-None-Match": held})
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["etag"] == etag
        assert answer.headers["cache-control"] == "private, no-cache"
    assert server.get(url, {**bearer(RICH), "If-None-Match": '"other"'}).body == whole.body


@every_endpoint
def test_json_wants_a_credential(server: Server, url: str) -> None:
    for headers, code in (
        ({}, "not_authenticated"),
        ({"Authorization": "Bearer nothing"}, "invalid_token"),
    ):
        answer = server.get(url, headers)
        assert (answer.status, answer.code) == (401, code)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["cache-control"] == "no-store"


@every_endpoint
def test_head_of_json_has_the_fields_of_get(server: Server, url: str) -> None:
    head = server.request("HEAD", url, bearer(RICH))
    get = server.get(url, bearer(RICH))
    assert (head.status, head.body) == (200, b"")
    assert _lasting(head) == _lasting(get)


def _lasting(answer: Answer) -> list[tuple[str, str]]:
    """The fields that do not differ from one answer to the next."""
    return sorted(field for field in answer.fields if field[0] not in ("date", "x-request-id"))


@every_endpoint
def test_other_methods_on_json_are_405(server: Server, url: str) -> None:
    for method in ("POST", "PUT"):
        answer = server.request(method, url, bearer(RICH))
        assert (answer.status, answer.code) == (405, "method_not_allowed")
        assert {"GET", "HEAD"} <= set(answer.headers["allow"].replace(" ", "").split(","))
        assert answer.headers["cache-control"] == "no-store"


def test_a_changed_row_changes_the_etag(site: Site, server: Server) -> None:
    before = server.get(MANIFEST, bearer(BARE)).headers["etag"]
    site.execute("UPDATE plugin SET name = 'Renamed' WHERE user_id = ?", BARE)
    after = eventually(
        lambda: server.get(MANIFEST, {**bearer(BARE), "If-None-Match": before}),
        lambda answer: answer.status == 200,
    )
    assert after.json["Bare"]["name"] == "Renamed"
    assert after.headers["etag"] != before


def test_a_plugin_with_the_name_of_an_endpoint_can_still_be_served(
    site: Site, server: Server
) -> None:
    for slug in ("manifest", "by-slug", "public"):
        site.publish(slug, "1.0.0", {ENTRY: slug})
        site.give(f"{9:032x}", slug, "1.0.0")
    for slug in ("manifest", "by-slug", "public"):
        answer = server.get(own(slug), bearer(f"{9:032x}"))
        assert (answer.status, answer.body) == (200, slug.encode())
