"""A gateway in this process, and the calls that its requests make."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Any, TypeVar

from benchmarks.client import Request
from benchmarks.subjects import Subjects
from gateway.application import Gateway
from gateway.caching.basis import AT_HAND, Basis
from gateway.http.heads import Headers, joined_headers
from gateway.names import AssetKey, UserId

T = TypeVar("T")
Nanoseconds = list[int]
Received = tuple[Any, Headers]
"""A request as the hot path gets it: the scope, and the header fields as they were read."""


@dataclass(frozen=True, slots=True)
class Inside:
    """A gateway that runs, and one request of each of some users."""

    gateway: Gateway
    requests: Sequence[Request]

    def look_up(self, received: Received) -> Path:
        """All steps from a request's head to the folder of its file, on the hot path.

        Raises: Pending, if something is not in memory.
        """
        scope, headers = received
        resolution = self.gateway.own_assets.resolve(AT_HAND, scope, headers, self.below(scope))
        return self._folder_of(resolution.key)

    async def look_up_waiting(self, scope: Any) -> Path:
        """`look_up` on the cold path."""
        resolve, below = self.gateway.own_assets.resolve, self.below(scope)
        resolution = await Basis().settled(resolve, scope, joined_headers(scope), below)
        return self._folder_of(resolution.key)

    async def look_up_all(self, requests: Iterable[Request]) -> None:
        """Looks all of them up, so that their users are in the caches."""
        for scope in scopes(requests):
            await self.look_up_waiting(scope)

    def below(self, scope: Any) -> bytes:
        """The rest of the path, once its route is found."""
        _, below = self.gateway.front._route_of(scope)
        return below

    def _folder_of(self, key: AssetKey) -> Path:
        return self.gateway.core.storage.construct_shared_path(key.slug, key.version)

    def forget(self, requests: Iterable[Request]) -> None:
        """Makes their users cold again."""
        for request in requests:
            self.gateway.core.lookups.forget_user(UserId(request.user), hard=True)


@asynccontextmanager
async def gateway_inside(subjects: Subjects) -> AsyncIterator[Inside]:
    """Without the freshness sources: nothing runs but what is measured."""
    gateway = Gateway(subjects.settings)
    requests = [subjects.request(subject) for subject in subjects.chosen]
    async with gateway.core.running(follow_changes=False):
        yield Inside(gateway, requests)


def scopes(requests: Iterable[Request]) -> Iterator[dict[str, object]]:
    """Each scope is made when it is wanted, as a server makes it just before the application."""
    return (request.scope for request in requests)


def received(requests: Iterable[Request]) -> Iterator[Received]:
    """Scopes with their header fields."""
    return ((scope, joined_headers(scope)) for scope in scopes(requests))


def timed(call: Callable[[T], object], arguments: Iterable[T]) -> Nanoseconds:
    """How long each call took. The clock's own cost, about 0.05 µs, is in every figure."""
    durations = []
    for argument in arguments:
        started = perf_counter_ns()
        call(argument)
        durations.append(perf_counter_ns() - started)
    return durations


async def timed_async(
    call: Callable[[T], Awaitable[object]], arguments: Iterable[T]
) -> Nanoseconds:
    """`timed` for a coroutine function. The time includes making the coroutine."""
    durations = []
    for argument in arguments:
        started = perf_counter_ns()
        await call(argument)
        durations.append(perf_counter_ns() - started)
    return durations


async def settle() -> None:
    """Collects what the last measurement left behind, so that the next does not pay for it."""
    await asyncio.sleep(0)
    gc.collect()
