"""`/-/cache`, `/-/cache/purge`, `/-/explain`, `/-/console` and `gateway cache`."""

import base64
import json
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support.browser import chromium
from tests.support.commands import line_of, run
from tests.support.mounted import URL_PREFIX, serving_mounted
from tests.support.server import Server, run_cli, serving
from tests.support.settings import QUIET
from tests.support.site import ADA, BEN, CLEO, SECRET, Site, bearer, populated, token
from tests.support.urls import MANIFEST, own, public, signed
from tests.support.waiting import eventually
from tests.support.workers import each_worker

pytestmark = pytest.mark.slow

TOKEN = "the-token-of-the-administrators"
HOLDER = {"Authorization": f"Bearer {TOKEN}"}
ENTRY = "dist/remoteEntry.js"
PAGES = (
    "/-/cache",
    "/-/audit",
    "/-/users",
    f"/-/explain?user={ADA}&plugin=Review&path={ENTRY}",
    f"/-/explain?url={own('Review', ENTRY)}",
    "/-/console",
)


def basic(name: str, password: str) -> dict[str, str]:
    encoded = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {encoded}"}


def environment(site: Site, **more: str) -> dict[str, str]:
    return {
        **site.environment,
        "GATEWAY__ADMIN__TOKEN": TOKEN,
        "GATEWAY__IDENTITY__ADMIN_USERS": CLEO,
        "GATEWAY__IDENTITY__SIGNED__SECRET": SECRET,
        **more,
    }


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[Server]:
    with serving(environment(site)) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


# Who may


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    "headers",
    [HOLDER, {"authorization": f"bEaReR   {TOKEN} "}, basic("any", TOKEN), bearer(CLEO)],
    ids=["bearer", "any case", "password", "user"],
)
def test_administrators_may(server: Server, page: str, headers: Mapping[str, str]) -> None:
    assert server.get(page, headers).status == 200


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "not_authenticated"),
        ({"Authorization": "Bearer "}, 401, "not_authenticated"),
        ({"Authorization": f"Bearer {TOKEN}x"}, 401, "invalid_token"),
        ({"Authorization": f"Digest {TOKEN}"}, 401, "not_authenticated"),
        ({"Authorization": "Basic !!"}, 401, "invalid_token"),
        (basic(TOKEN, ""), 401, "not_authenticated"),
        (bearer(ADA), 403, "admin_required"),
    ],
)
def test_others_may_not(
    server: Server, page: str, headers: Mapping[str, str], status: int, code: str
) -> None:
    answer = server.get(page, headers)
    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["cache-control"] == "no-store"


def test_the_token_of_administrators_is_nobody_s_credential_for_files(server: Server) -> None:
    assert server.get(own("Review", ENTRY), HOLDER).status == 401


def test_an_empty_token_is_held_by_nobody(site: Site) -> None:
    with serving(environment(site, GATEWAY__ADMIN__TOKEN="")) as server:
        for headers in ({"Authorization": "Bearer "}, basic("", ""), {}):
            answer = server.get("/-/cache", headers)
            assert answer.status == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")


# What it shows


def test_the_state_counts_what_was_asked(server: Server) -> None:
    before = server.get("/-/cache", HOLDER).json["caches"]["manifest"]["misses"]
    assert server.get(MANIFEST, bearer(BEN)).status == 200
    state = server.get("/-/cache", HOLDER).json
    assert state["caches"]["manifest"]["misses"] == before + 1
    review = [version for version in state["versions"] if version["version"] == "1.0.1"]
    assert [(version["slug"], version["files"]) for version in review] == [("Review", 4)]


def test_an_explanation_has_every_step_and_its_age(server: Server) -> None:
    answer = server.get(f"/-/explain?user={ADA}&plugin=Review&path={ENTRY}", HOLDER).json
    assert answer["served"] is True
    assert [step["name"] for step in answer["steps"]][-2:] == ["path", "file"]
    assert {"installations", "versions", "assets"} == set(answer["caches"])
    assert all(age["age_s"] >= 0 for age in answer["caches"].values())


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        (f"user={ADA}&plugin=Nothing&path={ENTRY}", 200, "404 not_installed"),
        (f"user={ADA}&plugin=Review&path=../../etc/passwd", 200, "404 asset_not_found"),
        (f"user={ADA}", 200, "asset_not_found"),
        ("user=../x&plugin=Review&path=a.js", 422, "not a user id"),
        ("", 422, "expected url, or user with plugin and path"),
        ("usr=a", 422, "usr: expected only url, user, plugin, path"),
        ("url=no-path", 422, "url: expected a URL"),
        ("url=/-/cache", 422, "url: expected the URL of a plugin's file"),
        (f"url=/&plugin=Review&user={ADA}", 422, "url: expected alone"),
        ("url=/&user=../x", 422, "user: not a user id"),
        (f"url={own('Review', ENTRY)}&token=x", 422, "token: expected in the JSON body of a POST"),
        (f"url={signed('x', 'Review')}", 422, "url: a signed URL is expected in the JSON body"),
        ("url=/elsewhere", 200, "404 not_found"),
    ],
)
def test_an_explanation_of_what_is_not_served_says_why(
    server: Server, query: str, status: int, said: str
) -> None:
    answer = server.get(f"/-/explain?{query}", HOLDER)
    assert answer.status == status
    assert said in answer.body.decode()


def explained(server: Server, **question: str) -> Any:
    answer = server.request("POST", "/-/explain", HOLDER, json.dumps(question).encode())
    assert answer.status == 200, answer.body
    return answer.json


def test_a_url_is_explained_for_anybody_a_user_or_the_holder_of_a_token(server: Server) -> None:
    url = own("Review", ENTRY)
    assert server.get(f"/-/explain?url={url}&user={BEN}", HOLDER).json["answer"].endswith("1.0.1")
    assert explained(server, url=url)["answer"].startswith("401 not_authenticated")
    assert explained(server, url=url, user=ADA)["answer"] == f"200: {ENTRY} of Review 1.0.0"
    assert explained(server, url=url, token=token(BEN))["answer"].endswith("Review 1.0.1")
    assert explained(server, user=BEN, plugin="Review", path=ENTRY)["served"] is True
    assert explained(server, url=signed("x", "Review"))["answer"].startswith("401 invalid_token")
    refused = explained(server, url=own("Nothing", ENTRY), user=ADA)
    assert refused["advice"].startswith(
        f"Run: gateway install Nothing --user {ADA}; an application"
    )


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"url": own("Review"), "user": ADA, "token": "x"}, "url: expected alone"),
        ({"user": ADA, "plugin": "Review", "token": "x"}, "expected url"),
        ({"url": 1}, "url"),
    ],
)
def test_a_question_that_cannot_be_explained_is_refused(
    server: Server, question: Mapping[str, object], said: str
) -> None:
    answer = server.request("POST", "/-/explain", HOLDER, json.dumps(question).encode())
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert said in answer.json["detail"]


def test_only_administrators_ask_by_post_and_no_foreign_page(server: Server) -> None:
    body = json.dumps({"url": own("Review", ENTRY), "user": ADA}).encode()
    assert server.request("POST", "/-/explain", bearer(ADA), body).code == "admin_required"
    foreign = {**HOLDER, "Origin": "https://elsewhere.example"}
    assert server.request("POST", "/-/explain", foreign, body).code == "origin_not_allowed"
    refused = server.request("PUT", "/-/explain", HOLDER, body)
    assert refused.status == 405
    assert set(refused.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


# Mounted in another application


@pytest.mark.parametrize("factory", ["with_running", "without_running"])
def test_all_of_it_works_below_the_prefix_of_an_application(site: Site, factory: str) -> None:
    with serving_mounted(factory, environment(site)) as host:

        def ask(path: str) -> Any:
            answer = host.get(URL_PREFIX + path, HOLDER)
            assert answer.status == 200, answer.body
            return answer.json

        users = ask("/-/users?search=review")["users"]
        assert [user["id"] for user in users] == [ADA, BEN]
        assert ask("/-/audit")["records"] == []
        assert "installations" in ask("/-/cache")["caches"]
        whole = f"https://app.example.org{URL_PREFIX}{own('Review', ENTRY)}?a=b"
        for url in (whole, own("Review", ENTRY)):
            assert ask(f"/-/explain?user={ADA}&url={url}")["served"] is True
        secret = host.get(f"{URL_PREFIX}/-/explain?url={URL_PREFIX}{signed('x', 'Review')}", HOLDER)
        assert "a signed URL is expected" in secret.json["detail"]
        assert host.stop() in (0, -signal.SIGTERM)
    assert "Traceback" not in "".join(host.output)


# Purging


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[]", "body"),
        (b'{"users": "a"}', "users"),
        (b'{"user": "../x"}', "not a user id"),
        (b'{"version": "1.0.0"}', "plugin"),
        (b'{"hard": 1}', "hard"),
    ],
)
def test_a_purge_that_names_nothing_usable_is_refused(
    server: Server, body: bytes, said: str
) -> None:
    answer = server.request("POST", "/-/cache/purge", HOLDER, body)
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert said in answer.json["detail"]


def test_a_page_of_another_site_cannot_purge(server: Server) -> None:
    headers = {**basic("any", TOKEN), "Origin": "https://elsewhere.example"}
    assert server.request("POST", "/-/cache/purge", headers, b"{}").code == "origin_not_allowed"


def test_a_purge_at_one_worker_is_obeyed_by_all(tmp_path: Path) -> None:
    site = populated(tmp_path)
    path = own("Review", ENTRY)
    with (
        serving(environment(site, **QUIET), "--workers", "2") as server,
        each_worker(server, 2) as workers,
    ):
        for worker in workers:
            assert worker.get(path, bearer(ADA)).status == 200
        site.execute("UPDATE plugin SET enabled = 0 WHERE user_id = ?", ADA)
        for worker in workers:
            assert worker.get(path, bearer(ADA)).status == 200
        body = json.dumps({"user": ADA, "hard": True}).encode()
        assert server.request("POST", "/-/cache/purge", HOLDER, body).status == 200

        def statuses() -> set[int]:
            return {worker.get(path, bearer(ADA)).status for worker in workers}

        eventually(statuses, lambda found: found == {404})


# The command


def test_the_command_shows_a_running_worker(server: Server, site: Site) -> None:
    where = environment(site)
    server.get(MANIFEST, bearer(BEN))
    shown = run(where, "cache", "show")
    assert shown.exit_code == 0
    assert "installations  " in shown.output
    assert "Review" in shown.output
    state = json.loads(run(where, "cache", "show", "--json").output)
    assert state["caches"]
    assert all(version["differences"] == 0 for version in state["versions"])


@pytest.mark.parametrize(
    ("changed", "arguments", "said"),
    [
        ({"GATEWAY__ADMIN__TOKEN": ""}, ("show",), "admin.token"),
        ({"GATEWAY__STORAGE__ROOT": "elsewhere"}, ("show",), "no gateway of this site answers"),
    ],
)
def test_the_command_says_in_one_line_what_is_missing(
    site: Site, changed: dict[str, str], arguments: tuple[str, ...], said: str
) -> None:
    assert said in line_of(run(environment(site, **changed), "cache", *arguments))


def test_the_command_purges_all_workers(server: Server, site: Site) -> None:
    server.get(MANIFEST, bearer(ADA))
    heard = server.get("/-/cache", HOLDER).json["changes_heard"]
    result = run_cli(environment(site), "cache", "purge", "--plugin", "Review", "--hard")
    assert (result.returncode, result.stdout) == (0, "told all workers\n")
    eventually(
        lambda: server.get("/-/cache", HOLDER).json["changes_heard"], lambda now: now > heard
    )


# An image of a plugin, in the console's origin

_DRAWING = """
<svg xmlns='http://www.w3.org/2000/svg' width='10' height='10'>
<style>rect { fill: rgb(255, 0, 0) }</style><rect width='10' height='10'/>
<script>document.documentElement.setAttribute('data-ran', 'yes')</script></svg>"""
_COLOUR_OF_IMAGE = """
async (url) => {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = document.createElement("canvas").getContext("2d");
    canvas.drawImage(image, 0, 0);
    return [...canvas.getImageData(5, 5, 1, 1).data];
}"""


def test_an_svg_runs_no_script_and_is_still_a_picture(
    server: Server, site: Site, browser: Browser
) -> None:
    site.publish("Drawn", "1.0.0", {"assets/a.svg": _DRAWING})
    url = public(site.give(ADA, "Drawn", "1.0.0"), "assets/a.svg")
    eventually(lambda: server.get(url).status, lambda status: status == 200)
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{server.port}{url}")
    assert page.evaluate("document.documentElement.getAttribute('data-ran')") is None
    page.goto(f"http://127.0.0.1:{server.port}/-/live")
    assert page.evaluate(_COLOUR_OF_IMAGE, url) == [255, 0, 0, 255]
    page.close()
