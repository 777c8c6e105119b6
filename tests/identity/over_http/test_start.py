"""Settings of identity that could not be safe stop the start."""

import pytest

from tests.identity.over_http.tokens import JWT, public_pem
from tests.support.commands import refuse_to_serve
from tests.support.server import run_cli, the_line_of
from tests.support.site import SECRET, Site
from tests.support.urls import SIGNED_SECRET

pytestmark = pytest.mark.slow

START_REFUSALS: dict[str, tuple[dict[str, str], str]] = {
    "no secret": ({f"{JWT}SECRET": ""}, "identity.jwt.secret"),
    "a public key for a secret": (
        {f"{JWT}SECRET": public_pem("RS256").decode()},
        "identity.jwt.secret",
    ),
    "no key file": ({f"{JWT}ALGORITHMS": "RS256"}, "identity.jwt.key_file"),
    "a key file that is not there": (
        {f"{JWT}ALGORITHMS": "RS256", f"{JWT}KEY_FILE": "/nonexistent/key.pem"},
        "identity.jwt.key_file",
    ),
    "a key file without a key": (
        {f"{JWT}ALGORITHMS": "ES256", f"{JWT}KEY_FILE": __file__},
        "identity.jwt.key_file",
    ),
    "the algorithm none": ({f"{JWT}ALGORITHMS": "none"}, "algorithms"),
    "no algorithm": ({f"{JWT}ALGORITHMS": ""}, "algorithms"),
    "an empty chain": ({"GATEWAY__IDENTITY__CHAIN": ""}, "chain"),
    "an unknown way": ({"GATEWAY__IDENTITY__CHAIN": "jwt,cookie"}, "chain"),
    "a peer that is no address": (
        {"GATEWAY__IDENTITY__PROXY__TRUSTED": "proxy.example"},
        "trusted",
    ),
    "dev on all addresses": (
        {"GATEWAY__IDENTITY__CHAIN": "dev", "GATEWAY__SERVER__HOST": "0.0.0.0"},
        "loopback",
    ),
    "dev on all addresses, behind others": (
        {"GATEWAY__IDENTITY__CHAIN": "jwt,dev", "GATEWAY__SERVER__HOST": "::"},
        "loopback",
    ),
    "dev on a public address": (
        {"GATEWAY__IDENTITY__CHAIN": "dev", "GATEWAY__SERVER__HOST": "192.0.2.1"},
        "loopback",
    ),
}


@pytest.mark.parametrize("name", START_REFUSALS)
def test_a_setting_that_could_not_be_safe_stops_the_start(site: Site, name: str) -> None:
    settings, named = START_REFUSALS[name]
    line = refuse_to_serve({**site.environment, **settings}, "serve", "--port", "0")
    assert named in line
    assert SECRET not in line
    assert SIGNED_SECRET not in line


def test_without_a_secret_the_process_ends_with_one_line(site: Site) -> None:
    settings = {**site.environment, f"{JWT}SECRET": ""}
    assert "identity.jwt.secret" in the_line_of(run_cli(settings, "serve", "--port", "0"))
