"""What comes in, and how often: files by Zipf's law, manifests, the cold, the hostile, the rude."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.load.open_loop import NO_ANSWER
from benchmarks.processes import HOST
from benchmarks.subjects import Asking, Subjects
from benchmarks.users import shuffled, zipf

BIG_PATH = "dist/big.js"
BIG_BYTES = 4 * 2**20

_HOSTILE = (
    "%2e%2e/%2e%2e/secret.js", "..%2f..%2fgateway.db", "dist/%00.js", "dist/..%5cgateway.db",
    ".git/config.json", "dist/nowhere.js", "dist/" + "a" * 300 + ".js", "dist/remoteEntry.py",
    "dist//remoteEntry.js", "@9.9.9~0123456789abcdef/x.js",
)  # fmt: skip
# Weights of the kinds of requests that come by the schedule.
_WEIGHTS = {"file": 80, "manifest": 6, "cold": 6, "hostile": 5, "stranger": 3}
EXPECTED: Mapping[str, frozenset[int]] = {
    # 404: the plugin was revoked a moment ago.
    "file": frozenset({200, 404}),
    "manifest": frozenset({200}),
    "cold": frozenset({200, 404}),
    "hostile": frozenset({400, 403, 404, 410}),
    "stranger": frozenset({401}),
}
_SLOW_PAUSE_S = 0.05
_SLOW_BYTES = 64 * 2**10


@dataclass(frozen=True, slots=True)
class Mix:
    """Requests of some users, ready to be sent."""

    askings: Sequence[Asking]
    manifests: Sequence[bytes]

    def choose(self, seed: int = 3) -> Callable[[], tuple[str, bytes]]:
        source = random.Random(seed)  # noqa: S311 (no secret)
        # The upper half are the regulars; of the others each request is a stranger's first.
        regulars = len(self.askings) // 2
        rank = zipf(regulars, seed)
        kinds, weights = list(_WEIGHTS), list(_WEIGHTS.values())

        def next_request() -> tuple[str, bytes]:
            (kind,) = source.choices(kinds, weights)
            asking = self.askings[rank()]
            if kind == "manifest":
                return kind, self.manifests[rank()]
            if kind == "cold":
                asking = self.askings[source.randrange(regulars, len(self.askings))]
            elif kind == "hostile":
                return kind, hostile_request(asking, source.choice(_HOSTILE))
            elif kind == "stranger":
                return kind, asking.request.replace(b"Bearer ", b"Bearer x", 1)
            return kind, asking.request

        return next_request


def make_mix(subjects: Subjects) -> Mix:
    askings = shuffled([subjects.asking(subject) for subject in subjects.chosen])
    manifest = f"{subjects.settings.http.api_prefix}/plugins/manifest".encode()
    manifests = [Asking(each.user, manifest, each.headers).request for each in askings]
    return Mix(askings, manifests)


def hostile_request(asking: Asking, path: str) -> bytes:
    folder = asking.raw_path.decode().rpartition("/dist/")[0]
    return Asking(asking.user, f"{folder}/{path}".encode(), asking.headers).request


async def read_slowly(port: int, request: bytes) -> int:
    """A client on a bad line: 64 KiB twenty times a second. The status of its answer."""
    reader, writer = await asyncio.open_connection(HOST, port, limit=_SLOW_BYTES)
    try:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        left = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        while left > 0:
            received = await reader.read(min(left, _SLOW_BYTES))
            if not received:
                return NO_ANSWER
            left -= len(received)
            await asyncio.sleep(_SLOW_PAUSE_S)
        return int(head.split(b" ", 2)[1])
    finally:
        writer.close()


async def abort(port: int, request: bytes) -> int:
    """A client that leaves in the middle of the file. The status it had seen."""
    reader, writer = await asyncio.open_connection(HOST, port, limit=_SLOW_BYTES)
    try:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.read(_SLOW_BYTES)
        return int(head.split(b" ", 2)[1])
    finally:
        transport = writer.transport
        transport.abort()
