"""Which requests share a finished decision, and how much memory all decisions take."""

import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway import Gateway, create_app
from gateway.basis import Basis
from gateway.changes import Change
from gateway.decisions import Asked, DecisionKey, Decisions
from gateway.names import AssetPath
from gateway.planning import plan_answer
from gateway.representation import build_representation
from gateway.settings import load_settings
from tests.support.asgi import ENTRY, Client, status, with_gateway
from tests.support.site import ADA, populated
from tests.support.urls import SIGNED_ENVIRONMENT, own, public, signed

ORIGIN = b"https://app.example"
TOKEN = b"aaaa.bbbb.cccc"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    site = populated(tmp_path_factory.mktemp("site"))
    origins = {"GATEWAY__HTTP__CORS_ORIGINS": ORIGIN.decode()}
    return create_app(load_settings(environ={**site.environment, **SIGNED_ENVIRONMENT, **origins}))


def key_of(
    gateway: Gateway, path: str = own("Review"), root_path: str = "", **fields: bytes
) -> DecisionKey | None:
    headers = {name.replace("_", "-").encode(): value for name, value in fields.items()}
    scope = {"raw_path": (quote(root_path) + path).encode(), "root_path": root_path}
    return gateway.key_of(scope, headers)


@pytest.mark.parametrize("field", [b"Bearer    %s", b"Bearer %s  ", b"bearer %s", b"BEARER \t%s"])
def test_one_token_is_one_credential_however_it_is_spelled(gateway: Gateway, field: bytes) -> None:
    usual = key_of(gateway, authorization=b"Bearer " + TOKEN)
    assert key_of(gateway, authorization=field % TOKEN) == usual


@pytest.mark.parametrize("field", [TOKEN, b"Basic " + TOKEN, b"Bearer", b""])
def test_what_is_no_bearer_token_is_no_credential(gateway: Gateway, field: bytes) -> None:
    assert key_of(gateway, authorization=field) == key_of(gateway)
    assert key_of(gateway) != key_of(gateway, authorization=b"Bearer " + TOKEN)


@pytest.mark.parametrize("root_path", ["", "/mounted", "/a b"])
@pytest.mark.parametrize("path", [public("Review"), signed("x.y", "Review")])
def test_a_credential_means_nothing_on_open_routes(
    gateway: Gateway, path: str, root_path: str
) -> None:
    with_one = key_of(gateway, path, root_path, authorization=b"Bearer " + TOKEN)
    assert with_one == key_of(gateway, path, root_path)


def test_another_origin_is_as_good_as_none(gateway: Gateway) -> None:
    assert key_of(gateway, origin=b"https://other.example") == key_of(gateway)
    assert key_of(gateway, origin=ORIGIN) != key_of(gateway)


@pytest.mark.parametrize("scope", [{}, {"raw_path": None}, {"raw_path": b""}])
def test_a_server_that_gives_no_raw_path_gets_no_repetitions(
    gateway: Gateway, scope: Mapping[str, object]
) -> None:
    """All paths would share one key."""
    assert gateway.key_of({**scope, "path": own("Review")}, {}) is None


def test_all_decisions_together_are_bounded_in_bytes() -> None:
    """20,000 keys of 3,000 bytes are 60 MB."""
    decisions = Decisions()
    tracemalloc.start()
    try:
        for number in range(20_000):
            remember(decisions, b"%03000d" % number)
        assert tracemalloc.get_traced_memory()[1] < 33 << 20
    finally:
        tracemalloc.stop()
    assert len(decisions) > 0


@pytest.mark.parametrize("part", range(5))
def test_a_long_key_is_not_remembered(part: int) -> None:
    decisions = Decisions()
    key = [b"/path", (b"credential", None), b"gzip", b'"etag"', ORIGIN]
    key[part] = (b"x" * 5000, None) if part == 1 else b"x" * 5000
    remember(decisions, *key)
    assert len(decisions) == 0
    remember(decisions, b"/path", *key[1:] if part == 0 else [])
    assert len(decisions) == 1


VARIANT = build_representation(
    AssetPath("a.js"), content=b"x", digest=b"d" * 32, size=1, modified_s=0.0, fingerprint=()
).identity


def remember(decisions: Decisions, *parts: object) -> None:
    key = (*parts, *[None] * (5 - len(parts)))
    basis = Basis()
    basis.limit_to(1000.0)
    asked = Asked(key, decisions.epoch, ())  # type: ignore[arg-type]
    decisions.remember(asked, plan_answer("GET", {}, VARIANT, b"no-cache"), VARIANT, basis)


@pytest.mark.parametrize(("hard", "verified"), [(True, 2), (False, 1)])
def test_a_hard_purge_of_everything_forgets_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard: bool, verified: int
) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        (source,) = gateway.identity._sources
        verify, calls = source._verify, []  # type: ignore[attr-defined]

        async def counted(token: bytes) -> object:
            calls.append(token)
            return await verify(token)

        monkeypatch.setattr(source, "_verify", counted)
        for _ in range(2):
            assert status(await client.request(ENTRY, ADA)) == 200
            gateway.invalidation.apply(Change(hard=hard))
        assert len(calls) == verified

    with_gateway(populated(tmp_path), scenario)
