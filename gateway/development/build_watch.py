"""Decides from looks at a folder when a build is finished. Pure: looks and times in.

No bundler says on the disk that it has finished. A build counts as finished when its entry is
there and nothing has changed for `QUIET_S`. A bundler makes its files in memory and writes them
together: webpack, Vite and esbuild write a hundred files in a few milliseconds.
"""

from gateway.development.plugin_folder import Look

QUIET_S = 0.05
"""With looks every 20 ms, and every 10 ms while files change, a build is noticed within 80 ms."""
_MOST_BETWEEN_LOOKS_S = 0.02
"""What counts of the time between two looks. A machine that stands still, or that is busy with
everything else, keeps the bundler from writing too: that is no quiet."""


class BuildWatch:
    def __init__(self) -> None:
        self._look: Look | None = None
        self._looked_at = self._changed_at = 0.0
        self._quiet_s = 0.0
        self._began_at: float | None = None
        self._settled: Look | None = None

    def quiet_s(self, look: Look, began_at: float, ended_at: float) -> float:
        """For how long the folder has held what this look saw; 0.0 if that is settled, or is no
        build. The look began and ended at these moments, in seconds of any clock.
        """
        if look != self._look:
            self._look, self._quiet_s = look, 0.0
            self._changed_at = self._looked_at = ended_at
            if self._began_at is None:
                self._began_at = ended_at
            return 0.0
        self._quiet_s += min(began_at - self._looked_at, _MOST_BETWEEN_LOOKS_S)
        self._looked_at = began_at
        is_build = look.has_entry or look.problem is not None
        return self._quiet_s if is_build and self.is_changing else 0.0

    @property
    def is_changing(self) -> bool:
        """Whether the last look saw something that is not settled."""
        return self._look != self._settled

    @property
    def duration_s(self) -> float:
        """From the first change that is not settled to the last."""
        return 0.0 if self._began_at is None else self._changed_at - self._began_at

    def settle(self, look: Look) -> None:
        """The build of this look was taken or refused."""
        self._settled, self._began_at = look, None
