"""What PostgreSQL carries from one session to all others (LISTEN, NOTIFY).

Commits, told by triggers on the two tables: `gateway init --triggers` installs them; without
them no commit is told, and the TTLs hold. The payload is the user whose rows changed, or empty.

Changes made at another node: the payload is the `Change` itself, in at most 300 of the 8,000
bytes that a payload may have. It begins with a bracket, as no user does.

The connection is a dedicated one outside the pool; when it breaks it is made anew, and
anything may have changed in between.

A heartbeat about once a second: the connection notifies itself, on a channel of its own. When the
heartbeat arrives, what is held of the database is confirmed as of the moment before it was sent.
Why that was right at that moment: notifications of different transactions are delivered in the
order in which the transactions committed (PostgreSQL's documentation of NOTIFY; there is one queue,
whatever the channel), and asyncpg calls listeners in that order. So what was committed before the
heartbeat was sent has been told before it arrived, if triggers tell of it:

- the statement that sends the heartbeat also reads what the triggers are. If they are missing,
  disabled, or notify another channel, nothing is confirmed;
- if they, or the tables, are not those of the heartbeat before, a commit in between may not have
  been told: anything may have changed.

A connection that is half open, a process that is paused, a server or a pooler that keeps
notifications back: the heartbeat does not arrive, and nothing is confirmed.
"""

import asyncio
import contextlib
import math
import secrets
import time
from collections.abc import Callable
from typing import Any

from gateway.changes import ANYTHING, Change
from gateway.database.triggers import trigger_state
from gateway.errors import ConfigurationError
from gateway.freshness import Begun, Tell
from gateway.names import parse_user_id
from gateway.serving.lookups import Lookups
from gateway.settings import Settings

_CONNECT_TIMEOUT_S = 5.0
# Where `ttl` is short, there are four in it.
_BEAT_S = 1.0
_SHORTEST_BEAT_S = 0.05
# A heartbeat that does not arrive within this time ends the connection.
_PROBE_S = 5.0

# More than a node changes while its database is away; beyond it everything is forgotten.
_MOST_UNSENT = 1000
_NOTIFY = "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload"

# Channel and payload of the heartbeat, then the channel that triggers notify.
_BEAT = f"SELECT pg_notify($1, $2), {trigger_state('$3::text')}"


class PostgresSource:
    """Listens, and tells other nodes, on a connection of its own."""

    name = "postgres"

    def __init__(
        self,
        url: str,
        channel: str,
        ttl_s: float = math.inf,
        confirm: Callable[[float], None] = lambda _at: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`confirm` hears of moments of the `clock`: each commit before them has been told. What
        it confirms is fresh for `ttl_s` after them.

        Raises: ConfigurationError, without asyncpg.
        """
        try:
            import asyncpg  # noqa: PLC0415 (an extra)
        except ImportError:
            raise ConfigurationError(
                "database.url: PostgreSQL needs the extra 'postgres'"
            ) from None
        self._connect = asyncpg.connect
        self._failures = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
        scheme, _, rest = url.partition("://")
        self._url = f"{scheme.partition('+')[0]}://{rest}"
        self._channel = channel
        self._beat_s = max(_SHORTEST_BEAT_S, min(_BEAT_S, ttl_s / 4))
        self._confirm = confirm
        self._clock = clock
        self._unsent: dict[Change, None] = {}
        self._stirred = asyncio.Event()
        """There is something to send, or the connection ended."""

    def announce(self, change: Change) -> None:
        """Tells all other nodes soon; when the database is back, if it cannot be reached."""
        self._unsent[change] = None
        if len(self._unsent) > _MOST_UNSENT:
            self._unsent = {Change(): None}
        self._stirred.set()

    async def send_now(self) -> None:
        """Sends what was announced, from a process that does not run this source.

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
            raise OSError(f"the database failed: {error!r}") from error

    async def run(self, tell: Tell, begun: Begun) -> None:
        connection = await self._connect(self._url, timeout=_CONNECT_TIMEOUT_S)
        connection.add_termination_listener(lambda _connection: self._stirred.set())
        own_pid = connection.get_server_pid()

        def hear(_connection: object, pid: int, _channel: str, payload: str) -> None:
            if pid != own_pid:  # ours was applied when it was announced
                tell(_change(payload))

        try:
            await connection.add_listener(self._channel, hear)
            heart = _Heart(connection, self._channel)
            await heart.begin()
            tell(ANYTHING)  # what changed before LISTEN took effect
            begun()
            await self._follow(connection, heart, tell)
            raise ConnectionError("the connection ended")
        finally:
            connection.terminate()

    async def _follow(self, connection: Any, heart: "_Heart", tell: Tell) -> None:
        """Announces what is to be told, and beats, until the connection ends."""
        beats_at = 0.0
        while not connection.is_closed():
            self._stirred.clear()
            await self._send_unsent(connection)
            if time.monotonic() >= beats_at:
                beats_at = time.monotonic() + self._beat_s
                await self._beat(heart, tell)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stirred.wait(), beats_at - time.monotonic())

    async def _beat(self, heart: "_Heart", tell: Tell) -> None:
        began_at, before = self._clock(), heart.triggers
        await heart.beat()
        if heart.triggers != before:
            tell(ANYTHING)  # what was committed while they were others
        if heart.triggers is not None:
            self._confirm(began_at)

    async def _send_unsent(self, connection: Any) -> None:
        if not self._unsent:
            return
        changes, self._unsent = self._unsent, {}
        payloads = [change.encode().decode() for change in changes]
        try:
            await connection.execute(_NOTIFY, self._channel, payloads, timeout=_PROBE_S)
        except BaseException:  # cancelled too: what was not sent is sent later
            self._unsent = changes | self._unsent
            raise


def postgres_source(settings: Settings, lookups: Lookups | None = None) -> PostgresSource | None:
    """None if the database is not PostgreSQL. Without `lookups` it announces and confirms nothing.

    Raises: ConfigurationError, without asyncpg.
    """
    if settings.database_dialect != "postgresql":
        return None
    url, channel = settings.database.url, settings.freshness.postgres_channel
    if lookups is None:
        return PostgresSource(url, channel)
    ttl_s = settings.cache.versions.ttl
    return PostgresSource(url, channel, ttl_s, lookups.confirm_database, lookups.clock)


class _Heart:
    """Notifies its own connection, and waits until that has come back."""

    def __init__(self, connection: Any, channel: str) -> None:
        self._connection = connection
        self._channel = channel
        # Nobody else listens there; on the common channel others would take it for a change.
        self._own_channel = f"gateway_beat_{secrets.token_hex(8)}"
        self._sent = 0
        self._arrived = asyncio.Event()
        self.triggers: str | None = None
        """What told of commits, at the last beat; None: nothing did."""

    async def begin(self) -> None:
        await self._connection.add_listener(self._own_channel, self._hear)
        await self.beat()

    async def beat(self) -> None:
        """When it returns, what was committed before the call has been told, by `triggers`.

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
    except ValueError:  # empty, or of a version of ours that says more
        return ANYTHING
