"""`gateway dev --from`: the developed plugin's files come from a bundler's dev server."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.development.folders import METADATA, plugin_folder, write
from tests.support.bundler import Bundler, running_bundler
from tests.support.server import Server, serving
from tests.support.site import ADA, BEN, Site, bearer
from tests.support.urls import MANIFEST, SIGNED_ENVIRONMENT, capability, own, public, signed
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

METADATA_OF_REVIEW = {**METADATA, "slug": "Review"}


@pytest.fixture(scope="module")
def bundler() -> Iterator[Bundler]:
    with running_bundler() as running:
        yield running


@pytest.fixture(scope="module")
def server(
    site: Site, bundler: Bundler, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = write(
        plugin_folder(tmp_path_factory.mktemp("mine")), {"plugin.json": METADATA_OF_REVIEW}
    )
    arguments = (str(folder), "--user", ADA, "--from", bundler.url)
    environment = {**site.environment, **SIGNED_ENVIRONMENT}
    with serving(environment, *arguments, command="dev") as running:
        yield running


def test_the_manifest_names_the_entry_without_a_pin(server: Server) -> None:
    plugin = server.get(MANIFEST, bearer(ADA)).json["Review"]
    assert plugin["bundlelocation"] == "remoteEntry.js"
    assert plugin["version"] == "1.2.0-dev.0"


@pytest.mark.parametrize(
    "path",
    ["remoteEntry.js", "src/Panel.tsx?t=1", "@vite/client", "@id/__x00__virtual:react", "a%20b.js"],
)
@pytest.mark.parametrize("route", ["own", "public", "signed"])
def test_each_route_passes_on_path_and_query_as_they_are(
    server: Server, bundler: Bundler, route: str, path: str
) -> None:
    url = {
        "own": own("Review", path),
        "public": public(f"{ADA}_Review", path),
        "signed": signed(capability(ADA, "Review"), "Review", path),
    }[route]
    answer = server.get(url, bearer(ADA) if route == "own" else {})
    assert answer.status == 200
    assert answer.json["target"] == f"/{path}"
    assert answer.json["fields"]["host"] == bundler.url.removeprefix("http://")


def test_the_server_learns_no_credential_and_its_cookies_go_nowhere(server: Server) -> None:
    headers = {**bearer(ADA), "Cookie": "a=1", "Accept": "text/css", "X-Secret": "1"}
    answer = server.get(own("Review", "a.js"), headers)
    assert set(answer.json["fields"]) == {"host", "accept", "accept-encoding"}
    assert "set-cookie" not in answer.headers
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_conditions_and_other_statuses_are_passed_back(server: Server) -> None:
    url = own("Review", "a.js")
    assert server.get(url, {**bearer(ADA), "If-None-Match": '"same"'}).status == 304
    assert server.get(own("Review", "none"), bearer(ADA)).status == 404
    head = server.request("HEAD", url, bearer(ADA))
    assert (head.status, head.body) == (200, b"")


def test_a_server_that_breaks_off_is_a_502_that_names_it(server: Server, bundler: Bundler) -> None:
    answer = server.get(own("Review", "broken"), bearer(ADA))
    assert (answer.status, answer.code) == (502, "dev_server_failed")
    assert f"The bundler's dev server at {bundler.url}/ broke off" in answer.json["detail"]
    assert answer.headers["cache-control"] == "no-store"


def test_pages_are_told_whose_output_says_why_a_file_failed(
    server: Server, bundler: Bundler
) -> None:
    for url in (own("Review", "a.js"), public(f"{ADA}_Review", "a.js")):
        answer = server.get(f"/-/dev/explain?url={url}")
        assert answer.json["sentence"].startswith(f"It comes from {bundler.url}/: ")


@pytest.mark.parametrize(
    ("path", "user", "status", "start"),
    [
        (own("Review"), BEN, 200, "/* Review 1.0.1 */"),
        (own("Eyes"), ADA, 200, "/* Eyes 2.0.0 */"),
        (own("Review", "status"), ADA, 200, '{"status":'),
        (own("Review", "a.tsx"), BEN, 403, ""),
        (own("Review", "a.js"), None, 401, ""),
        (own("Review", "%2e%2e/a.js"), ADA, 502, ""),
        (public("Review"), None, 409, ""),
    ],
)
def test_everything_else_is_answered_by_the_gateway(
    server: Server, bundler: Bundler, path: str, user: str | None, status: int, start: str
) -> None:
    before = len(bundler.asked)
    answer = server.get(path, bearer(user) if user else {})
    assert answer.status == status
    assert answer.body.decode().startswith(start)
    assert len(bundler.asked) == before


def test_a_page_that_was_loaded_before_keeps_its_pin(
    site: Site, server: Server, bundler: Bundler, tmp_path: Path
) -> None:
    with serving(site.environment) as usual:
        location = usual.get(MANIFEST, bearer(ADA)).json["Review"]["bundlelocation"]
    answer = server.get(own("Review", location), bearer(ADA))
    assert answer.body.startswith(b"/* Review 1.0.0 */")


def test_a_server_that_keeps_its_answer_back_does_not_keep_the_process(
    site: Site, bundler: Bundler, tmp_path: Path
) -> None:
    arguments = (str(plugin_folder(tmp_path / "mine")), "--user", ADA, "--from", bundler.url)
    with serving(site.environment, *arguments, command="dev") as server:
        connection = server.connection()
        with closing(connection):
            connection.request("GET", own("Mine", "hang"), headers=bearer(ADA))
            eventually(lambda: bundler.asked, lambda asked: "GET /hang" in asked)
            assert server.stop() == 0
