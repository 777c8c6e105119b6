"""`@{pin}/?integrity`: the hashes of all files of a pin, on each route of files."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.endpoints.assets.asking import ask, every_way
from tests.support.server import Server, serving
from tests.support.site import ADA, BEN, CLEO, Site, bearer, populated
from tests.support.urls import (
    PRIVATE_WAYS,
    SIGNED_ENVIRONMENT,
    capability,
    integrity_of,
    own,
    pin_of,
    public,
    signed,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow
ORIGIN = "https://app.example"
YEAR = "max-age=31536000, immutable"
NO_PIN = "@1.0.0~0123456789abcdef"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Of Ada's plugins one is published by the gateway, the other by another program."""
    site = populated(tmp_path_factory.mktemp("site"))
    site.publish("Review", "1.0.0", {"notes.txt": "not served", ".env.json": "never served"})
    site.record("Review", "1.0.0")
    return site


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[Server]:
    settings = {**SIGNED_ENVIRONMENT, "GATEWAY__HTTP__CORS_ORIGINS": ORIGIN}
    with serving({**site.environment, **settings}) as running:
        yield running


@pytest.fixture(scope="module")
def pin(server: Server) -> str:
    return pin_of(server, ADA, "Review")


@every_way
def test_each_file_that_is_served_has_the_hash_of_its_bytes(
    server: Server, pin: str, way: str
) -> None:
    answer = ask(server, way, f"{pin}/?integrity")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    files = answer.json["files"]
    assert set(files) == {"package.json", "dist/remoteEntry.js", "dist/1.js", "assets/icon.svg"}
    for path, integrity in files.items():
        assert integrity_of(ask(server, way, f"{pin}/{path}").body) == integrity


@every_way
def test_it_is_kept_as_the_files_of_the_pin_are(server: Server, pin: str, way: str) -> None:
    answer = ask(server, way, f"{pin}/?integrity", Origin=ORIGIN)
    audience = "private" if way in PRIVATE_WAYS else "public"
    assert answer.headers["cache-control"] == f"{audience}, {YEAR}"
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    again = ask(server, way, f"{pin}/?integrity", If_None_Match=answer.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    head = ask(server, way, f"{pin}/?integrity", method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == answer.headers["content-length"]


@every_way
def test_a_pin_of_other_bytes_is_retired(server: Server, way: str) -> None:
    answer = ask(server, way, f"{NO_PIN}/?integrity")
    assert (answer.status, answer.code) == (410, "version_retired")
    assert answer.headers["cache-control"] == "no-store"


def test_who_may_not_have_the_files_learns_nothing(server: Server, pin: str) -> None:
    asked = [
        (401, "not_authenticated", own("Review", f"{pin}/?integrity"), {}),
        (404, "not_installed", own("Review", f"{pin}/?integrity"), bearer(CLEO)),
        (401, "invalid_token", signed("x", "Review", f"{pin}/?integrity"), {}),
        (401, "invalid_token", signed(capability(ADA, "Eyes"), "Review", f"{pin}/?integrity"), {}),
        (401, "invalid_token", signed(capability(ADA, "Eyes"), "None", f"{pin}/?integrity"), {}),
    ]
    for status, code, url, headers in asked:
        answer = server.get(url, headers)
        assert (answer.status, answer.code) == (status, code), url


def test_who_has_another_version_may_have_the_hashes_of_the_pin(server: Server, pin: str) -> None:
    """As the files: Ben's open page still shows what Ben had before."""
    assert server.get(own("Review", f"{pin}/?integrity"), bearer(BEN)).status == 200


@every_way
def test_what_nobody_published_has_none(server: Server, way: str) -> None:
    answer = ask(server, way, f"{pin_of(server, ADA, 'Eyes')}/?integrity", slug="Eyes")
    assert (answer.status, answer.code) == (404, "asset_not_found")
    assert ("not known" in answer.json["detail"]) is (way != "public by id")


@every_way
@pytest.mark.parametrize("query", ["", "?", "?integrity=x", "?integrity&x", "?other"])
def test_without_the_query_the_url_is_that_of_a_folder(
    server: Server, pin: str, way: str, query: str
) -> None:
    answer = ask(server, way, f"{pin}/{query}")
    assert (answer.status, answer.code) == (403, "type_not_allowed")


def test_generated_clients_may_write_the_query_with_a_sign(server: Server, pin: str) -> None:
    assert server.get(public("Review", f"{pin}/?integrity=")).status == 200


@every_way
@pytest.mark.parametrize("pin", ["@", "@1.0.0", "@../..~0123456789abcdef", "%40"])
def test_what_is_no_pin_has_none(server: Server, way: str, pin: str) -> None:
    answer = ask(server, way, f"{pin}/?integrity")
    assert (answer.status, answer.code) == (404, "asset_not_found")


def test_methods_are_those_of_files(server: Server, pin: str) -> None:
    url = public("Review", f"{pin}/?integrity")
    answer = server.request("POST", url)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert server.request("OPTIONS", url).status == 204


def test_in_development_it_is_not_kept(site: Site) -> None:
    with serving({**site.environment, "GATEWAY__DEV__ENABLED": "true"}) as running:
        answer = running.get(public("Review", f"{pin_of(running, ADA, 'Review')}/?integrity"))
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-cache")


def test_it_ends_with_the_bytes_of_the_pin(tmp_path: Path) -> None:
    site = populated(tmp_path)
    site.record("Review", "1.0.0")
    often = {"GATEWAY__CACHE__ASSETS__REVALIDATE": "0.05"}
    with serving({**site.environment, **often}) as server:
        url = public("Review", f"{pin_of(server, ADA, 'Review')}/?integrity")
        assert server.get(url).status == 200
        shutil.rmtree(site.version_folder("Review", "1.0.0"))
        gone = eventually(lambda: server.get(url), lambda answer: answer.status != 200)
    assert (gone.status, gone.code) == (410, "version_retired")
