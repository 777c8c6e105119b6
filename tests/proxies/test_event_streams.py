"""Streams of events through real nginx and Caddy, as `gateway proxy-config` prints them."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import require_program
from tests.support.application import serving_application
from tests.support.event_streams import event_stream
from tests.support.proxies import proxy_before
from tests.support.server import STOP_DEADLINE_S, Server, serving
from tests.support.site import Site

pytestmark = pytest.mark.slow

TOKEN = "the-token-of-the-administrators"
HOLDER = {"Authorization": f"Bearer {TOKEN}"}
EVENTS = "/-/console/events"


@pytest.fixture(params=["nginx", "caddy"])
def proxy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["alone", "one origin"])
def both(request: pytest.FixtureRequest, site: Site, proxy: str) -> Iterator[tuple[Server, Server]]:
    """The proxy, and the gateway behind it."""
    environment = {**site.environment, "GATEWAY__ADMIN__TOKEN": TOKEN}
    with ExitStack() as stack:
        gateway = stack.enter_context(serving(environment))
        arguments: tuple[str, ...] = ()
        if request.param == "one origin":
            application = stack.enter_context(serving_application())
            arguments = ("--application", f"http://127.0.0.1:{application.port}")
        program, folder = require_program(proxy), site.folder / f"{proxy}{len(arguments)}"
        front = proxy_before(gateway, environment, program, proxy, "proxy", folder, *arguments)
        yield stack.enter_context(front), gateway


def test_events_pass_the_proxy_at_once_and_so_does_the_end(both: tuple[Server, Server]) -> None:
    front, gateway = both
    with event_stream(front, EVENTS, HOLDER) as stream:
        delays = []
        for _ in range(3):
            state = stream.until("state")
            delays.append(time.time() - state.data["time"])
        assert max(delays) < 2.0, delays
        gateway.process.terminate()
        assert [event.data for event in stream if event.name == "end"] == [{"reason": "draining"}]
    assert gateway.process.wait(STOP_DEADLINE_S) == 0
