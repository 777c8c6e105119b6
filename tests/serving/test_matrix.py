"""Every user, plugin and way of asking: who gets which bytes, and that nobody gets others."""

from itertools import product

import pytest

from tests.support.server import Answer, Server, server_of
from tests.support.site import ADA, BEN, CLEO, NOBODY, Site, bearer
from tests.support.urls import (
    ENTRY,
    SIGNED_ENVIRONMENT,
    capability,
    own,
    pin_of,
    public,
    signed,
)

EMIL = "e" * 32
USERS = {"ada": ADA, "ben": BEN, "cleo": CLEO, "emil": EMIL, "nobody": NOBODY}

PUBLISHED = {
    "Review": ("1.0.0", "1.0.1", "1.0.10"),
    "Review2": ("1.0.0",),
    "Eyes": ("2.0.0",),
    "Notes": ("1.0", "1.0.1"),
}

# What each user may have. Every user holds every plugin at another version, or not at all.
ALLOWED = {
    ADA: {"Review": "1.0.0", "Eyes": "2.0.0", "Notes": "1.0"},
    BEN: {"Review": "1.0.1", "Notes": "1.0.1"},
    CLEO: {"Review": "1.0.10", "Review2": "1.0.0"},
    EMIL: {},
    NOBODY: {},
}
# Emil has everything at first sight, and for each plugin one thing is missing.
DISABLED, NOT_IN_JSON, ONLY_IN_JSON, NO_FOLDER = "Review", "Eyes", "Notes", "Review2"

MARK = b"BYTES-OF-"

every_user = pytest.mark.parametrize("caller", USERS)
every_plugin = pytest.mark.parametrize("slug", PUBLISHED)
RELEASES = [(slug, version) for slug, versions in PUBLISHED.items() for version in versions]
every_pin = pytest.mark.parametrize(("slug", "version"), RELEASES)


def bytes_of(slug: str, version: str) -> bytes:
    return MARK + f"{slug}-{version};".encode()


def lay_out(site: Site) -> Site:
    """All plugins and users."""
    for slug, versions in PUBLISHED.items():
        for version in versions:
            site.publish(slug, version, {ENTRY: bytes_of(slug, version)})
    for user, plugins in ALLOWED.items():
        for slug, version in plugins.items():
            site.give(user, slug, version)
    site.give(EMIL, DISABLED, "1.0.0", enabled=0)
    site.add_row(EMIL, NOT_IN_JSON, "2.0.0")
    site.give(EMIL, NO_FOLDER, "9.9.9")
    site.install(EMIL, DISABLED, NO_FOLDER, ONLY_IN_JSON)
    return site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return lay_out(Site(tmp_path_factory.mktemp("site")))


server = server_of(SIGNED_ENVIRONMENT)


@pytest.fixture(scope="module")
def pins(server: Server, site: Site) -> dict[tuple[str, str], str]:
    """The pin of every published version, as the manifest of some holder gives it out."""
    found = {}
    for user, plugins in ALLOWED.items():
        for slug, version in plugins.items():
            found[slug, version] = pin_of(server, user, slug)
    assert set(found) == set(RELEASES)
    return found


def assert_serves_only(answer: Answer, slug: str, version: str | None) -> None:
    """That version's bytes; no version: a refusal that holds nobody's bytes."""
    if version is None:
        assert answer.status in (401, 404)
        assert MARK not in answer.body
    else:
        assert (answer.status, answer.body) == (200, bytes_of(slug, version))


@every_user
@every_plugin
def test_by_slug_users_get_their_own_version_or_nothing(
    server: Server, caller: str, slug: str
) -> None:
    user = USERS[caller]
    answer = server.get(own(slug), bearer(user))
    assert_serves_only(answer, slug, ALLOWED[user].get(slug))


@every_user
@every_plugin
@pytest.mark.parametrize("holder", USERS)
def test_by_database_id_users_get_only_what_their_own_row_names(
    server: Server, caller: str, holder: str, slug: str
) -> None:
    user = USERS[caller]
    answer = server.get(own(f"{USERS[holder]}_{slug}"), bearer(user))
    assert_serves_only(answer, slug, ALLOWED[user].get(slug) if caller == holder else None)


@every_user
@every_plugin
@pytest.mark.parametrize("holder", USERS)
def test_publicly_a_database_id_gives_its_owners_version_whoever_asks(
    server: Server, caller: str, holder: str, slug: str
) -> None:
    answer = server.get(public(f"{USERS[holder]}_{slug}"), bearer(USERS[caller]))
    assert_serves_only(answer, slug, ALLOWED[USERS[holder]].get(slug))


@pytest.mark.parametrize(
    ("slug", "version"), [("Eyes", "2.0.0"), ("Review", None), ("Notes", None), ("Review2", None)]
)
def test_publicly_a_bare_slug_never_chooses_between_users(
    server: Server, slug: str, version: str | None
) -> None:
    """Review2: one row names a version without a folder, so the enabled rows disagree."""
    answer = server.get(public(slug))
    if version is None:
        assert (answer.status, answer.code) == (409, "ambiguous_version")
        assert MARK not in answer.body
    else:
        assert_serves_only(answer, slug, version)


@every_user
@every_pin
def test_a_pin_gives_exactly_its_bytes_to_those_who_have_the_plugin(
    server: Server, pins: dict[tuple[str, str], str], caller: str, slug: str, version: str
) -> None:
    user = USERS[caller]
    path = f"{pins[slug, version]}/{ENTRY}"
    has_it = slug in ALLOWED[user]
    # A row whose version has no folder is still the user's plugin: they may have the pin's bytes.
    has_it |= user == EMIL and slug == NO_FOLDER
    for plugin in (slug, f"{user}_{slug}"):
        answer = server.get(own(plugin, path), bearer(user))
        assert_serves_only(answer, slug, version if has_it else None)


@every_user
@every_pin
def test_publicly_a_pin_gives_exactly_its_bytes(
    server: Server, pins: dict[tuple[str, str], str], caller: str, slug: str, version: str
) -> None:
    path = f"{pins[slug, version]}/{ENTRY}"
    for plugin in (slug, f"{USERS[caller]}_{slug}"):
        assert_serves_only(server.get(public(plugin, path)), slug, version)


@pytest.mark.parametrize(
    ("other", "slug", "version"),
    [(other, *release) for other, release in product(PUBLISHED, RELEASES) if other != release[0]],
)
def test_a_pin_of_one_plugin_opens_no_other(
    server: Server, pins: dict[tuple[str, str], str], other: str, slug: str, version: str
) -> None:
    path = f"{pins[slug, version]}/{ENTRY}"
    for user, url in product((ADA, CLEO), (own(other, path), public(other, path))):
        answer = server.get(url, bearer(user))
        assert answer.status in (404, 410)
        assert MARK not in answer.body


@every_user
@every_plugin
@pytest.mark.parametrize("other", PUBLISHED)
def test_a_signed_url_gives_its_users_version_of_its_plugin_alone(
    server: Server, caller: str, slug: str, other: str
) -> None:
    user = USERS[caller]
    expected = ALLOWED[user].get(slug) if other == slug else None
    token = capability(user, slug)
    assert_serves_only(server.get(signed(token, other)), other, expected)
    # A credential beside it changes nothing: the path is the credential.
    assert_serves_only(server.get(signed(token, other), bearer(ADA)), other, expected)


@every_user
@every_pin
def test_a_signed_url_takes_pins_of_its_plugin(
    server: Server, pins: dict[tuple[str, str], str], caller: str, slug: str, version: str
) -> None:
    user = USERS[caller]
    has_it = slug in ALLOWED[user] or (user == EMIL and slug == NO_FOLDER)
    path = f"{pins[slug, version]}/{ENTRY}"
    answer = server.get(signed(capability(user, slug), slug, path))
    assert_serves_only(answer, slug, version if has_it else None)


@every_plugin
@pytest.mark.parametrize("holder", USERS)
def test_a_signed_url_opens_no_row_of_another_user(server: Server, holder: str, slug: str) -> None:
    answer = server.get(signed(capability(ADA, slug), f"{USERS[holder]}_{slug}"))
    expected = ALLOWED[ADA].get(slug) if USERS[holder] == ADA else None
    assert_serves_only(answer, slug, expected)


@every_plugin
def test_without_a_credential_the_authenticated_route_gives_nothing(
    server: Server, pins: dict[tuple[str, str], str], slug: str
) -> None:
    for path in (ENTRY, f"{pins[slug, PUBLISHED[slug][0]]}/{ENTRY}"):
        answer = server.get(own(slug, path))
        assert answer.status == 401
        assert MARK not in answer.body


@every_user
def test_the_manifest_lists_exactly_what_is_enabled_and_installed(
    server: Server, caller: str
) -> None:
    user = USERS[caller]
    expected = dict(ALLOWED[user])
    if user == EMIL:
        expected[NO_FOLDER] = "9.9.9"  # listed, as in the application; its files are not there
    manifest = server.get("/api/v1/plugins/manifest", bearer(user)).json
    assert {slug: entry["version"] for slug, entry in manifest.items()} == expected
