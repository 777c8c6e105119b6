"""A server whose users change what they have, and whose administrators hold a token."""

import pytest

from tests.support.server import server_of
from tests.support.site import ADA, CLEO, Site, populated, with_refusals
from tests.support.urls import SIGNED_ENVIRONMENT

TOKEN = "the-token-of-the-administrators"

server = server_of(
    {
        "GATEWAY__ADMIN__TOKEN": TOKEN,
        "GATEWAY__ACCESS__CHANGES": "users",
        **SIGNED_ENVIRONMENT,
    }
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = with_refusals(populated(tmp_path_factory.mktemp("site")), CLEO)
    site.record("Review", "1.0.0")
    site.add_module(f"{ADA}_Review", "Board", ADA, config_fields='{"colour": "red"}')
    return site
