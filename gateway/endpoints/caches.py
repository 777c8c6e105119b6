"""`/-/cache`: the caches of the worker that answers, and purges, which all workers obey."""

import os
from collections import Counter
from typing import Literal

import anyio.to_thread
from pydantic import ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.changes import Change
from gateway.core import Core
from gateway.endpoints.bodies import Body, read_body, refuse_foreign_page
from gateway.endpoints.name_forms import SlugText, UserIdText, VersionText
from gateway.errors import InvalidRequest
from gateway.http.answers import json_answer
from gateway.http.json_types import TypedDict, json_object
from gateway.identity.callers import Callers
from gateway.names import parse_slug, parse_user_id, parse_version
from gateway.serving.shared_versions import SharedVersion


class Purge(Body):
    """What may have changed. If no field is given, anything may have."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"required": ["version"], "properties": {"version": {"type": "string"}}},
            "then": {"required": ["plugin"], "properties": {"plugin": {"type": "string"}}},
        }
    )

    user: UserIdText | None = None
    plugin: SlugText | None = None
    version: VersionText | None = Field(None, description="It needs `plugin` beside it.")
    hard: bool = Field(
        False, description="Whether answers are dropped too that are kept for outages."
    )

    def change(self) -> Change:
        """Raises: InvalidRequest."""
        if self.version is not None and self.plugin is None:
            raise InvalidRequest("version: expected a plugin beside it")
        try:
            return Change(
                None if self.user is None else parse_user_id(self.user),
                None if self.plugin is None else parse_slug(self.plugin),
                None if self.version is None else parse_version(self.version),
                hard=self.hard,
            )
        except ValueError as error:
            raise InvalidRequest(str(error)) from None


@json_object
class Purged(TypedDict):
    """What was purged; null: whatever it is."""

    user: str | None
    slug: str | None
    version: str | None
    hard: bool


@json_object
class PurgeAnswer(TypedDict):
    """All workers ask their sources again."""

    status: Literal["success"]
    data: Purged


@json_object
class VersionInUse(TypedDict):
    """One version of a plugin that the worker serves."""

    slug: str
    version: str
    build: str
    """16 hex digits of a digest over the content of the folder."""
    name: str | None
    files: int
    bytes: int
    encoded_files: int
    differences: int
    """Kept codings of its files with files of other versions."""
    uses: int
    """Since it was loaded."""


@json_object
class CacheState(TypedDict):
    """What the caches of the worker hold that answers."""

    worker: int
    """Its process id."""
    caches: dict[str, dict[str, int]]
    """By name of the cache: how many `entries` it has, and how many `hits`, `misses`, … it had."""
    asset_bytes: float
    """What the cache of files holds."""
    changes_heard: int
    """Changes that others told it of."""
    versions: list[VersionInUse]


class Caches:
    """The routes of the caches, for administrators."""

    def __init__(self, core: Core, callers: Callers) -> None:
        self._core = core
        self._callers = callers
        self.routes = [
            Route("/-/cache", self._show_cache),
            Route("/-/cache/purge", self._purge, methods=["POST"]),
        ]

    async def _show_cache(self, request: Request) -> Response:
        await self._callers.require_administrator(request.scope)
        return json_answer(await anyio.to_thread.run_sync(_cache_state, self._core))

    async def _purge(self, request: Request) -> Response:
        refuse_foreign_page(request)
        await self._callers.require_administrator(request.scope)
        change = (await read_body(request, Purge)).change()
        self._core.announcer.announce(change)
        purged: Purged = {
            "user": change.user,
            "slug": change.slug,
            "version": change.version,
            "hard": change.hard,
        }
        answer: PurgeAnswer = {"status": "success", "data": purged}
        return json_answer(answer)


def _cache_state(core: Core) -> CacheState:
    """What the caches of this worker hold. Blocking: looks for encoded variants and differences."""
    counts = core.differences.counts()
    return {
        "worker": os.getpid(),
        "caches": {
            name: {"entries": len(cache), **cache.counters.as_dict()}
            for name, cache in core.caches.items()
        },
        "asset_bytes": core.assets.memory_bytes,
        "changes_heard": core.invalidation.applied,
        "versions": [_version(shared, counts) for shared in core.shared_versions],
    }


def _version(shared: SharedVersion, counts: Counter[str]) -> VersionInUse:
    """`counts`: of the differences, by the file's digest in hex."""
    return {
        "slug": shared.slug,
        "version": shared.version,
        "build": shared.state.build,
        "name": (shared.metadata or {}).get("name"),
        "files": len(shared.state.sizes),
        "bytes": sum(shared.state.sizes.values()),
        "encoded_files": len(shared.encoded()),
        "differences": sum(counts[it.hex()] for it in {*shared.state.digests.values()}),
        "uses": shared.uses,
    }
