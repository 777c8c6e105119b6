"""The demo's own URLs: one publishes the next version, one tells facts past all caches."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.demo_site import USERS, demo_plugins
from gateway.demo.next_version import MAX_VERSIONS, next_patch
from gateway.errors import PublishingError
from gateway.names import Version
from tests.support.server import Answer, Server, serving
from tests.support.site import contents

pytestmark = pytest.mark.slow

ADA, GRACE, _ = USERS
ROOT = Path(__file__).parents[2]
REVIEW = "/api/v1/plugins/NetworkReview"


def publish(demo: Server, headers: dict[str, str] | None = None) -> Answer:
    return demo.request("POST", "/demo/publish", headers)


def facts(demo: Server) -> Any:
    return demo.get("/demo/facts.json").json


def versions(demo: Server) -> list[str]:
    return [each["version"] for each in facts(demo)["published"]["NetworkReview"]]


def change(demo: Server, key: str, method: str, action: str, body: Any) -> Answer:
    users = demo.get("/demo/users.json").json["users"]
    token = next(user["token"] for user in users if user["key"] == key)
    headers = {"Authorization": f"Bearer {token}"}
    return demo.request(method, f"{REVIEW}/{action}", headers, json.dumps(body).encode())


def test_the_next_version_is_the_last_one_with_another_number_and_colour(
    own_demo: Server, folder: Path
) -> None:
    before = contents(demo_plugins(), "shared", "users")
    answer = publish(own_demo)
    assert (answer.status, answer.json["version"]) == (201, "1.0.2")
    assert versions(own_demo) == ["1.0.2", "1.0.1", "1.0.0"]
    shared = folder / "plugins" / "shared" / "NetworkReview"
    last, made = contents(shared / "v1.0.1"), contents(shared / "v1.0.2")
    assert {*made} == {*last}
    assert json.loads(made["plugin.json"])["version"] == "1.0.2"
    module = made["dist/ReviewBoard.js"].decode()
    assert module.startswith("/*! NetworkReview 1.0.2 */")
    assert '"1.0.2"' in module
    assert "1.0.1" not in module
    colour = "--nr-band: (#[0-9a-f]{6})"
    assert re.findall(colour, module) != re.findall(colour, last["dist/ReviewBoard.js"].decode())
    assert contents(demo_plugins(), "shared", "users") == before


def test_nobody_has_a_version_because_it_was_published(own_demo: Server) -> None:
    before = facts(own_demo)["users"]
    publish(own_demo)
    assert facts(own_demo)["users"] == before
    assert change(own_demo, GRACE.key, "PUT", "update", {}).json["data"]["version"] == "1.0.2"
    assert facts(own_demo)["users"][ADA.key] == before[ADA.key]


def test_two_clicks_at_once_publish_two_versions(own_demo: Server) -> None:
    with ThreadPoolExecutor(2) as threads:
        answers = [*threads.map(lambda _: publish(own_demo), range(2))]
    assert {answer.json["version"] for answer in answers} == {"1.0.2", "1.0.3"}


def test_no_number_of_clicks_fills_the_disk(own_demo: Server) -> None:
    answers = [publish(own_demo) for _ in range(MAX_VERSIONS)]
    assert [answer.status for answer in answers] == [201] * (MAX_VERSIONS - 2) + [409] * 2
    assert answers[-1].code == "not_published"
    assert len(versions(own_demo)) == MAX_VERSIONS


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 421),
    ],
)
def test_a_foreign_page_can_publish_nothing(
    demo: Server, headers: dict[str, str], status: int
) -> None:
    assert publish(demo, headers).status == status
    assert versions(demo) == ["1.0.1", "1.0.0"]


def test_facts_are_those_of_the_rows_and_of_the_users_files(own_demo: Server, folder: Path) -> None:
    """They are there at once: no cache stands in between."""
    change(own_demo, GRACE.key, "PUT", "update", {"version": "1.0.0"})
    grace = facts(own_demo)["users"][GRACE.key]
    row = grace["rows"]["NetworkReview"]
    assert (row["version"], row["folder"]) == ("1.0.0", "shared/NetworkReview/v1.0.0")
    written = json.loads((folder / "plugins" / grace["file"]).read_bytes())
    assert grace["entries"] == written
    assert written["NetworkReview"]["installation_metadata"]["previous_versions"] == ["1.0.1"]


def test_the_page_of_gateway_dev_can_change_nothing(tmp_path: Path) -> None:
    plugin = str(demo_plugins() / "shared" / "NetworkReview" / "v1.0.1")
    elsewhere = ("env", "-C", str(tmp_path))  # in a folder without a site
    with serving({"PYTHONPATH": str(ROOT)}, plugin, command="dev", under=elsewhere) as dev:
        assert dev.get("/demo/users.json").json["can_change"] is False
        assert publish(dev).status == 404
        assert dev.get("/demo/facts.json").status == 404
        assert "content-security-policy" not in dev.get("/").headers


def test_the_page_may_load_from_its_own_host_alone(demo: Server) -> None:
    policy = demo.get("/").headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy
    assert "*" not in policy


def test_the_next_patch_of_a_version() -> None:
    assert next_patch(Version("1.0.9")) == "1.0.10"
    for version in ("1.0", "1.0.1-rc.1", "abc"):
        with pytest.raises(PublishingError):
            next_patch(Version(version))
