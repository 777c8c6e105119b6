"""`/-/dev/…` over HTTP: who may ask, and what is said."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway.demo.demo_site import USERS
from gateway.endpoints.developer_pages import STREAMS
from tests.support.developing import SLUG, Developing
from tests.support.event_streams import event_stream
from tests.support.server import Answer, Server, serving
from tests.support.site import ADA, Site
from tests.support.urls import own, public
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

DATABASE_ID = f"{USERS[0].id}_{SLUG}"
LOCALHOST = "http://localhost:3000"
SCRIPT, EVENTS = "/-/dev/reload.js", "/-/dev/events"


@pytest.fixture(scope="module")
def developing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Developing]:
    with Developing(tmp_path_factory.mktemp("dev")).running() as developing:
        yield developing


@pytest.fixture(scope="module")
def server(developing: Developing) -> Server:
    return developing.server


def explain(server: Server, url: str, headers: Mapping[str, str] | None = None) -> Answer:
    return server.get(f"/-/dev/explain?url={quote(url, safe='')}", headers)


def test_a_stream_begins_with_the_plugin_and_its_present_build(developing: Developing) -> None:
    with event_stream(developing.server, EVENTS, {}) as events:
        plugin, build = events.until("plugin").data, events.until("build").data
    assert plugin == {
        "slug": SLUG,
        "user": USERS[0].id,
        "database_id": DATABASE_ID,
        "scope": SLUG,
        "dev_server": None,
    }
    assert build["number"] == developing.number
    assert build["version"] == f"2.0.0-dev.{developing.number}"
    assert build["files"] == 3
    assert build["size_bytes"] > 500
    assert 0 <= build["finished_s_ago"] < 600


def test_a_stream_goes_on_with_each_build_and_each_refusal(developing: Developing) -> None:
    with event_stream(developing.server, EVENTS, {}) as events:
        first = events.until("build").data
        developing.build("next")
        after = events.until("build").data
        number = developing.refuse()
        refused = events.until("refused").data
        developing.build("good again")
        assert events.until("build").data["number"] == number + 1
    assert after["number"] == first["number"] + 1
    assert after["run"] == first["run"]
    assert 0 < after["seen_after_s"] < after["finished_s_ago"] + 1
    assert refused["number"] == number
    assert refused["problem"].startswith("plugin.json: ")


def test_a_stream_that_begins_after_a_refused_build_has_both(developing: Developing) -> None:
    developing.build("good")
    number = developing.refuse()
    with event_stream(developing.server, EVENTS, {}) as events:
        assert events.until("build").data["number"] == number - 1
        assert events.until("refused").data["number"] == number
    developing.build("good again")


@pytest.mark.parametrize("path", [EVENTS, f"/-/dev/explain?url={public(DATABASE_ID)}"])
def test_pages_of_any_localhost_origin_may_ask(server: Server, path: str) -> None:
    connection = server.connection()
    connection.request("GET", path, headers={"Origin": LOCALHOST, "Sec-Fetch-Site": "cross-site"})
    with connection.getresponse() as answer:
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] == LOCALHOST
    connection.close()


@pytest.mark.parametrize("path", [EVENTS, f"/-/dev/explain?url={public(DATABASE_ID)}"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},  # a script tag, which sends no origin
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_pages_of_other_sites_are_refused(
    server: Server, path: str, headers: dict[str, str]
) -> None:
    answer = server.get(path, headers)
    assert (answer.status, answer.code) == (403, "origin_not_allowed")
    assert "access-control-allow-origin" not in answer.headers
    assert DATABASE_ID not in answer.body.decode()


def test_a_host_name_that_was_made_to_resolve_to_this_machine_is_refused(
    site: Site, tmp_path: Path
) -> None:
    """On a site that exists: a temporary one has a host page, which refuses it already."""
    folder = Developing(tmp_path).folder
    with serving(site.environment, str(folder), "--user", ADA, command="dev") as server:
        for path in (EVENTS, "/-/dev/explain?url=/"):
            answer = server.get(
                path, {"Host": "evil.example:8000", "Sec-Fetch-Site": "same-origin"}
            )
            assert (answer.status, answer.code) == (403, "origin_not_allowed")


def test_the_script_may_be_loaded_by_pages_of_all_origins_and_tells_nothing(
    server: Server,
) -> None:
    answer = server.get(SCRIPT, {"Sec-Fetch-Site": "cross-site"})
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    for secret in (SLUG, USERS[0].id):
        assert secret not in answer.body.decode()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (public(DATABASE_ID), "The gateway serves this file"),
        (f"{LOCALHOST}{public(DATABASE_ID)}?v=1", "The gateway serves this file"),
        (public(DATABASE_ID, "dist/gone.js"), "404 asset_not_found: "),
        (public(DATABASE_ID, "dist/gone.js"), "The bundler wrote no such file"),
        (own(SLUG), "The gateway serves this file"),  # as the developer
        (own(SLUG, "dist/gone.js"), "The bundler wrote no such file"),
        (own("Nothing"), "404 not_installed: "),
        (own(SLUG, "dist/index.html"), "403 type_not_allowed: "),
        ("/elsewhere/plugins/Some/dist/a.js", "404 not_found: the gateway has no such URL"),
    ],
)
def test_a_file_that_failed_is_explained_in_a_sentence(
    server: Server, url: str, sentence: str
) -> None:
    answer = explain(server, url)
    assert answer.status == 200
    assert sentence in answer.json["sentence"]
    assert answer.json["served"] == sentence.startswith("The gateway serves")


@pytest.mark.parametrize(
    "question", ["", "url=", "url=dist/a.js", "url=/-/live", "url=http://[", "other=1"]
)
def test_a_question_that_is_no_url_of_a_file_is_refused_in_a_sentence(
    server: Server, question: str
) -> None:
    answer = server.get(f"/-/dev/explain?{question}")
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert answer.json["detail"].startswith(("url: ", "other: "))


def test_streams_are_bounded(server: Server) -> None:
    with ExitStack() as stack:

        def hold() -> int:
            """The status of a stream that stays open."""
            connection = server.connection()
            stack.callback(connection.close)
            connection.request("GET", EVENTS)
            return connection.getresponse().status

        for _ in range(STREAMS):
            # Streams of earlier tests are known to be gone after two heartbeats.
            eventually(hold, lambda status: status == 200)
        assert hold() == 429
        answer = server.get(EVENTS)
    assert answer.code == "too_many_streams"


def test_without_gateway_dev_there_are_no_such_urls(site: Site) -> None:
    with serving(site.environment, "--dev") as server:
        for path in (SCRIPT, EVENTS, "/-/dev/explain?url=/"):
            answer = server.get(path)
            assert (answer.status, answer.code) == (404, "not_found")
