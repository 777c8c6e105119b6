"""A site with every reason for a refusal, and servers of it."""

from collections.abc import Iterator

import pytest

from tests.endpoints.assets.asking import BAD_VERSIONS, CANARY, DORA, MEDIA_TYPES
from tests.support.server import Server, server_of, serving
from tests.support.settings import UNWATCHED
from tests.support.site import Site, populated
from tests.support.urls import ENTRY, SIGNED_ENVIRONMENT

IN_MEMORY: dict[str, str] = {}
FROM_FILES = {"GATEWAY__CACHE__ASSETS__MAX_BYTES": "0"}


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


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package", params=[IN_MEMORY, FROM_FILES], ids=["memory", "file"])
def server(site: Site, request: pytest.FixtureRequest) -> Iterator[Server]:
    with serving({**site.environment, **SIGNED_ENVIRONMENT, **request.param}) as running:
        yield running


restricted = server_of(
    {
        "GATEWAY__ACCESS__PUBLIC": "false",
        "GATEWAY__HTTP__ALLOWED_SUFFIXES": "js,txt",
        "GATEWAY__DEV__ENABLED": "true",
    },
    scope="package",
)
"""The same site under settings that take something away."""


@pytest.fixture(scope="package")
def moving_site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site that tests change; each has plugins of its own in it."""
    return populated(tmp_path_factory.mktemp("moving"))


@pytest.fixture(scope="package")
def quick(moving_site: Site) -> Iterator[Server]:
    """Hears of no change, and forgets soon: only the lifetimes can show what changed."""
    settings = {
        **UNWATCHED,
        "GATEWAY__CACHE__VERSIONS__TTL": "0.3",
        "GATEWAY__CACHE__INSTALLATIONS__TTL": "0.3",
        "GATEWAY__CACHE__ASSETS__REVALIDATE": "0.1",
        "GATEWAY__DATABASE__QUERY_TIMEOUT": "1",
        "GATEWAY__HTTP__UNPINNED_MAX_AGE": "60",
    }
    with serving({**moving_site.environment, **SIGNED_ENVIRONMENT, **settings}) as running:
        yield running
