"""URLs that name a version and its build, and 410 for a build that is gone."""

import shutil

import pytest

from tests.endpoints.assets.asking import ask, every_way
from tests.support.server import Answer, Server
from tests.support.site import ADA, BEN, CLEO, NOBODY, Site, bearer
from tests.support.urls import ENTRY, capability, own, pin_of, public, signed
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


def test_a_page_that_loaded_the_old_version_keeps_getting_it(server: Server) -> None:
    """Ben is at 1.0.1; the pin is of the 1.0.0 that Ben had before."""
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
