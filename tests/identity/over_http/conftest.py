"""A site, and a server that takes tokens with its secret."""

from collections.abc import Iterator

import pytest

from tests.identity.over_http.tokens import JWT, KEYS, published
from tests.support.keyserver import KeyServer, key_server
from tests.support.server import Server, serving
from tests.support.site import Site, populated
from tests.support.urls import SIGNED_ENVIRONMENT


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return populated(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="package")
def server(site: Site) -> Iterator[Server]:
    """A secret, as BrainDrive has it, and signed URLs."""
    settings = {f"{JWT}ALGORITHMS": "HS256,HS384,HS512", **SIGNED_ENVIRONMENT}
    with serving({**site.environment, **settings}) as running:
        yield running


@pytest.fixture(scope="package")
def keys() -> Iterator[KeyServer]:
    with key_server() as running:
        running.publish(*(published(algorithm, f"first-{algorithm}") for algorithm in KEYS))
        yield running
