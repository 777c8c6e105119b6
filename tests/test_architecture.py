"""The minimal application, docs/minimal.py, answers as the gateway does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Server, listening
from tests.support.site import ADA, BEN, CLEO, NOBODY, SECRET, Site, bearer

MINIMAL = Path(__file__).parents[1] / "docs" / "minimal.py"
ENTRY = "/api/v1/plugins/Review/dist/remoteEntry.js"


@pytest.fixture(scope="module")
def minimal(site: Site) -> Iterator[Server]:
    arguments = (str(site.plugins), f"sqlite:///{site.database}", "0")
    with listening({"JWT_SECRET": SECRET}, str(MINIMAL), *arguments) as server:
        yield server


@pytest.mark.parametrize(
    ("user", "path", "status"),
    [
        (ADA, ENTRY, 200),  # at 1.0.0
        (BEN, ENTRY, 200),  # at 1.0.1
        (BEN, "/api/v1/plugins/Eyes/dist/remoteEntry.js", 404),  # not installed
        (CLEO, "/api/v1/plugins/Eyes/dist/remoteEntry.js", 404),  # disabled
        (NOBODY, ENTRY, 404),
        (ADA, "/api/v1/plugins/Review/dist/none.js", 404),
        (ADA, "/api/v1/plugins/Review/dist/../../v1.0.1/dist/remoteEntry.js", 404),
        (None, ENTRY, 401),
    ],
)
def test_the_minimal_application_answers_as_the_gateway_does(
    minimal: Server, server: Server, user: str | None, path: str, status: int
) -> None:
    headers = bearer(user) if user else {}
    ours, theirs = server.get(path, headers), minimal.get(path, headers)
    assert (ours.status, theirs.status) == (status, status)
    if status == 200:
        assert theirs.body == ours.body
