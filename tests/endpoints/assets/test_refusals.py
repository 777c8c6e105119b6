"""Files over HTTP: what is refused, and how."""

import pytest

from tests.endpoints.assets.asking import BAD_VERSIONS, CANARY, DORA, ask, every_way
from tests.support.server import Server
from tests.support.site import ADA, BEN, NOBODY, Site, bearer
from tests.support.urls import API, ENTRY, capability, own, pin_of, public, signed
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow
EMIL = "f" * 32


# 401


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "not_authenticated"),
        ({"Authorization": "Basic YTpi"}, "not_authenticated"),
        ({"Authorization": "Bearer"}, "not_authenticated"),
        ({"Authorization": "Bearer a.b.c"}, "invalid_token"),
        (bearer(ADA, secret="another secret, which is long enough"), "invalid_token"),
    ],
    ids=["none", "another scheme", "no token", "garbage", "another secret"],
)
@pytest.mark.parametrize("path", [ENTRY, "dist/missing.js", "page.html", "assets/", "../x.js"])
def test_the_authenticated_route_asks_for_the_credential_before_anything_else(
    server: Server, headers: dict[str, str], code: str, path: str
) -> None:
    for plugin in ("Review", "Unheard-of"):
        answer = server.get(own(plugin, path), headers)
        assert (answer.status, answer.code) == (401, code)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert ('error="invalid_token"' in answer.headers["www-authenticate"]) == bool(
            code == "invalid_token"
        )


def test_a_bad_signed_token_is_401(server: Server) -> None:
    answer = server.get(signed("no.token", "Review"))
    assert (answer.status, answer.code) == (401, "invalid_token")
    assert "www-authenticate" in answer.headers


# 403


@every_way
@pytest.mark.parametrize(
    "path", ["page.html", "notes.txt", "lifecycle_manager.py", "assets", "assets/", "LICENSE", ""]
)
def test_unlisted_types_and_folders_are_refused(server: Server, way: str, path: str) -> None:
    answer = ask(server, way, path)
    assert (answer.status, answer.code) == (403, "type_not_allowed")


def test_the_case_of_a_suffix_does_not_matter(moving_site: Site, quick: Server) -> None:
    moving_site.publish("Review", "1.0.1", {"dist/LOUD.JS": "loud", "dist/LOUD.PY": CANARY})
    answer = ask(quick, "own by slug", "dist/LOUD.JS", user=BEN)
    assert (answer.status, answer.body) == (200, b"loud")
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert ask(quick, "own by slug", "dist/LOUD.PY", user=BEN).status == 403


def test_the_public_route_judges_the_type_before_any_lookup(
    moving_site: Site, quick: Server
) -> None:
    for plugin in ("Unheard-of", f"{ADA}_Unheard-of", f"{ADA}_Review"):
        assert quick.get(public(plugin, "page.html")).code == "type_not_allowed"
    with moving_site.locked():
        assert quick.get(public("Never-asked", "page.html")).code == "type_not_allowed"


def test_the_list_of_types_is_a_setting(restricted: Server) -> None:
    assert ask(restricted, "own by slug", "notes.txt").status == 200
    refused = ask(restricted, "own by slug", "package.json")
    assert (refused.status, refused.code) == (403, "type_not_allowed")


def test_without_the_public_route_the_others_go_on(restricted: Server) -> None:
    pin = pin_of(restricted, ADA, "Review")
    for path in (ENTRY, f"{pin}/{ENTRY}"):
        refused = restricted.get(public(f"{ADA}_Review", path))
        assert (refused.status, refused.headers["cache-control"]) == (404, "no-store")
    assert ask(restricted, "own by slug").status == 200


def test_without_a_secret_there_is_no_signed_route(restricted: Server) -> None:
    assert restricted.get(signed(capability(ADA, "Review"), "Review")).status == 404


# 404


REASONS = [
    ("Unlisted", "not_installed"),
    ("Unheard-of", "not_installed"),
    ("Ghost", "unknown_plugin"),
    ("Off", "plugin_disabled"),
    ("Undecided", "plugin_disabled"),
    ("Unbuilt", "version_not_published"),
    *((slug, "version_not_published") for slug in BAD_VERSIONS),
]


@pytest.mark.parametrize(("slug", "code"), REASONS)
def test_the_caller_gets_the_code_of_the_reason(server: Server, slug: str, code: str) -> None:
    answer = ask(server, "own by slug", user=DORA, slug=slug)
    assert (answer.status, answer.code) == (404, code)
    assert set(answer.json) == {"detail", "code"}


def test_the_owner_is_told_the_reason_in_words_and_others_are_not(server: Server) -> None:
    outward = server.get(own("Off"), bearer(NOBODY)).json["detail"]
    owned = {
        server.get(own(slug), bearer(DORA)).json["detail"]
        for slug in ("Unlisted", "Off", "Unbuilt")
    }
    owned.add(ask(server, "own by slug", "dist/missing.js").json["detail"])
    assert len(owned) == 4
    assert outward not in owned


def test_a_row_of_another_user_is_refused_like_one_that_is_nowhere(server: Server) -> None:
    foreign = server.get(own(f"{ADA}_Review"), bearer(NOBODY))
    absent = server.get(own(f"{ADA}_Unheard-of"), bearer(NOBODY))
    assert (foreign.status, foreign.code) == (404, "not_installed")
    assert foreign.body == absent.body


def test_public_refusals_about_a_plugin_all_look_the_same(server: Server) -> None:
    ids = [f"{DORA}_{slug}" for slug, _ in REASONS]
    ids += [f"{DORA}_{name}" for name in ("climbing", "empty", "null")]
    ids += ["Unheard-of", f"{NOBODY}_Review", "Off", "Undecided"]
    answers = {plugin: server.get(public(plugin)) for plugin in ids}
    assert {answer.status for answer in answers.values()} == {404}
    (body,) = {answer.body for answer in answers.values()}
    assert b'"unknown_plugin"' in body


@every_way
def test_a_missing_file_is_404(server: Server, way: str) -> None:
    answer = ask(server, way, "dist/missing.js")
    assert (answer.status, answer.code) == (404, "asset_not_found")


def test_a_missing_file_has_the_same_words_as_a_missing_plugin_on_the_public_route(
    server: Server,
) -> None:
    missing_file = ask(server, "public by id", "dist/missing.js").json
    assert missing_file["detail"] == server.get(public("Unheard-of")).json["detail"]


@every_way
@pytest.mark.parametrize("path", ["folder.js", ".env.json", ".git/config.json", "dist/.hidden.js"])
def test_folders_with_a_suffix_and_dotfiles_do_not_exist(
    server: Server, way: str, path: str
) -> None:
    answer = ask(server, way, path)
    assert (answer.status, answer.code) == (404, "asset_not_found")


@pytest.mark.parametrize("name", ["climbing", "empty", "null"])
def test_a_row_whose_slug_is_no_folder_name_serves_nothing(server: Server, name: str) -> None:
    for answer in (
        server.get(own(f"{DORA}_{name}"), bearer(DORA)),
        server.get(public(f"{DORA}_{name}")),
    ):
        assert answer.status == 404
        assert CANARY.encode() not in answer.body


def test_unusable_rows_do_not_spoil_the_users_others(moving_site: Site, quick: Server) -> None:
    moving_site.give(EMIL, "../Loot", "1.0.0", id=f"{EMIL}_climbing")
    moving_site.give(EMIL, "Loot", "../..")
    moving_site.give(EMIL, "Review", "1.0.0")
    assert ask(quick, "own by slug", user=EMIL).status == 200


# 409


def test_a_bare_slug_at_several_versions_is_ambiguous(server: Server) -> None:
    answer = server.get(public("Review"))
    assert (answer.status, answer.code) == (409, "ambiguous_version")
    assert b"Review 1.0" not in answer.body


def test_a_bare_slug_becomes_ambiguous_with_the_first_upgrade(
    moving_site: Site, quick: Server
) -> None:
    for version in ("1.0.0", "1.0.1"):
        moving_site.publish("Split", version)
    moving_site.give(ADA, "Split", "1.0.0")
    moving_site.give(BEN, "Split", "1.0.0")
    eventually(lambda: quick.get(public("Split")), lambda answer: answer.status == 200)
    moving_site.execute(
        "UPDATE plugin SET version = '1.0.1' WHERE plugin_slug = 'Split' AND user_id = ?", BEN
    )
    eventually(lambda: quick.get(public("Split")), lambda answer: answer.status == 409)


# Every refusal


def test_no_refusal_may_be_stored(server: Server) -> None:
    retired = "@1.0.0~0123456789abcdef"
    refusals = {
        401: server.get(own("Review")),
        403: ask(server, "own by slug", "page.html"),
        404: ask(server, "own by slug", "dist/missing.js"),
        405: ask(server, "own by slug", method="POST"),
        409: server.get(public("Review")),
        410: ask(server, "own by slug", f"{retired}/{ENTRY}"),
        412: ask(server, "own by slug", If_Match='"other"'),
    }
    for status, answer in refusals.items():
        assert answer.status == status
        assert answer.headers["cache-control"] == "no-store", status
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert set(answer.json) == {"detail", "code"}
        assert "etag" not in answer.headers


@pytest.mark.parametrize(
    "url",
    ["/", "/nowhere", API, f"{API}/plugins", f"{API}/plugins/", f"{API}/plugins/Review",
     f"{API}/public/plugins/Review", f"{API}/signed/x/plugins/Review", "/-/nothing", "/-/live/"],
)  # fmt: skip
def test_no_answer_outside_the_routes_may_be_stored(server: Server, url: str) -> None:
    """A redirect is one, too: its Location is made from the request's Host."""
    for method in ("GET", "POST"):
        answer = server.request(method, url, bearer(ADA))
        assert answer.status >= 300
        assert answer.headers.get("cache-control") == "no-store"
