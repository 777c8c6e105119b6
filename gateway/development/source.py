"""The source of the changes that a bundler makes: it looks at the folder, and applies each build.

It looks in a thread of its own, 50 times a second, and 100 times while files change. A look at 200
files takes a millisecond. inotify would save that, but it says nothing of a network drive, of a
container's mount or of a virtual machine's folder, and the quiet has to be waited for in any case.
"""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from gateway.changes import Change
from gateway.development.build_watch import QUIET_S, BuildWatch
from gateway.development.developed_plugin import DevelopedPlugin, SeenBuild
from gateway.development.plugin_folder import Look, PluginFolder
from gateway.development.snapshots import Candidate, DevelopedRelease, Snapshots
from gateway.threads import in_own_thread

_IDLE_LOOK_S = 0.02
_BUSY_LOOK_S = 0.01
_COPY_AFTER_S = 0.02

Report = Callable[[SeenBuild, int], None]
"""Hears of each build, and how many pages were told of it."""


class _Finished(NamedTuple):
    """A finished build. Either it has a release, or there is a problem."""

    number: int
    look: Look
    was_there: bool
    """Whether the first look saw it."""
    duration_s: float
    release: DevelopedRelease | None
    problem: str | None


class DevelopmentSource:
    """A FreshnessSource."""

    name = "development"

    def __init__(
        self, folder: PluginFolder, snapshots: Snapshots, plugin: DevelopedPlugin, report: Report
    ) -> None:
        self._folder = folder
        self._snapshots = snapshots
        self._plugin = plugin
        self._report = report
        self._watch = BuildWatch()
        self._candidate: Candidate | None = None
        self._number = 0
        self._first_look: Look | None = None

    async def run(self, tell: Callable[[Change], None], ready: Callable[[], None]) -> None:
        """See FreshnessSource. It is ready when a build that the folder holds is applied."""
        stop = threading.Event()
        try:
            if not await in_own_thread(self._has_build):
                ready()
            while build := await in_own_thread(partial(self._next_build, stop)):
                self._apply(build, tell)
                ready()
        finally:
            stop.set()

    def _has_build(self) -> bool:
        """Blocking."""
        try:
            look = self._folder.look()
        except OSError:
            return False
        self._first_look = self._first_look or look
        return look.has_entry

    def _next_build(self, stop: threading.Event) -> _Finished | None:
        """Blocking. None after `stop`."""
        while not stop.wait(_BUSY_LOOK_S if self._watch.is_changing else _IDLE_LOOK_S):
            try:
                build = self._look_once()
            except (FileNotFoundError, NotADirectoryError):  # a name went during the look
                continue
            if build is not None:
                return build
        return None

    def _look_once(self) -> _Finished | None:
        """It copies before the quiet is long enough, so that a build then has only to be named."""
        began_at = time.monotonic()
        look = self._folder.look()
        quiet_s = self._watch.quiet_s(look, began_at, time.monotonic())
        candidate = self._candidate
        if candidate is not None and candidate.look == look:
            return self._finish(candidate) if quiet_s >= QUIET_S else None
        if quiet_s >= _COPY_AFTER_S:
            self._candidate = self._snapshots.prepare(look)
        return None

    def _finish(self, candidate: Candidate) -> _Finished | None:
        """None: its content is that of the build before."""
        self._candidate, release = None, None
        if candidate.problem is None:
            release = self._snapshots.keep(candidate, self._number + 1)
        duration_s = self._watch.duration_s
        self._watch.settle(candidate.look)
        if release is None and candidate.problem is None:
            return None
        self._number += 1
        look, problem = candidate.look, candidate.problem
        was_there = look == self._first_look
        return _Finished(self._number, look, was_there, duration_s, release, problem)

    def _apply(self, build: _Finished, tell: Callable[[Change], None]) -> None:
        plugin, look, was_there = self._plugin, build.look, build.was_there
        seen = SeenBuild(
            build.number,
            build.release.version if build.release else None,
            look.changed_at,
            None if was_there else max(0.0, time.time() - look.changed_at),
            None if was_there else build.duration_s,
            len(look.sizes),
            sum(look.sizes.values()),
            build.problem,
        )
        told = plugin.announce(seen, build.release)
        tell(Change(user=plugin.user, slug=plugin.slug))
        self._report(seen, told)
