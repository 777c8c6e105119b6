"""Long fields and many spellings: what a client sends does not stay in a worker's memory.

Each attack runs against a server of its own, whose worker is measured from outside.
"""

import random
import re
from collections.abc import Callable

import pytest

from tests.support.server import Server, serving
from tests.support.site import ADA, Site, token
from tests.support.urls import SIGNED_ENVIRONMENT, capability, own, public, signed
from tests.support.workers import memory_bytes

pytestmark = pytest.mark.slow

# Below the 64 KiB that a head may have.
LONG = 50_000
REQUESTS = 1_800
MOST_BYTES = 64 << 20
ENVIRONMENT = {**SIGNED_ENVIRONMENT, "GATEWAY__HTTP__CORS_ORIGINS": "https://app.example"}
TOKEN = token(ADA)
SIGNED = signed(capability(ADA, "Review"), "Review")
PUBLIC = public(f"{ADA}_Review")

Request = tuple[str, dict[str, str]]


def text(number: int, length: int = LONG) -> str:
    """Other text for each number."""
    return random.Random(number).randbytes(length // 2).hex()


def codings(number: int) -> str:
    """Many members, each of which is read."""
    return ",".join(re.findall("....", text(number, LONG * 4 // 5)))


ATTACKS: dict[str, Callable[[int], Request]] = {
    "Authorization, public": lambda n: (PUBLIC, {"Authorization": text(n)}),
    "Authorization, signed": lambda n: (SIGNED, {"Authorization": text(n)}),
    "spaces before a token": lambda n: (
        own("Review"),
        {"Authorization": f"Bearer {' ' * (LONG - n)}{TOKEN}"},
    ),
    "long tokens": lambda n: (
        own("Review"),
        {"Authorization": f"Bearer {token(ADA, jti=text(n, LONG * 2 // 3))}"},
    ),
    "Accept-Encoding": lambda n: (PUBLIC, {"Accept-Encoding": text(n)}),
    "Accept-Encoding of many members": lambda n: (PUBLIC, {"Accept-Encoding": codings(n)}),
    "If-None-Match": lambda n: (PUBLIC, {"If-None-Match": f'"{text(n)}"'}),
    "Origin": lambda n: (PUBLIC, {"Origin": text(n)}),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_memory_stays_where_it_was(site: Site, attack: Callable[[int], Request]) -> None:
    with serving({**site.environment, **ENVIRONMENT}) as server:
        send(server, attack, range(100))  # what is loaded at the first use of it
        before = memory_bytes(server)
        send(server, attack, range(100, 100 + REQUESTS))
        assert memory_bytes(server) - before < MOST_BYTES


def send(server: Server, attack: Callable[[int], Request], numbers: range) -> None:
    connection = server.connection()
    try:
        for number in numbers:
            path, headers = attack(number)
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            response.read()
            assert response.status in (200, 401)
    finally:
        connection.close()
