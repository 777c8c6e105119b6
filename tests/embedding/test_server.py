"""An application of FastAPI with its own login, behind a real server."""

from collections.abc import Iterator

import pytest

from tests.support.mounted import URL_PREFIX, serving_mounted
from tests.support.scrapes import scrape
from tests.support.server import Server
from tests.support.settings import QUIET
from tests.support.site import ADA, BEN, NOBODY, Site
from tests.support.urls import ENTRY_URL
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[Server]:
    environment = {name: text for name, text in site.environment.items() if "JWT" not in name}
    with serving_mounted("with_sessions", {**environment, **QUIET}) as server:
        yield server


def session(server: Server, user: str) -> dict[str, str]:
    """The cookie of a user who logs in."""
    cookie = server.get(f"/login/{user}").headers["set-cookie"]
    return {"Cookie": cookie.partition(";")[0]}


def version_of(server: Server, headers: dict[str, str]) -> str:
    answer = server.get(URL_PREFIX + ENTRY_URL, headers)
    return answer.body.split()[2].decode() if answer.status == 200 else answer.code


def hot_answers(server: Server) -> float:
    shown = scrape(lambda url: server.get(URL_PREFIX + url))
    return shown.total("gateway_requests_total", route="own", path="hot")


def test_users_get_their_own_version_from_memory(server: Server) -> None:
    ada, ben, nobody = (session(server, user) for user in (ADA, BEN, NOBODY))
    before = hot_answers(server)
    for _ in range(3):
        assert version_of(server, ada) == "1.0.0"
        assert version_of(server, ben) == "1.0.1"
        assert version_of(server, nobody) == "not_installed"
        assert version_of(server, {}) == "not_authenticated"
    assert hot_answers(server) - before == 4


def test_a_bug_of_the_application_is_one_line_with_its_traceback(server: Server) -> None:
    before = len(server.output)
    answer = server.get(URL_PREFIX + ENTRY_URL, session(server, "broken"))
    assert (answer.status, answer.code) == (500, "internal_error")
    version_of(server, {})
    # uvicorn logs each answer: what comes before the second one is all of the first.
    text = eventually(lambda: "".join(server.output[before:]), lambda text: '" 401' in text)
    assert text.count("the application cannot say who sends request") == 1
    assert text.count("Traceback") == 1
    assert "RuntimeError: a bug of the application" in text
