"""docs/how-to/logs.md shows all lines of a session; this one has the same."""

import os
import re
import signal
from itertools import count
from pathlib import Path

import pytest

from tests.support.processes import children
from tests.support.server import STOP_DEADLINE_S, Server, serving
from tests.support.site import ADA, Site, bearer
from tests.support.urls import own
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "logs.md").read_text()
VARYING = (
    (r"(?m)^\S{23} ", "TIME "),
    (r" in \d+\.\d ms", " in DURATION"),
    (r"\[[0-9a-f]{32}\]", "[ID]"),
    (r"user [0-9a-f]{32}", "user ID"),
    (r"(?<= )/(?!api)\S+/(?=plugins\b|\w+\.db$)", "FOLDER/"),
    (r"\w+\.db$", "DATABASE"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r"(?<=version:     )\S+(?=,)", "VERSION"),
)


def normal(text: str) -> list[str]:
    """The lines, without what differs from one session to the next."""
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text, flags=re.MULTILINE)
    numbers = count(1)
    for worker in dict.fromkeys(re.findall(r"worker (\d+) starts", text)):
        name = f"W{next(numbers)}"
        text = re.sub(rf"\b{worker}\b *", f"{name} ", text)
    return text.splitlines()


def next_worker(server: Server, after: int) -> int:
    """The worker that serves in the place of another one that has ended."""

    def only() -> int | None:
        pids = children(server.process.pid)
        if len(pids) != 1 or pids == [after]:
            return None
        has_begun = any(re.search(rf" {pids[0]} +serves requests", it) for it in server.output)
        return pids[0] if has_begun else None

    found = eventually(only, lambda pid: pid is not None)
    assert found is not None
    return found


def test_the_log_of_a_session_is_the_one_in_the_docs(site: Site) -> None:
    environment = {**site.environment, "GATEWAY__OBSERVABILITY__ACCESS_LOG": "true"}
    with serving(environment, "--workers", "1") as server:
        (first,) = children(server.process.pid)
        for path in ("dist/remoteEntry.js", "dist/remoteEntry.js", "dist/missing.js"):
            server.get(own("Review", path), bearer(ADA))
        eventually(lambda: "".join(server.output), lambda said: " 404 GET " in said)
        server.process.send_signal(signal.SIGHUP)
        second = next_worker(server, first)
        eventually(lambda: "".join(server.output), lambda said: "all workers are" in said)
        os.kill(second, signal.SIGKILL)
        next_worker(server, second)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(STOP_DEADLINE_S)
        eventually(lambda: "".join(server.output), lambda said: "has ended\n" in said[-30:])
    (shown,) = re.findall(r"```text\n(.*? starts\n.*?)```", PAGE, re.DOTALL)
    assert normal("".join(server.output)) == normal(shown)
