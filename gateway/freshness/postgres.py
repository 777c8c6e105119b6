"""Changes that PostgreSQL carries from one session to all others, by LISTEN and NOTIFY.

Two kinds of notifications arrive on one channel:

- commits, sent by triggers (database/triggers.py). The payload is the user whose rows changed, or
  empty. Without triggers no commit is notified, and lifetimes hold;
- changes that other nodes announce. The payload is the encoded `Change`, at most 300 of the 8,000
  bytes that a payload may have. It begins with a bracket, as no user does.

The source has a connection of its own, outside the pool. When it breaks, the source connects again,
and anything may have changed in between.

Once a second the connection sends itself a heartbeat, on a channel of its own. When it arrives,
all cached values of the database are confirmed, as of the moment before it was sent. They were
right at that moment: notifications of different transactions are delivered in the order in which
the transactions committed (PostgreSQL's documentation of NOTIFY; there is one queue for all
channels), and asyncpg calls listeners in that order. So commits before the heartbeat was sent were
told before it arrived, if triggers notify of them:

- the statement that sends the heartbeat also reads the state of the triggers. If they are missing,
  disabled, or notify another channel, nothing is confirmed;
- if that state, or that of the tables, differs from the heartbeat before, a commit in between may
  not have been notified: anything may have changed.

If a connection is half open, a process is paused, or a server or pooler holds notifications back,
the heartbeat does not arrive, and nothing is confirmed.
"""

import asyncio
import contextlib
import math
import secrets
import time
from collections.abc import Callable
from typing import Any

from gateway.changes import ANYTHING, Change
from gateway.database.connections import postgres_errors
from gateway.database.triggers import trigger_state
from gateway.errors.sentences import sentence_of
from gateway.freshness import Ready, Tell
from gateway.names import parse_user_id
from gateway.serving.lookups import Lookups
from gateway.settings import Settings

_CONNECT_TIMEOUT_S = 5.0
# Shorter if `ttl` is short: four heartbeats fit into it.
_BEAT_S = 1.0
_SHORTEST_BEAT_S = 0.05
# A heartbeat that does not arrive within this time ends the connection.
_PROBE_S = 5.0

# More than a node changes while its database is away. If there are more, one change of everything
# takes their place.
_MOST_UNSENT = 1000
_NOTIFY = "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload"

# Channel and payload of the heartbeat, then the channel that triggers notify.
_BEAT = f"SELECT pg_notify($1, $2), {trigger_state('$3::text')}"


class PostgresSource:
    """Listens for changes, and sends those of this node, on a connection of its own."""

    name = "postgres"

    def __init__(
        self,
        url: str,
        channel: str,
        ttl_s: float = math.inf,
        confirm: Callable[[float], None] = lambda _at: None,
        clock: Callable[[], float] = time.monotonic,
        on_answer: Callable[[], None] = lambda: None,
    ) -> None:
        """`confirm` is called with a moment of the `clock`: each commit before it has been told.
        What it confirms stays fresh for `ttl_s` after that moment. `on_answer` is called when the
        database has answered on a new connection, before ANYTHING is told.

        Raises: ConfigurationError, without asyncpg.
        """
        self._failures = postgres_errors()
        import asyncpg  # noqa: PLC0415 (an extra)

        self._connect = asyncpg.connect
        scheme, _, rest = url.partition("://")
        self._url = f"{scheme.partition('+')[0]}://{rest}"
        self._channel = channel
        self._beat_s = max(_SHORTEST_BEAT_S, min(_BEAT_S, ttl_s / 4))
        self._confirm = confirm
        self._clock = clock
        self._on_answer = on_answer
        self._unsent: dict[Change, None] = {}
        self._woken = asyncio.Event()
        """Set when there is something to send, and when the connection ends."""

    def announce(self, change: Change) -> None:
        """Sends the change to all other nodes soon, or, while the database is away, when it is
        back."""
        self._unsent[change] = None
        if len(self._unsent) > _MOST_UNSENT:
            self._unsent = {Change(): None}
        self._woken.set()

    async def send_now(self) -> None:
        """Sends what was announced, for a process that does not `run` this source.

        Raises: OSError, if the database fails.
        """
        if not self._unsent:
            return
        try:
            connection = await self._connect(self._url, timeout=_CONNECT_TIMEOUT_S)
            try:
                await self._send_unsent(connection)
            finally:
                connection.terminate()
        except self._failures as error:
            raise OSError(f"the database failed: {sentence_of(error)}") from error

    async def run(self, tell: Tell, ready: Ready) -> None:
        connection = await self._connect(self._url, timeout=_CONNECT_TIMEOUT_S)
        connection.add_termination_listener(lambda _connection: self._woken.set())
        own_pid = connection.get_server_pid()

        def hear(_connection: object, pid: int, _channel: str, payload: str) -> None:
            if pid != own_pid:  # our own were applied when they were announced
                tell(_change(payload))

        try:
            await connection.add_listener(self._channel, hear)
            heart = _Heart(connection, self._channel)
            await heart.begin()
            self._on_answer()
            tell(ANYTHING)  # what changed before LISTEN took effect
            ready()
            await self._follow(connection, heart, tell)
            raise ConnectionError("the connection ended")
        finally:
            connection.terminate()

    async def _follow(self, connection: Any, heart: "_Heart", tell: Tell) -> None:
        """Sends announced changes and heartbeats until the connection ends."""
        beats_at = 0.0
        while not connection.is_closed():
            self._woken.clear()
            await self._send_unsent(connection)
            if time.monotonic() >= beats_at:
                beats_at = time.monotonic() + self._beat_s
                await self._beat(heart, tell)
            # Not wait_for: on Python 3.11 it loses a cancellation that comes with the wake-up.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(beats_at - time.monotonic()):
                    await self._woken.wait()

    async def _beat(self, heart: "_Heart", tell: Tell) -> None:
        began_at, before = self._clock(), heart.triggers
        await heart.beat()
        if heart.triggers != before:
            tell(ANYTHING)  # commits between the two heartbeats may not have been notified
        if heart.triggers is not None:
            self._confirm(began_at)

    async def _send_unsent(self, connection: Any) -> None:
        if not self._unsent:
            return
        changes, self._unsent = self._unsent, {}
        payloads = [change.encode().decode() for change in changes]
        try:
            await connection.execute(_NOTIFY, self._channel, payloads, timeout=_PROBE_S)
        except BaseException:  # also when cancelled: what was not sent is sent later
            self._unsent = changes | self._unsent
            raise


def postgres_source(settings: Settings, lookups: Lookups | None = None) -> PostgresSource | None:
    """None if the database is not PostgreSQL. `lookups` are confirmed; without them the source is
    for announcing alone.

    Raises: ConfigurationError, without asyncpg.
    """
    if settings.database_dialect != "postgresql":
        return None
    url, channel = settings.database.url, settings.freshness.postgres_channel
    if lookups is None:
        return PostgresSource(url, channel)
    return PostgresSource(
        url,
        channel,
        settings.cache.versions.ttl,
        lookups.confirm_database,
        lookups.clock,
        lookups.database_answers,
    )


class _Heart:
    """Notifies its own connection, and waits until the notification has come back."""

    def __init__(self, connection: Any, channel: str) -> None:
        self._connection = connection
        self._channel = channel
        # Nobody else listens there. On the common channel others would take it for a change.
        self._own_channel = f"gateway_beat_{secrets.token_hex(8)}"
        self._sent = 0
        self._arrived = asyncio.Event()
        self.triggers: str | None = None
        """The state of the triggers at the last beat; None: not every commit is notified."""

    async def begin(self) -> None:
        await self._connection.add_listener(self._own_channel, self._hear)
        await self.beat()

    async def beat(self) -> None:
        """When it returns, each commit before the call that `triggers` notified has been told.

        Raises: TimeoutError; what asyncpg raises.
        """
        self._sent += 1
        self._arrived.clear()
        async with asyncio.timeout(_PROBE_S):
            _, self.triggers = await self._connection.fetchrow(
                _BEAT, self._own_channel, str(self._sent), self._channel
            )
            await self._arrived.wait()

    def _hear(self, _connection: object, _pid: int, _channel: str, payload: str) -> None:
        if payload == str(self._sent):
            self._arrived.set()


def _change(payload: str) -> Change:
    try:
        if payload.startswith("["):
            return Change.decode(payload.encode())
        return Change(user=parse_user_id(payload))
    except ValueError:  # empty, or sent by a newer version that says more
        return ANYTHING
