"""What log lines show, and what they must not."""

from collections.abc import Iterator

import pytest

from tests.support.server import Server, serving
from tests.support.site import ADA, Site
from tests.support.urls import API, SIGNED_ENVIRONMENT, capability, public, signed
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

TOKEN = capability(ADA, "Review")


@pytest.fixture(scope="module", params=["text", "json"])
def server(site: Site, request: pytest.FixtureRequest) -> Iterator[Server]:
    settings = {
        "GATEWAY__OBSERVABILITY__ACCESS_LOG": "true",
        "GATEWAY__OBSERVABILITY__LOG_FORMAT": request.param,
    }
    with serving({**site.environment, **SIGNED_ENVIRONMENT, **settings}) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "status", "line"),
    [
        (signed(TOKEN, "Review"), 200, signed("***", "Review")),
        (signed(TOKEN, "Review") + "?v=1", 200, signed("***", "Review") + "?v=1"),
        (signed(TOKEN[:-3], "Review"), 401, signed("***", "Review")),
        (
            f"{API}/%73igned/{TOKEN}/plugins/Review/a.js",
            401,
            f"{API}/%73igned/***/plugins/Review/a.js",
        ),
        (f"{API}/signed/{TOKEN}", 404, f"{API}/signed/***"),
        (f"/elsewhere?url={TOKEN}", 404, "/elsewhere?url=***"),
    ],
)
def test_the_token_of_a_signed_url_is_masked(
    server: Server, path: str, status: int, line: str
) -> None:
    answer = server.get(path)
    assert answer.status == status
    logged = f"GET {line} HTTP/1.1"
    eventually(lambda: "".join(server.output), lambda output: logged in output)
    assert TOKEN.partition(".")[2][:-3] not in "".join(server.output)


def test_other_paths_are_logged_as_they_came(server: Server) -> None:
    path = public(f"{ADA}_Review", "dist/remoteEntry.js?v=1.0.0")
    assert server.get(path).status == 200
    eventually(lambda: "".join(server.output), lambda output: f"GET {path} HTTP/1.1" in output)
