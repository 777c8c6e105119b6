"""The contract of each delivery mode, whichever there are: those that the package lists."""

import asyncio
import inspect
import pkgutil
import typing
from importlib import import_module
from pathlib import Path
from typing import cast
from urllib.parse import unquote

import pytest
from starlette.types import Message

import gateway.delivery
from gateway.delivery import DeliveryMode, FileRequest
from gateway.delivery.file import FromFile
from gateway.delivery.modes import delivery_modes
from gateway.disk.encoder import Encoder
from gateway.disk.storage import PluginStorage
from gateway.errors import PreconditionFailed
from gateway.http.heads import Headers
from gateway.http.representation import Representation, Variant
from gateway.names import AssetKey, AssetPath, Slug, Version
from gateway.serving.asset_store import AssetStore
from gateway.settings import AssetCacheSettings, DeliverySettings, Settings
from tests.support.site import Site

CACHE_CONTROL = b"private, max-age=7"
SCRIPT = b"/* compresses well */ " * 100
KEY = AssetKey(Slug("Review"), Version("1.0.0"), AssetPath("dist/a.js"))
PREFIX = "/_plugin_files"


def mode_classes() -> dict[str, type[DeliveryMode]]:
    """Every class of the package that is a mode, by the name of its module."""
    methods = [name for name in vars(DeliveryMode) if not name.startswith("_")]
    return {
        module.name: cast(type[DeliveryMode], each)
        for module in pkgutil.iter_modules(gateway.delivery.__path__)
        for each in vars(import_module(f"gateway.delivery.{module.name}")).values()
        if inspect.isclass(each)
        and each.__module__ == f"gateway.delivery.{module.name}"
        and all(hasattr(each, name) for name in methods)
    }


MODES = mode_classes()


@pytest.fixture
def storage(site: Site) -> PluginStorage:
    site.publish("Review", "1.0.0", {"dist/a.js": SCRIPT})
    return PluginStorage(site.plugins)


@pytest.fixture
def encoder(storage: PluginStorage) -> Encoder:
    return Encoder(storage.cache.encoded)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest, storage: PluginStorage, encoder: Encoder) -> DeliveryMode:
    """Each mode, given what its constructor names."""
    available = {"storage": storage, "encoder": encoder, "prefix": PREFIX}
    kind = MODES[request.param]
    wanted = inspect.signature(kind).parameters
    return kind(**{name: available[name] for name in wanted if name in available})


@pytest.fixture(params=["plain", "encoded", "large"])
def representation(
    request: pytest.FixtureRequest, storage: PluginStorage, encoder: Encoder
) -> Representation:
    """In memory, in memory with a variant, and too large for memory."""
    max_bytes = 0 if request.param == "large" else 2**20
    store = AssetStore(storage, AssetCacheSettings(max_bytes=max_bytes), None)
    found = store._read(KEY, None)
    if request.param != "encoded":
        return found
    return found.with_encoded(encoder.make_now(SCRIPT, found.digest), final=True)


class Sent:
    """What a mode sent, and what the client of a proxy would get of it."""

    def __init__(self, storage: PluginStorage, messages: list[Message]) -> None:
        start, *bodies = messages
        self.messages = messages
        self.status: int = start["status"]
        self.fields: dict[bytes, bytes] = dict(start["headers"])
        self.body = b"".join(message["body"] for message in bodies)
        self.is_redirect = b"x-accel-redirect" in self.fields
        if self.is_redirect:
            assert self.body == b""
            named = unquote(self.fields[b"x-accel-redirect"].decode()).removeprefix(PREFIX + "/")
            self.body = (storage.root / named).read_bytes()


def ask(
    storage: PluginStorage,
    mode: DeliveryMode,
    representation: Representation,
    headers: Headers,
    method: str = "GET",
    difference: Variant | None = None,
) -> Sent | None:
    """None: the mode says that it cannot send these bytes."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    async def receive() -> Message:
        raise AssertionError("a file's request has no body to be read")

    request = FileRequest({"method": method}, receive, send, headers, difference)
    if asyncio.run(mode.send(KEY, representation, CACHE_CONTROL, request)):
        return Sent(storage, messages)
    assert messages == []
    return None


@pytest.fixture
def whole(storage: PluginStorage, mode: DeliveryMode, representation: Representation) -> Sent:
    sent = ask(storage, mode, representation, {})
    if sent is None:
        assert representation.identity.content is None, "what is in memory every mode can send"
        pytest.skip("this mode leaves these bytes to another")
    return sent


def test_every_mode_is_found_and_used() -> None:
    """And each value of `delivery.mode` has modes, one of which can send anything."""
    values = typing.get_args(DeliverySettings.model_fields["mode"].annotation)
    storage = PluginStorage(Path("nowhere"))
    used = {
        value: [
            type(mode)
            for mode in delivery_modes(
                Settings(delivery=DeliverySettings(mode=value)), storage, None
            )
        ]
        for value in values
    }
    assert all(used.values())
    assert {kind for kinds in used.values() for kind in kinds} == set(MODES.values())


def test_a_get_is_answered_with_the_whole_file(whole: Sent, representation: Representation) -> None:
    assert (whole.status, whole.body) == (200, SCRIPT)
    assert whole.fields[b"etag"] == str(representation.identity.etag).encode()
    assert whole.fields[b"cache-control"] == CACHE_CONTROL
    assert whole.fields[b"content-type"] == b"text/javascript; charset=utf-8"
    assert whole.fields[b"x-content-type-options"] == b"nosniff"
    sent_bytes = 0 if whole.is_redirect else len(SCRIPT)
    assert whole.fields[b"content-length"] == b"%d" % sent_bytes


def test_the_client_gets_the_variant_that_it_accepts(
    storage: PluginStorage, mode: DeliveryMode, representation: Representation, whole: Sent
) -> None:
    for coding, variant in representation.encoded.items():
        sent = ask(storage, mode, representation, {b"accept-encoding": coding.encode()})
        if sent is None or b"content-encoding" not in sent.fields:
            assert whole.body == SCRIPT  # a mode may know the identity alone
            continue
        assert sent.fields[b"content-encoding"] == coding.encode()
        assert sent.fields[b"etag"] == str(variant.etag).encode()
        assert sent.body == variant.content


def test_a_head_has_the_status_and_fields_of_the_get_and_no_body(
    storage: PluginStorage, mode: DeliveryMode, representation: Representation, whole: Sent
) -> None:
    sent = ask(storage, mode, representation, {}, "HEAD")
    assert sent is not None
    assert (sent.status, sent.fields) == (whole.status, whole.fields)
    assert whole.is_redirect or sent.body == b""


def test_a_client_that_has_the_etag_gets_304_and_no_body(
    storage: PluginStorage, mode: DeliveryMode, representation: Representation, whole: Sent
) -> None:
    sent = ask(storage, mode, representation, {b"if-none-match": whole.fields[b"etag"]})
    assert sent is not None
    assert (sent.status, sent.body) == (304, b"")
    for name in (b"etag", b"cache-control", b"vary"):
        assert sent.fields.get(name) == whole.fields.get(name)


def test_a_precondition_that_fails_is_an_error_before_anything_is_sent(
    storage: PluginStorage, mode: DeliveryMode, representation: Representation, whole: Sent
) -> None:
    assert whole.status == 200
    with pytest.raises(PreconditionFailed):
        ask(storage, mode, representation, {b"if-match": b'"other"'})


def test_a_range_is_that_part_or_is_left_to_the_proxy(
    storage: PluginStorage, mode: DeliveryMode, representation: Representation, whole: Sent
) -> None:
    sent = ask(storage, mode, representation, {b"range": b"bytes=3-9"})
    assert sent is not None
    if whole.is_redirect:
        assert (sent.status, sent.fields) == (whole.status, whole.fields)
    else:
        assert (sent.status, sent.body) == (206, SCRIPT[3:10])


@pytest.mark.parametrize("coding", [b"identity", b"br", b"zstd"])
@pytest.mark.parametrize("knows_etag", [False, True])
def test_an_answer_from_memory_is_the_one_that_is_sent(
    storage: PluginStorage,
    mode: DeliveryMode,
    representation: Representation,
    coding: bytes,
    knows_etag: bool,
) -> None:
    headers: dict[bytes, bytes] = {b"accept-encoding": coding}
    sent = ask(storage, mode, representation, headers)
    if sent is not None and knows_etag:
        headers[b"if-none-match"] = sent.fields[b"etag"]
        sent = ask(storage, mode, representation, headers)
    for _ in range(2):  # the second time the head is made already
        answer = mode.answer_from_memory(KEY, representation, CACHE_CONTROL, headers)
        if answer is None:
            continue
        head, body = answer
        assert sent is not None
        assert (head.status, dict(head.fields)) == (sent.status, sent.fields)
        assert sent.is_redirect or body == sent.body


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("knows_etag", [False, True])
def test_a_difference_is_sent_by_the_gateway_itself_or_not_at_all(
    storage: PluginStorage,
    mode: DeliveryMode,
    representation: Representation,
    method: str,
    knows_etag: bool,
) -> None:
    """A proxy need not know the folder of differences, and nothing is read from the disk."""
    old = bytes(32)
    difference = representation.with_difference(old, b"difference").differences[old]
    assert difference is not None
    headers = {b"if-none-match": str(difference.etag).encode()} if knows_etag else {}
    sent = ask(storage, mode, representation, headers, method, difference)
    answer = mode.answer_from_memory(KEY, representation, CACHE_CONTROL, headers, difference)
    if isinstance(mode, FromFile):
        assert answer is None
        assert sent is not None
        assert (sent.status, b"content-encoding" in sent.fields) == (200, False)
        return
    assert sent is not None
    assert answer is not None
    expected = (304, b"") if knows_etag else (200, b"difference")
    assert (answer[0].status, answer[1]) == expected
    assert (sent.status, sent.fields) == (answer[0].status, dict(answer[0].fields))
    assert sent.body == (b"" if method == "HEAD" else expected[1])
    assert not sent.is_redirect


def test_messages_are_new_for_each_answer(
    storage: PluginStorage, mode: DeliveryMode, representation: Representation, whole: Sent
) -> None:
    """Middleware edits them in place."""
    for message in whole.messages:
        if "headers" in message:
            message["headers"].append((b"x-edited", b"1"))
        message["edited"] = True
    again = ask(storage, mode, representation, {})
    assert again is not None
    assert b"x-edited" not in again.fields
    assert not any("edited" in message for message in again.messages)


def test_a_file_that_has_changed_is_not_sent_as_the_old_one(
    storage: PluginStorage, site: Site, mode: DeliveryMode, representation: Representation
) -> None:
    """It is declined, or the old bytes are sent from memory. A redirect names the new one."""
    site.publish("Review", "1.0.0", {"dist/a.js": SCRIPT[::-1]})
    sent = ask(storage, mode, representation, {})
    assert sent is None or sent.is_redirect or sent.body == SCRIPT
