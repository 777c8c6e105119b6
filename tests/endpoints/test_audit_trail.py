"""`/-/audit`: the newest records first, chosen and bounded."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.disk.audit_log import Author, Record
from gateway.disk.storage import PluginStorage
from tests.support.server import Server, serving
from tests.support.site import ADA, BEN, Site, populated

pytestmark = pytest.mark.slow

TOKEN = "the-token-of-the-administrators"
HOLDER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = populated(tmp_path_factory.mktemp("site"))
    audit = PluginStorage(site.plugins).audit
    for number in range(120):
        user, plugin = (ADA, "Review") if number % 2 else (BEN, "Eyes")
        result = "unknown_plugin" if number % 3 == 0 else "done"
        author = Author("operator", "command")
        audit.append(Record(author, "update", user, plugin, None, str(number), result))
    return site


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[Server]:
    with serving({**site.environment, "GATEWAY__ADMIN__TOKEN": TOKEN}) as running:
        yield running


def shown(server: Server, query: str = "") -> Any:
    answer = server.get(f"/-/audit?{query}", HOLDER)
    assert answer.status == 200, answer.body
    return answer.json


def numbers(server: Server, query: str) -> list[int]:
    return [int(record["to"]) for record in shown(server, query)["records"]]


def test_the_newest_records_come_first_with_all_their_fields(server: Server) -> None:
    answer = shown(server)
    assert [int(record["to"]) for record in answer["records"]] == list(range(119, 19, -1))
    assert answer["has_more"] is True
    newest = answer["records"][0]
    moment = datetime.fromisoformat(newest.pop("time"))
    assert datetime.now(UTC) - moment < timedelta(minutes=10)
    assert newest == {
        "by": "operator", "via": "command", "action": "update", "user": ADA, "plugin": "Review",
        "from": None, "to": "119", "result": "done",
    }  # fmt: skip


def test_records_are_chosen_and_limited(server: Server) -> None:
    assert numbers(server, f"user={ADA}&limit=3") == [119, 117, 115]
    assert numbers(server, "plugin=Eyes&limit=2") == [118, 116]
    assert numbers(server, f"plugin=Eyes&user={ADA}") == []
    assert numbers(server, "since=1h&limit=1000") == list(range(119, -1, -1))
    assert numbers(server, "since=2999-01-01") == []
    assert shown(server, "limit=120")["has_more"] is False
    assert numbers(server, "user=&plugin=&since=&limit=1") == [119]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("user=../x", "user: not a user id"),
        ("plugin=a/b", "plugin: not a plugin slug"),
        ("since=yesterday", "since: 'yesterday': expected a date, a time in ISO 8601, or a"),
        ("limit=0", "limit: expected a number from 1 to 1,000"),
        ("limit=1001", "limit: expected a number"),
        ("limit=%C2%B2", "limit: expected a number"),
        ("limit=" + "9" * 5000, "limit: expected a number"),
        ("users=a", "users: expected only user, plugin, since, limit"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_named(server: Server, query: str, said: str) -> None:
    answer = server.get(f"/-/audit?{query}", HOLDER)
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert said in answer.json["detail"]


def test_since_stops_at_the_time_and_not_at_a_line_out_of_order(server: Server, site: Site) -> None:
    """Processes write at once: a line may stand after one that is a moment later."""
    now = datetime.now(UTC)
    ages = (3600.0, 31.0, 29.0, 30.5, 1.0)
    lines = [
        json.dumps({"time": f"{now - timedelta(seconds=age):%Y-%m-%dT%H:%M:%S.%fZ}",
                    "user": "zoe", "to": str(index)})
        for index, age in enumerate(ages)
    ]  # fmt: skip
    with (site.plugins / "audit" / "changes.jsonl").open("a") as file:
        file.write("\n".join([*lines, "no record"]) + "\n")
    since = (now - timedelta(seconds=30)).isoformat().replace("+", "%2B")
    assert sorted(numbers(server, f"user=zoe&since={since}")) == [2, 4]


def test_a_text_that_is_no_unicode_is_shown(server: Server, site: Site) -> None:
    author = Author("half \ud800", "command")
    PluginStorage(site.plugins).audit.append(Record(author, "gc", "yan", "Review", None, "1"))
    (record,) = shown(server, "user=yan")["records"]
    assert record["by"] == "half ?"
