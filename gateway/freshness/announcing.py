"""`Announcer`: how this process tells everybody of a change that it made.

Servers and commands announce a change after its commit, and all announcements reach the same:

- the caches of this process, if it serves;
- the other processes of this host, through the change log;
- all other nodes, if the database is PostgreSQL.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateway.changes import Change
from gateway.disk.storage import PluginStorage
from gateway.freshness.change_log import ChangeLog
from gateway.freshness.postgres import PostgresSource, postgres_source
from gateway.settings import Settings

logger = logging.getLogger(__name__)

Announce = Callable[[Change], None]
OnFailure = Callable[[str, OSError], None]
"""Called with the name of those who were not told, and the reason."""


def _log_failure(whom: str, error: OSError) -> None:
    logger.warning("%s were not told of a change: %s", whom, error)


class Announcer:
    """Announces changes. Several threads of a command may do so at once."""

    def __init__(
        self,
        log: ChangeLog,
        nodes: PostgresSource | None,
        apply: Announce = lambda _change: None,
        on_failure: OnFailure = _log_failure,
    ) -> None:
        """`apply` drops what this process caches; a command caches nothing."""
        self._log = log
        self._nodes = nodes
        self._apply = apply
        self._on_failure = on_failure

    def announce(self, change: Change) -> None:
        """Tells this process and this host at once, other nodes soon. Call it after the commit.

        A change is not undone because the log cannot be written: the failure is logged, and the
        other processes of this host notice the change when their lifetimes end.
        """
        self._apply(change)
        if self._nodes is not None:
            self._nodes.announce(change)
        try:
            self._log.append(change)
        except OSError as error:
            self._on_failure("other workers", error)


async def announce_now(
    settings: Settings, change: Change, on_failure: OnFailure = _log_failure
) -> None:
    """For a command that announces one change."""
    async with announcing(settings, on_failure) as announce:
        announce(change)


@asynccontextmanager
async def announcing(
    settings: Settings, on_failure: OnFailure = _log_failure
) -> AsyncIterator[Announce]:
    """For a command. Tells the workers of this host at once, and all other nodes when the block
    ends, also if it fails."""
    log = ChangeLog(PluginStorage(settings.plugins_dir).cache)
    nodes = postgres_source(settings)
    try:
        yield Announcer(log, nodes, on_failure=on_failure).announce
    finally:
        log.close()
        if nodes is not None:
            try:
                await nodes.send_now()
            except OSError as error:
                on_failure("the other nodes", error)
