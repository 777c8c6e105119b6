"""Requests that are broken at random, against a running server.

    FUZZ_SECONDS=600 FUZZ_SEED=7 pytest tests/hot_path/test_fuzzing.py

A failure names the seed and the bytes. By default the seed is fixed and the time short.
"""

import os
import random
from collections.abc import Callable

import pytest

from tests.support.server import Server, server_of
from tests.support.site import ADA, SECRET, bearer
from tests.support.sockets import converse, statuses
from tests.support.urls import MANIFEST, SIGNED_ENVIRONMENT, capability, own, public, signed
from tests.support.waiting import for_a_while

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("FUZZ_SEED", "12"))
SECONDS = float(os.environ.get("FUZZ_SECONDS", "4"))
CREDENTIAL = f"Authorization: {bearer(ADA)['Authorization']}"
# HEAD is not among them: the length that its answer states is of a body that does not come.
EXPECTED = {
    200,
    204,
    206,
    304,
    400,
    401,
    403,
    404,
    405,
    408,
    409,
    410,
    412,
    413,
    416,
    422,
    431,
    501,
}


def request(line: str, *fields: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: x", *fields, "", ""]).encode() + body


@pytest.fixture(scope="module")
def seeds() -> list[bytes]:
    """Requests of all kinds, from which the broken ones are made."""
    patch = f"PATCH /api/v1/plugins/{ADA}_Review"
    return [
        request(f"GET {own('Review')}", CREDENTIAL, "Accept-Encoding: br, gzip;q=0.5"),
        request(f"GET {own('Review')}", CREDENTIAL, "Range: bytes=0-3, 5-", 'If-Range: "x"'),
        request(f"GET {own('Review')}", CREDENTIAL, 'If-None-Match: W/"a", "b"'),
        request(f"GET {public(f'{ADA}_Review')}", "Origin: https://app.example"),
        request(f"GET {signed(capability(ADA, 'Review'), 'Review')}"),
        request(f"GET {MANIFEST}", CREDENTIAL),
        request(f"GET {own('Review', '@1.0.0~0123456789abcdef/dist/remoteEntry.js')}", CREDENTIAL),
        request("GET /-/explain?user=a&plugin=b&path=c", "Authorization: Basic eDp5"),
        request("GET /-/authorize", CREDENTIAL, f"X-Original-URI: {own('Review')}"),
        request(patch, CREDENTIAL, "Content-Length: 17", body=b'{"enabled": true}'),
        request(
            patch,
            CREDENTIAL,
            "Transfer-Encoding: chunked",
            body=b'11\r\n{"enabled": true}\r\n0\r\nA: b\r\n\r\n',
        ),
        request("OPTIONS *"),
        request("GET /-/live", "Connection: Upgrade", "Upgrade: h2c"),
    ]


Mutation = Callable[[random.Random, bytearray, list[bytes]], None]


def flip(chance: random.Random, sent: bytearray, _seeds: list[bytes]) -> None:
    sent[chance.randrange(len(sent))] = chance.randrange(256)


def cut(chance: random.Random, sent: bytearray, _seeds: list[bytes]) -> None:
    start = chance.randrange(len(sent))
    del sent[start : start + chance.randrange(1, 20)]


def repeat(chance: random.Random, sent: bytearray, _seeds: list[bytes]) -> None:
    start = chance.randrange(len(sent))
    part = sent[start : start + chance.randrange(1, 40)]
    sent[start:start] = part * chance.choice([1, 2, 1000])


def splice(chance: random.Random, sent: bytearray, seeds: list[bytes]) -> None:
    other = chance.choice(seeds)
    sent[chance.randrange(len(sent)) :] = other[chance.randrange(len(other)) :]


def insert(chance: random.Random, sent: bytearray, _seeds: list[bytes]) -> None:
    words = (b"\r\n", b"\n", b"\0", b"%2f..", b"%00", b"#", b" ", b"\t", b":", b";", b",", b"\xff",
             b"\r\n\r\n", b"../", b"*", b'"', b"0", b"-1", b"99999999999999999999")  # fmt: skip
    place = chance.randrange(len(sent))
    sent[place:place] = chance.choice(words)


MUTATIONS: list[Mutation] = [flip, cut, repeat, splice, insert]


server = server_of(SIGNED_ENVIRONMENT)


def test_whatever_is_sent_is_answered_or_refused(server: Server, seeds: list[bytes]) -> None:
    chance = random.Random(SEED)
    honest = request(f"GET {own('Review')}", CREDENTIAL, "Connection: close")
    expected = converse(server.port, [honest])
    rounds = 0
    for _ in for_a_while(SECONDS):
        sent = bytearray(chance.choice(seeds) + chance.choice([b"", *seeds]))
        for _ in range(chance.randrange(1, 5)):
            chance.choice(MUTATIONS)(chance, sent, seeds)
            sent = sent or bytearray(b"G")
        received = converse(server.port, [bytes(sent)], shut=True)
        said = f"seed {SEED}, round {rounds}: {bytes(sent)!r} -> {received!r}"
        assert set(statuses(received)) <= EXPECTED, said
        assert SECRET.encode() not in received, said
        rounds += 1
        if rounds % 50 == 0:
            assert converse(server.port, [honest]) == expected, said
    assert rounds > 10
    assert "Traceback" not in "".join(server.output)
