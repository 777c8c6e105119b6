"""Where the manifest says that a bundle is."""

import pytest

from tests.endpoints.plugins.rows import LOCATIONS, PLACES, manifest
from tests.support.server import Server, serving
from tests.support.site import Site, bearer
from tests.support.urls import own, public

pytestmark = pytest.mark.slow
PINNABLE = ("Plain", "Slashed", "Flat")


@pytest.mark.parametrize("slug", PINNABLE)
def test_a_pinned_location_loads_the_callers_bytes(server: Server, slug: str) -> None:
    """As the front end does it: the public route, the row's id, the location as it is."""
    entry = manifest(server, PLACES)[slug]
    verbatim = LOCATIONS[slug][1]
    pin, _, path = entry["bundlelocation"].partition("/")
    assert (pin[:7], len(pin), path) == ("@1.0.0~", 23, verbatim)
    for url, headers in (
        (public(entry["database_id"], entry["bundlelocation"] + "?v=1.0.0"), {}),
        (own(slug, entry["bundlelocation"]), bearer(PLACES)),
    ):
        answer = server.get(url, headers)
        assert (answer.status, answer.body) == (200, f"{slug} entry".encode())
        assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("slug", [slug for slug in LOCATIONS if slug not in PINNABLE])
def test_a_location_that_cannot_be_pinned_is_verbatim(server: Server, slug: str) -> None:
    assert manifest(server, PLACES)[slug]["bundlelocation"] == LOCATIONS[slug][1]


@pytest.mark.parametrize("slug", LOCATIONS)
def test_pinning_can_be_switched_off(lenient: Server, slug: str) -> None:
    assert manifest(lenient, PLACES)[slug]["bundlelocation"] == LOCATIONS[slug][1]


def test_the_pin_is_the_same_on_every_node(
    server: Server, site: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Content and names decide; times, owners and the order of writing do not."""
    other = Site(tmp_path_factory.mktemp("node"))
    there = site.version_folder("Plain", "1.0.0")
    names = sorted((str(path.relative_to(there)) for path in there.rglob("*.js")), reverse=True)
    other.publish("Plain", "1.0.0", {name: (there / name).read_bytes() for name in names})
    other.give(PLACES, "Plain", "1.0.0")
    with serving(other.environment) as running:
        theirs = manifest(running, PLACES)["Plain"]["bundlelocation"]
    assert theirs == manifest(server, PLACES)["Plain"]["bundlelocation"]
