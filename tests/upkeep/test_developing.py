"""For whom a plugin is developed, on a site that has its users already."""

import asyncio

import pytest

from gateway.errors import ConfigurationError
from gateway.names import Slug, UserId
from gateway.settings import load_settings
from gateway.upkeep.developing import Developer, find_developer
from tests.support.site import ADA, BEN, NOBODY, Site


def found(site: Site, user: str | None, slug: str = "Review") -> Developer:
    settings = load_settings(environ=site.environment)
    return asyncio.run(find_developer(settings, UserId(user) if user else None, Slug(slug)))


def test_a_user_with_the_plugin_develops_the_plugin_of_their_row(either_site: Site) -> None:
    either_site.execute("UPDATE plugin SET id = 'odd', scope = 'box' WHERE id = ?", f"{ADA}_Review")
    assert found(either_site, ADA) == Developer(UserId(ADA), "odd", "box")


def test_a_user_without_the_plugin_gets_the_id_that_a_row_would_have(empty_site: Site) -> None:
    empty_site.add_row(ADA, "Eyes", "2.0.0")
    assert found(empty_site, ADA) == Developer(UserId(ADA), f"{ADA}_Review", None)


def test_a_user_who_has_a_file_alone_is_known(empty_site: Site) -> None:
    empty_site.install(ADA)
    assert found(empty_site, ADA).user == ADA


def test_the_only_user_need_not_be_named(empty_site: Site) -> None:
    empty_site.add_row(BEN, "Eyes", "2.0.0")
    assert found(empty_site, None).user == BEN


@pytest.mark.parametrize(
    ("user", "line"),
    [(NOBODY, f"the site has no user {NOBODY}"), (None, "the site has several users")],
)
def test_whom_the_site_does_not_know_is_refused(site: Site, user: str | None, line: str) -> None:
    with pytest.raises(ConfigurationError, match=line):
        found(site, user)


def test_a_site_without_users_is_refused(empty_site: Site) -> None:
    with pytest.raises(ConfigurationError, match="no users with plugins yet"):
        found(empty_site, None)
