"""`DevelopedPlugin`: the plugin that somebody develops, for which user, and each of its builds.

Pages and the terminal learn of builds here. For one event loop.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.development.snapshots import DevelopedRelease
from gateway.names import Slug, UserId, Version

_MOST_BUILDS = 20


@dataclass(frozen=True, slots=True)
class SeenBuild:
    """A finished build of the bundler."""

    number: int
    """Counts from 1. Refused builds count too."""
    version: Version | None
    """The version that the user has with this build; None: the build was refused."""
    finished_at: float
    """When the bundler wrote its last file; seconds since the epoch."""
    seen_after_s: float | None
    """How long after that requests were answered with the build; None: the folder held the build
    before the gateway looked at it."""
    duration_s: float | None
    """The time from the first written or removed file to the last; None: it is not known."""
    files: int
    size_bytes: int
    problem: str | None = None
    """Why the build was refused, a sentence; None: it is what the user has since then."""


class DevelopedPlugin:
    """The plugin, its builds, and those who wait for the next one."""

    def __init__(
        self,
        user: UserId,
        slug: Slug,
        database_id: str,
        scope: str | None = None,
        dev_server: str | None = None,
    ) -> None:
        """`database_id`: of the user's row of the plugin, or of the row that they would have.
        `scope`: what that row says. `dev_server`: the URL from which the plugin's files
        come instead of the folder; there are no builds then.
        """
        self.user = user
        self.slug = slug
        self.database_id = database_id
        self.release: DevelopedRelease | None = None
        """What the user has; None: still their own version. Also read in threads."""
        self._scope = scope or slug
        self.dev_server = dev_server
        self.waiting = 0
        """How many wait for the next build: the pages that are open."""
        self._builds: deque[SeenBuild] = deque(maxlen=_MOST_BUILDS)
        self._current: SeenBuild | None = None
        self._news = asyncio.Event()

    @property
    def scope(self) -> str:
        """The name of the container that the entry leaves on `window`."""
        stated = self.release.changes.get("scope") if self.release else None
        return str(stated or self._scope)

    @property
    def builds(self) -> Sequence[SeenBuild]:
        """The last 20, refused ones too, the newest last."""
        return tuple(self._builds)

    @property
    def current(self) -> SeenBuild | None:
        """The build that the user has; None: the first one has not come yet."""
        return self._current

    async def after(self, number: int) -> SeenBuild:
        """The first build after the one with this number that is remembered, when it has come."""
        while True:
            for build in self._builds:
                if build.number > number:
                    return build
            self.waiting += 1
            try:
                await self._news.wait()
            finally:
                self.waiting -= 1

    def announce(self, build: SeenBuild, release: DevelopedRelease | None = None) -> int:
        """Wakes those who wait for a build. Returns how many they are.

        `release`: what the user has from now on; None: what they have already.
        """
        self._builds.append(build)
        if build.problem is None:
            self._current = build
        self.release = release or self.release
        told, news = self.waiting, self._news
        self._news = asyncio.Event()
        news.set()
        return told
