"""URLs that carry their credential in the path."""

import hashlib
import hmac
import time

import pytest

from tests.identity.over_http.tokens import VERSIONS, ask_with, assert_is, assert_unknown, base64url
from tests.support.server import Server
from tests.support.site import ADA, BEN, CLEO, token
from tests.support.urls import capability, signed

pytestmark = pytest.mark.slow


def test_a_signed_path_is_a_credential(server: Server) -> None:
    assert_is(server.get(signed(capability(BEN, "Review"), "Review")), BEN)
    assert_is(server.get(signed(capability(BEN, "Review"), f"{BEN}_Review")), BEN)


def test_chunks_beside_a_signed_entry_resolve(server: Server) -> None:
    answer = server.get(signed(capability(BEN, "Review"), "Review", "dist/1.js"))
    assert answer.body == b"/* chunk of Review 1.0.1 */"


def test_an_expired_signed_path_is_refused(server: Server) -> None:
    old = capability(ADA, "Review", ttl_s=60, now=time.time() - 61)
    assert_unknown(server.get(signed(old, "Review")), "invalid_token")


def test_every_character_of_a_signed_token_counts(server: Server) -> None:
    honest = capability(ADA, "Review")
    for position, character in enumerate(honest):
        other = "B" if character == "A" else "A"
        tampered = honest[:position] + other + honest[position + 1 :]
        assert server.get(signed(tampered, "Review")).status in (401, 404), position
    for tampered in (honest + "=", honest + "A", honest[:-1], honest + ".", honest.upper()):
        assert_unknown(server.get(signed(tampered, "Review")), "invalid_token")


def test_a_signed_path_is_for_one_user_one_plugin_and_one_secret(server: Server) -> None:
    ada = capability(ADA, "Review")
    payload, _, mac = ada.partition(".")
    cleo_payload = capability(CLEO, "Eyes").partition(".")[0]
    eyes_payload = capability(ADA, "Eyes").partition(".")[0]
    forged_mac = base64url(hmac.new(b"guess", payload.encode(), hashlib.sha256).digest())
    for token_text, plugin in (
        (ada, "Eyes"),
        (ada, f"{ADA}_Eyes"),
        (ada, f"{BEN}_Review"),
        (f"{cleo_payload}.{mac}", "Eyes"),
        (f"{eyes_payload}.{mac}", "Eyes"),
        (f"{payload}.{forged_mac}", "Review"),
        (token(ADA), "Review"),
    ):
        answer = server.get(signed(token_text, plugin))
        assert answer.status in (401, 404), (token_text, plugin)
        assert VERSIONS[ADA] not in answer.body
        assert VERSIONS[BEN] not in answer.body


def test_a_signed_path_gives_no_more_than_its_user_has(server: Server) -> None:
    answer = server.get(signed(capability(CLEO, "Eyes"), "Eyes"))
    assert (answer.status, answer.code) == (404, "plugin_disabled")
    answer = server.get(signed(capability(CLEO, "Review"), "Review"))
    assert (answer.status, answer.code) == (404, "not_installed")


def test_a_signed_token_is_no_bearer_token(server: Server) -> None:
    assert_unknown(ask_with(server, capability(ADA, "Review")), "invalid_token")
