"""Files over HTTP: what is answered, with which fields, and what is refused how."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway.disk.builds import look_at
from tests.support.news import AN_HOUR, UNWATCHED
from tests.support.server import Answer, Server, serving
from tests.support.site import ADA, BEN, CLEO, NOBODY, Site, bearer, populated
from tests.support.urls import (
    API,
    ENTRY,
    PRIVATE_WAYS,
    SIGNED_ENVIRONMENT,
    WAYS,
    capability,
    own,
    pin_of,
    public,
    signed,
)
from tests.support.waiting import eventually, for_a_while

pytestmark = pytest.mark.slow

DORA = "e" * 32
"""Whose plugins are all refused, each for a reason of its own."""
EMIL = "f" * 32
CANARY = "the bytes of somebody else"
REVIEW_100 = b"/* Review 1.0.0 */ window.Review = {};"

IN_MEMORY: dict[str, str] = {}
FROM_FILES = {"GATEWAY__CACHE__ASSETS__MAX_BYTES": "0"}
IMMUTABLE = "max-age=31536000, immutable"

MEDIA_TYPES = {
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "json": "application/json",
    "map": "application/json",
    "wasm": "application/wasm",
    "svg": "image/svg+xml",
    "png": "image/png",
    "woff2": "font/woff2",
    "webmanifest": "application/manifest+json",
}

# Versions that the application's table may hold, and which are no single path component.
BAD_VERSIONS = {
    "Climb": "1.0/../../Loot",
    "Dots": "..",
    "Slash": "1.0.0/",
    "Folder": "1.0.0/inner",
    "Backslash": "1.0.0\\..\\..\\Loot",
    "Empty": "",
    "Space": " 1.0.0",
    "Control": "1.0.0\n",
    "Nothing": None,
}


def _lay_bait(site: Site) -> None:
    """A file in every place to which one of the bad names would lead."""
    shared = site.plugins / "shared"
    for folder in (
        shared / "Loot",  # 1.0/../../Loot
        shared / "Climb" / "v1.0",
        shared / "Dots" / "v..",
        shared / "Slash" / "v1.0.0",
        shared / "Folder" / "v1.0.0" / "inner",
        shared / "Backslash" / "v1.0.0\\..\\..\\Loot",
        shared / "Empty" / "v",
        shared / "Space" / "v 1.0.0",
        shared / "Control" / "v1.0.0\n",
        shared / "Nothing" / "vNone",
        site.plugins / "Loot" / "v1.0.0",  # slug ../Loot
        shared / "v1.0.0",  # empty slug
    ):
        (folder / "dist").mkdir(parents=True)
        (folder / ENTRY).write_text(CANARY)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = populated(tmp_path_factory.mktemp("site"))
    site.publish("Review", "1.0.0", {f"types/file.{ending}": ending for ending in MEDIA_TYPES})
    site.publish(
        "Review",
        "1.0.0",
        {
            ".env.json": CANARY,
            ".git/config.json": CANARY,
            "page.html": CANARY,
            "notes.txt": CANARY,
            "folder.js/inner.js": CANARY,
        },
    )
    site.publish("Eyes", "1.0.0")

    _lay_bait(site)
    site.loosen()
    for slug, version in BAD_VERSIONS.items():
        site.give(DORA, slug, version or "")
    site.execute("UPDATE plugin SET version = NULL WHERE plugin_slug = 'Nothing'")
    site.give(DORA, "Ghost", "1.0.0")
    site.execute("DELETE FROM plugin WHERE plugin_slug = 'Ghost'")
    site.give(DORA, "Off", "1.0.0", enabled=0)
    site.give(DORA, "Undecided", "1.0.0", enabled=None)
    site.give(DORA, "Unbuilt", "9.9.9")
    site.give(DORA, "../Loot", "1.0.0", id=f"{DORA}_climbing")
    site.give(DORA, "", "1.0.0", id=f"{DORA}_empty")
    site.add_row(DORA, None, "1.0.0", id=f"{DORA}_null")
    site.add_row(DORA, "Unlisted", "1.0.0")
    for slug in ("Off", "Undecided", "Unlisted"):
        site.publish(slug, "1.0.0", {ENTRY: CANARY})
    return site


@pytest.fixture(scope="module", params=[IN_MEMORY, FROM_FILES], ids=["memory", "file"])
def server(site: Site, request: pytest.FixtureRequest) -> Iterator[Server]:
    with serving({**site.environment, **SIGNED_ENVIRONMENT, **request.param}) as running:
        yield running


@pytest.fixture(scope="module")
def restricted(site: Site) -> Iterator[Server]:
    """The same site under settings that take something away."""
    settings = {
        "GATEWAY__ACCESS__PUBLIC": "false",
        "GATEWAY__HTTP__ALLOWED_SUFFIXES": "js,txt",
        "GATEWAY__DEV__ENABLED": "true",
    }
    with serving({**site.environment, **settings}) as running:
        yield running


@pytest.fixture(scope="module")
def moving_site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site that tests change; each has plugins of its own in it."""
    return populated(tmp_path_factory.mktemp("moving"))


@pytest.fixture(scope="module")
def quick(moving_site: Site) -> Iterator[Server]:
    """Hears of no change, and forgets soon: only the lifetimes can show what changed."""
    settings = {
        **UNWATCHED,
        "GATEWAY__CACHE__VERSIONS__TTL": "0.3",
        "GATEWAY__CACHE__INSTALLATIONS__TTL": "0.3",
        "GATEWAY__CACHE__ASSETS__REVALIDATE": "0.1",
        "GATEWAY__DATABASE__QUERY_TIMEOUT": "0.3",
        "GATEWAY__HTTP__UNPINNED_MAX_AGE": "60",
    }
    with serving({**moving_site.environment, **SIGNED_ENVIRONMENT, **settings}) as running:
        yield running


@pytest.fixture(scope="module")
def trusting(site: Site) -> Iterator[Server]:
    """Hears of no change, believes "yes" for an hour and "there is none" for a moment."""
    settings = {
        **AN_HOUR,
        **UNWATCHED,
        "GATEWAY__CACHE__VERSIONS__NEGATIVE_TTL": "0.2",
        "GATEWAY__CACHE__INSTALLATIONS__NEGATIVE_TTL": "0.2",
    }
    with serving({**site.environment, **SIGNED_ENVIRONMENT, **settings}) as running:
        yield running


def ask(
    server: Server,
    way: str,
    path: str = ENTRY,
    *,
    user: str = ADA,
    slug: str = "Review",
    method: str = "GET",
    **headers: str,
) -> Answer:
    """`headers` are written with `_` for `-`."""
    url, credential = WAYS[way](user, slug, path)
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.request(method, url, {**credential, **fields})


every_way = pytest.mark.parametrize("way", WAYS)


# What is served


@every_way
def test_the_users_own_version_is_served(server: Server, way: str) -> None:
    answer = ask(server, way)
    assert (answer.status, answer.body) == (200, REVIEW_100)
    assert answer.headers["content-length"] == str(len(REVIEW_100))
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"


@every_way
def test_no_field_is_sent_twice(server: Server, way: str) -> None:
    names = [name for name, _ in ask(server, way).fields if name != "vary"]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("ending", MEDIA_TYPES)
def test_the_media_type_is_that_of_our_own_table(server: Server, ending: str) -> None:
    answer = ask(server, "own by slug", f"types/file.{ending}")
    assert (answer.status, answer.body) == (200, ending.encode())
    assert answer.headers["content-type"] == MEDIA_TYPES[ending]


def test_a_query_string_changes_nothing(server: Server) -> None:
    assert ask(server, "public by id", f"{ENTRY}?v=1.0.0").body == REVIEW_100


def test_percent_encoded_letters_name_the_same_file(server: Server) -> None:
    assert ask(server, "public by id", "dist/remote%45ntry.js").body == REVIEW_100


def test_a_bare_slug_is_served_publicly_while_all_its_enabled_rows_agree(server: Server) -> None:
    assert b"Eyes 2.0.0" in server.get(public("Eyes")).body


def test_the_owner_of_a_row_is_its_user_id_not_the_prefix_of_its_id(
    moving_site: Site, quick: Server
) -> None:
    moving_site.publish("Borrowed", "1.0.0")
    row_id = moving_site.give(ADA, "Borrowed", "1.0.0", id=f"{BEN}_Borrowed")
    assert eventually(lambda: quick.get(public(row_id)), lambda got: got.status == 200)
    assert quick.get(own(row_id), bearer(ADA)).status == 200
    assert quick.get(own(row_id), bearer(BEN)).status == 404


@pytest.mark.parametrize("row_id", ["one-word", "two_words", f"{NOBODY}_Elsewhere", "42"])
def test_a_row_id_of_any_shape_names_its_row(moving_site: Site, quick: Server, row_id: str) -> None:
    slug = f"Shape{row_id[:3].strip('_-')}"
    moving_site.publish(slug, "1.0.0")
    moving_site.give(CLEO, slug, "1.0.0", id=row_id)
    answer = eventually(lambda: quick.get(public(row_id)), lambda got: got.status == 200)
    assert f"{slug} 1.0.0".encode() in answer.body
    pin = pin_of(quick, CLEO, slug)
    assert quick.get(public(row_id, f"{pin}/{ENTRY}")).body == answer.body


def test_a_slug_may_hold_underscores(moving_site: Site, quick: Server) -> None:
    moving_site.publish("my_own_plugin", "1.0.0")
    row_id = moving_site.give(CLEO, "my_own_plugin", "1.0.0")
    eventually(lambda: quick.get(public(row_id)), lambda got: got.status == 200)
    pinned = f"{pin_of(quick, CLEO, 'my_own_plugin')}/{ENTRY}"
    for plugin in (row_id, "my_own_plugin"):
        assert b"my_own_plugin 1.0.0" in quick.get(public(plugin, pinned)).body


# Cache-Control (docs/urls.md)


@every_way
def test_an_unpinned_file_is_revalidated_each_time(server: Server, way: str) -> None:
    assert ask(server, way).headers["cache-control"] == "no-cache"


@every_way
def test_a_pinned_file_is_immutable(server: Server, way: str) -> None:
    answer = ask(server, way, f"{pin_of(server, ADA, 'Review')}/{ENTRY}")
    audience = "private" if way in PRIVATE_WAYS else "public"
    assert (answer.status, answer.body) == (200, REVIEW_100)
    assert answer.headers["cache-control"] == f"{audience}, {IMMUTABLE}"


def test_a_pinned_url_with_a_bare_slug_needs_no_row_of_anyone(server: Server) -> None:
    answer = server.get(public("Review", f"{pin_of(server, ADA, 'Review')}/{ENTRY}"))
    assert (answer.status, answer.body) == (200, REVIEW_100)


def test_development_never_says_immutable(restricted: Server) -> None:
    answer = ask(restricted, "own by slug", f"{pin_of(restricted, ADA, 'Review')}/{ENTRY}")
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-cache")


@pytest.mark.parametrize(("way", "audience"), [("own by slug", "private"), ("signed", "public")])
def test_a_window_can_be_set_for_unpinned_files(quick: Server, way: str, audience: str) -> None:
    assert ask(quick, way).headers["cache-control"] == f"{audience}, max-age=60"
    pinned = ask(quick, way, f"{pin_of(quick, ADA, 'Review')}/{ENTRY}")
    assert pinned.headers["cache-control"] == f"{audience}, {IMMUTABLE}"


# Validators, HEAD, OPTIONS, other methods


@every_way
@pytest.mark.parametrize("pinned", [False, True])
def test_a_matching_if_none_match_gives_304_with_the_fields_of_the_200(
    server: Server, way: str, pinned: bool
) -> None:
    path = f"{pin_of(server, ADA, 'Review')}/{ENTRY}" if pinned else ENTRY
    whole = ask(server, way, path)
    answer = ask(server, way, path, If_None_Match=whole.headers["etag"])
    assert (answer.status, answer.body) == (304, b"")
    for name in ("etag", "cache-control", "vary"):
        assert answer.headers.get(name) == whole.headers.get(name)


@every_way
def test_an_etag_that_differs_gives_the_file(server: Server, way: str) -> None:
    assert ask(server, way, If_None_Match='"something-else"').body == REVIEW_100


def test_a_refusal_stays_a_refusal_whatever_the_condition(server: Server) -> None:
    assert ask(server, "own by slug", slug="Off", user=DORA, If_None_Match="*").status == 404


def test_the_etag_is_strong_and_made_from_content_alone(
    server: Server, moving_site: Site, quick: Server
) -> None:
    """Equal on two nodes with the same bytes, whatever the times and names of the files."""
    entry = moving_site.version_folder("Review", "1.0.0") / ENTRY
    entry.write_bytes(REVIEW_100)
    os.utime(entry, (1_000_000_000, 1_000_000_000))
    here, there = ask(server, "own by slug"), ask(quick, "own by slug")
    assert there.headers["last-modified"] != here.headers["last-modified"]
    assert there.headers["etag"] == here.headers["etag"]
    assert re.fullmatch(r'"[\x21\x23-\x7e]{16,}"', here.headers["etag"])


def test_other_bytes_have_another_etag(server: Server) -> None:
    ada, ben = ask(server, "own by slug"), ask(server, "own by slug", user=BEN)
    assert ada.headers["etag"] != ben.headers["etag"]


@every_way
@pytest.mark.parametrize("pinned", [False, True])
def test_head_has_the_fields_of_get_and_no_body(server: Server, way: str, pinned: bool) -> None:
    path = f"{pin_of(server, ADA, 'Review')}/{ENTRY}" if pinned else ENTRY
    head, get = ask(server, way, path, method="HEAD"), ask(server, way, path)
    assert (head.status, head.body) == (200, b"")
    assert _lasting(head) == _lasting(get)


@every_way
def test_head_of_a_missing_file_is_a_404_without_a_body(server: Server, way: str) -> None:
    answer = ask(server, way, "dist/missing.js", method="HEAD")
    assert (answer.status, answer.body) == (404, b"")
    assert answer.headers["cache-control"] == "no-store"


def _lasting(answer: Answer) -> list[tuple[str, str]]:
    return sorted(field for field in answer.fields if field[0] != "date")


@every_way
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"])
def test_other_methods_are_405_with_allow(server: Server, way: str, method: str) -> None:
    answer = ask(server, way, method=method)
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert _methods(answer) >= {"GET", "HEAD"}
    assert method not in _methods(answer)


@every_way
def test_options_tells_the_methods(server: Server, way: str) -> None:
    answer = ask(server, way, method="OPTIONS")
    assert (answer.status, answer.body) == (204, b"")
    assert _methods(answer) == {"GET", "HEAD", "OPTIONS"}


def _methods(answer: Answer) -> set[str]:
    return {name.strip() for name in answer.headers["allow"].split(",")}


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


# Pins, and 410


def test_a_page_that_loaded_the_old_version_keeps_getting_it(server: Server) -> None:
    """Ben is at 1.0.1; the pin is of the 1.0.0 that he had."""
    old = f"{pin_of(server, ADA, 'Review')}/dist/1.js"
    for url, headers in (
        (own("Review", old), bearer(BEN)),
        (own(f"{BEN}_Review", old), bearer(BEN)),
        (public(f"{BEN}_Review", old), {}),
        (signed(capability(BEN, "Review"), "Review", old), {}),
    ):
        answer = server.get(url, headers)
        assert (answer.status, answer.body) == (200, b"/* chunk of Review 1.0.0 */")


def test_on_the_authenticated_route_a_pin_does_not_replace_having_the_plugin(
    server: Server,
) -> None:
    pinned = f"{pin_of(server, ADA, 'Review')}/{ENTRY}"
    for user in (CLEO, NOBODY):
        answer = server.get(own("Review", pinned), bearer(user))
        assert (answer.status, answer.code) == (404, "not_installed")


def test_a_disabled_plugin_serves_no_pinned_file_to_its_user(server: Server) -> None:
    pinned = f"{pin_of(server, ADA, 'Eyes')}/{ENTRY}"
    answer = server.get(own("Eyes", pinned), bearer(CLEO))
    assert (answer.status, answer.code) == (404, "plugin_disabled")


@every_way
def test_a_pin_of_other_bytes_is_retired(server: Server, way: str) -> None:
    of_eyes = pin_of(server, ADA, "Eyes")
    build = of_eyes.rpartition("~")[2]
    for pin in (of_eyes, f"@1.0.0~{build}", "@1.0.0~0123456789abcdef", f"@7.7.7~{build}"):
        answer = ask(server, way, f"{pin}/{ENTRY}")
        assert (answer.status, answer.code) == (410, "version_retired")


@every_way
@pytest.mark.parametrize(
    "garbage",
    ["@", "@~", "@1.0.0", "@1.0.0~", "@~0123456789abcdef", "@1.0.0~0123", "@1.0.0~0123456789ABCDEF",
     "@1.0.0~0123456789abcdef0", "@../..~0123456789abcdef", "@..~0123456789abcdef"],
)  # fmt: skip
def test_what_is_no_pin_names_no_file(server: Server, way: str, garbage: str) -> None:
    answer = ask(server, way, f"{garbage}/{ENTRY}")
    assert (answer.status, answer.code) == (404, "asset_not_found")


def test_a_pinned_url_of_a_file_that_the_build_lacks_is_404(server: Server) -> None:
    pin = pin_of(server, ADA, "Review")
    for path in ("dist/missing.js", ".env.json", "folder.js"):
        answer = ask(server, "public by id", f"{pin}/{path}")
        assert (answer.status, answer.code) == (404, "asset_not_found")


@every_way
def test_a_version_rebuilt_in_place_retires_its_pin_and_bringing_it_back_revives_it(
    moving_site: Site, quick: Server, way: str
) -> None:
    slug = "Rebuilt" + "".join(word.capitalize() for word in way.split())
    entry = moving_site.publish(slug, "1.0.0") / ENTRY
    before = entry.read_bytes()
    moving_site.give(ADA, slug, "1.0.0")
    eventually(lambda: ask(quick, way, slug=slug), lambda answer: answer.status == 200)
    pinned = f"{pin_of(quick, ADA, slug)}/{ENTRY}"
    assert ask(quick, way, pinned, slug=slug).body == before

    entry.write_bytes(b"rebuilt")
    bodies = []

    def ask_for_the_pinned() -> Answer:
        answer = ask(quick, way, pinned, slug=slug)
        bodies.append(answer.body)
        return answer

    retired = eventually(ask_for_the_pinned, lambda answer: answer.status != 200)
    assert (retired.status, retired.code) == (410, "version_retired")
    assert set(bodies[:-1]) <= {before}
    assert eventually(lambda: ask(quick, way, slug=slug), lambda got: got.body == b"rebuilt")
    assert pin_of(quick, ADA, slug) not in pinned

    entry.write_bytes(before)
    revived = eventually(ask_for_the_pinned, lambda answer: answer.status == 200)
    assert revived.body == before


@every_way
def test_removing_a_versions_folder_retires_its_pin(
    moving_site: Site, quick: Server, way: str
) -> None:
    slug = "Removed" + "".join(word.capitalize() for word in way.split())
    folder = moving_site.publish(slug, "1.0.0")
    moving_site.give(ADA, slug, "1.0.0")
    eventually(lambda: ask(quick, way, slug=slug), lambda answer: answer.status == 200)
    pinned = f"{pin_of(quick, ADA, slug)}/{ENTRY}"
    assert ask(quick, way, pinned, slug=slug).status == 200

    shutil.rmtree(folder)
    retired = eventually(
        lambda: ask(quick, way, pinned, slug=slug), lambda answer: answer.status != 200
    )
    assert (retired.status, retired.code) == (410, "version_retired")
    gone = eventually(lambda: ask(quick, way, slug=slug), lambda answer: answer.status != 200)
    public_way = way == "public by id"
    assert gone.code == ("unknown_plugin" if public_way else "version_not_published")


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


# Changes while the server runs


def test_an_upgrade_in_the_database_shows_after_the_ttl(moving_site: Site, quick: Server) -> None:
    for version in ("1.0.0", "1.0.1"):
        moving_site.publish("Upgraded", version)
    row_id = moving_site.give(ADA, "Upgraded", "1.0.0")
    eventually(lambda: quick.get(own("Upgraded"), bearer(ADA)), lambda got: b"1.0.0" in got.body)
    moving_site.execute("UPDATE plugin SET version = '1.0.1' WHERE id = ?", row_id)
    for url, headers in ((own("Upgraded"), bearer(ADA)), (public(row_id), {})):
        eventually(lambda: quick.get(url, headers), lambda got: b"Upgraded 1.0.1" in got.body)  # noqa: B023


def test_a_disabled_plugin_stops_after_the_ttl(moving_site: Site, quick: Server) -> None:
    moving_site.publish("Stopped", "1.0.0")
    row_id = moving_site.give(ADA, "Stopped", "1.0.0")
    _eventually_every_way(quick, ADA, "Stopped", 200)
    moving_site.execute("UPDATE plugin SET enabled = 0 WHERE id = ?", row_id)
    _eventually_every_way(quick, ADA, "Stopped", 404)


def test_a_plugin_taken_out_of_the_json_stops_after_the_ttl(
    moving_site: Site, quick: Server
) -> None:
    moving_site.publish("Withdrawn", "1.0.0")
    moving_site.give(BEN, "Withdrawn", "1.0.0")
    _eventually_every_way(quick, BEN, "Withdrawn", 200)
    moving_site.install(BEN, "Review")
    _eventually_every_way(quick, BEN, "Withdrawn", 404)


def test_an_install_shows_after_the_negative_ttl(site: Site, trusting: Server) -> None:
    """Also to Ada, whose other plugins are known for an hour."""
    slug, newcomer = f"Fresh{_unique()}", _unique() * 4
    site.publish(slug, "1.0.0")
    users = (ADA, newcomer)
    ask(trusting, "own by slug", user=ADA)  # what she has is known from here on
    for user in users:
        for way in WAYS:
            assert ask(trusting, way, user=user, slug=slug).status in (401, 404)
    for user in users:
        site.give(user, slug, "1.0.0")
    for user in users:
        _eventually_every_way(trusting, user, slug, 200)


def test_an_enabled_plugin_shows_after_the_negative_ttl(site: Site, trusting: Server) -> None:
    slug = f"Woken{_unique()}"
    site.publish(slug, "1.0.0")
    row_id = site.give(BEN, slug, "1.0.0", enabled=0)
    refused = eventually(
        lambda: ask(trusting, "own by slug", user=BEN, slug=slug),
        lambda answer: answer.code == "plugin_disabled",
    )
    assert refused.status == 404
    site.execute("UPDATE plugin SET enabled = 1 WHERE id = ?", row_id)
    _eventually_every_way(trusting, BEN, slug, 200)


def _unique() -> str:
    return os.urandom(4).hex()


def _eventually_every_way(server: Server, user: str, slug: str, status: int) -> None:
    for way in WAYS:
        eventually(
            lambda: ask(server, way, user=user, slug=slug),  # noqa: B023
            lambda answer: answer.status == status,
        )


def test_a_file_added_later_is_found(moving_site: Site, quick: Server) -> None:
    folder = moving_site.publish("Grown", "1.0.0")
    moving_site.give(ADA, "Grown", "1.0.0")
    late = own("Grown", "dist/late.js")
    eventually(lambda: quick.get(late, bearer(ADA)), lambda got: got.code == "asset_not_found")
    (folder / "dist/late.js").write_text("late")
    eventually(lambda: quick.get(late, bearer(ADA)), lambda answer: answer.body == b"late")


# 503


def test_while_the_database_fails_the_known_are_served_and_the_unknown_get_503(
    moving_site: Site, quick: Server
) -> None:
    assert ask(quick, "own by slug", user=ADA).status == 200
    with moving_site.locked():
        refused = quick.get(own("Review"), bearer("2" * 32))
        assert (refused.status, refused.code) == (503, "source_unavailable")
        assert int(refused.headers["retry-after"]) > 0
        assert refused.headers["cache-control"] == "no-store"
        for _ in for_a_while(1.0):  # three times the ttl: from here on the answer is stale
            assert ask(quick, "own by slug", user=ADA).status == 200
    eventually(
        lambda: quick.get(own("Review"), bearer("2" * 32)), lambda answer: answer.status == 404
    )


def test_a_file_that_shrinks_or_vanishes_is_no_server_error(
    moving_site: Site, quick: Server
) -> None:
    entry: Path = moving_site.publish("Shrinking", "1.0.0") / ENTRY
    moving_site.give(ADA, "Shrinking", "1.0.0")
    eventually(lambda: ask(quick, "own by slug", slug="Shrinking"), lambda got: got.status == 200)
    for content in (b"", b"x" * 100_000, b"short"):
        entry.write_bytes(content)
        eventually(
            lambda: ask(quick, "own by slug", slug="Shrinking"),
            lambda answer: (answer.status, answer.body) == (200, content),  # noqa: B023
        )
    entry.unlink()
    gone = eventually(
        lambda: ask(quick, "own by slug", slug="Shrinking"), lambda answer: answer.status != 200
    )
    assert (gone.status, gone.code) == (404, "asset_not_found")


# Names that only Windows refuses

ODD_NAMES = [
    "a?b.js",
    "a:b.js",
    "a*b.js",
    'a"b.js',
    "a<b>.js",
    "a|b.js",
    "a?b/c:d.js",
    "a%3Fb.js",
    "a b#c.js",
]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Site]]:
    site = Site(tmp_path_factory.mktemp("odd"))
    files = {f"dist/{name}": f"/* {name} */" for name in [*ODD_NAMES, "a", "remoteEntry.js"]}
    site.publish("Odd", "1.0.0", files)
    site.give(ADA, "Odd", "1.0.0")
    with serving({**site.environment, **SIGNED_ENVIRONMENT}) as server:
        yield server, site


@pytest.mark.skipif(os.name == "nt", reason="no file there has such a name")
@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("way", WAYS)
def test_a_file_whose_name_only_windows_refuses_is_served(
    odd: tuple[Server, Site], way: str, name: str
) -> None:
    server, _ = odd
    pin = pin_of(server, ADA, "Odd")
    for prefix in ("", f"{pin}/"):
        for safe in ("/", "/:*"):  # a browser leaves some of them as they are
            path = f"{prefix}dist/" + quote(name, safe=safe)
            question = WAYS[way](ADA, "Odd", path)
            answer = server.get(question.url, question.headers)
            assert (answer.status, answer.body) == (200, f"/* {name} */".encode()), path


@pytest.mark.parametrize("encoded", ["%00", "%0a", "%85", "%C2%85", "%7f", "%5c", "%2f", "%2F"])
def test_other_odd_characters_are_refused(odd: tuple[Server, Site], encoded: str) -> None:
    server, _ = odd
    assert server.get(own("Odd", f"dist/a{encoded}b.js"), bearer(ADA)).status == 404


@pytest.mark.skipif(os.name == "nt", reason="no file there has such a name")
def test_a_file_whose_name_only_windows_refuses_counts_in_the_build(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    before = look_at(site.publish("Odd", "1.0.0", {"dist/a.js": "a"}), None)
    after = look_at(site.publish("Odd", "1.0.0", {"dist/a?.js": "b"}), None)
    assert before is not None
    assert after is not None
    assert before.build != after.build
    assert set(after.digests) == {"dist/a.js", "dist/a?.js"}
