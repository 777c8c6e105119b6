"""`/-/plugin.schema.json`, by which editors know the keys of plugin.json."""

from pathlib import Path

from gateway.application import Gateway
from gateway.disk.metadata import SCHEMA_FILE
from tests.support.asgi import Client, body, fields, status, with_gateway
from tests.support.site import Site

URL = "/-/plugin.schema.json"


def test_anybody_gets_the_schema_and_caches_keep_it(tmp_path: Path) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        messages = await client.request(URL, user=None)
        answer = fields(messages)
        assert (status(messages), body(messages)) == (200, SCHEMA_FILE.read_bytes())
        assert answer[b"content-type"] == b"application/schema+json"
        assert answer[b"cache-control"] == b"public, max-age=3600"

        for known in (answer[b"etag"], b'"other", W/%b' % answer[b"etag"], b"*"):
            messages = await client.request(URL, user=None, extra=[(b"if-none-match", known)])
            assert (status(messages), body(messages)) == (304, b"")
            assert fields(messages)[b"etag"] == answer[b"etag"]
            assert fields(messages)[b"cache-control"] == answer[b"cache-control"]

        messages = await client.request(URL, user=None, extra=[(b"if-none-match", b'"other"')])
        assert status(messages) == 200

    with_gateway(Site(tmp_path), scenario)


def test_nobody_can_change_it(tmp_path: Path) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        messages = await client.request(URL, method="POST")
        allowed = set(fields(messages)[b"allow"].split(b", "))
        assert (status(messages), allowed) == (405, {b"GET", b"HEAD"})

    with_gateway(Site(tmp_path), scenario)
