"""Files over HTTP: what is answered, and with which fields."""

import os
import re

import pytest

from tests.endpoints.assets.asking import DORA, MEDIA_TYPES, ask, every_way
from tests.support.server import Answer, Server
from tests.support.site import ADA, BEN, CLEO, NOBODY, Site, bearer
from tests.support.urls import ENTRY, PRIVATE_WAYS, own, pin_of, public
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow
REVIEW_100 = b"/* Review 1.0.0 */ window.Review = {};"
IMMUTABLE = "max-age=31536000, immutable"


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


# Cache-Control (docs/reference/urls.md)


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
    """The fields that do not differ from one answer to the next."""
    return sorted(field for field in answer.fields if field[0] not in ("date", "x-request-id"))


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
