"""What PostgreSQL carries from one session to all others (LISTEN, NOTIFY).

Commits, told by triggers on the two tables: `gateway init --triggers` installs them; without
them no commit is told, and the TTLs hold. The payload is the user whose rows changed, or empty.

Changes made at another node: the payload is the `Change` itself, in at most 300 of the 8,000
bytes that a payload may have. It begins with a bracket, as no user does.

The connection is a dedicated one outside the pool; when it breaks it is made anew, and
anything may have changed in between.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from gateway.changes import ANYTHING, Change
from gateway.errors import ConfigurationError
from gateway.freshness import Begun, Tell
from gateway.names import parse_user_id

_CONNECT_TIMEOUT_S = 5.0
# A connection that died without a word is found by asking.
_PROBE_S = 5.0

# More than a node changes while its database is away; beyond it everything is forgotten.
_MOST_UNSENT = 1000
_NOTIFY = "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload"

# A longer id is no user of ours (names.py); a payload of 8,000 bytes would fail the write.
_LONGEST_ID = 128

FUNCTION = "gateway_tell_change"
TABLES = ("plugin", "module")


def trigger_statements(channel: str) -> list[str]:
    """SQL that makes the two tables tell of changes; again without harm.

    pg_notify sends at the commit, and equal payloads of one transaction once. Nothing here
    may fail a write of the application: the column is looked up by name at run time, whatever
    its type, and a payload of NULL is an empty one.
    """
    statements = [
        f"""
        CREATE OR REPLACE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $function$
        BEGIN
            IF TG_OP = 'TRUNCATE' THEN
                PERFORM pg_notify('{channel}', '');
                RETURN NULL;
            END IF;
            IF TG_OP <> 'INSERT' THEN
                PERFORM pg_notify('{channel}', left(to_jsonb(OLD) ->> 'user_id', {_LONGEST_ID}));
            END IF;
            IF TG_OP <> 'DELETE' THEN
                PERFORM pg_notify('{channel}', left(to_jsonb(NEW) ->> 'user_id', {_LONGEST_ID}));
            END IF;
            RETURN NULL;
        END
        $function$
        """
    ]
    for table in TABLES:
        for name, events, each in (
            ("row", "INSERT OR UPDATE OR DELETE", "ROW"),
            ("truncate", "TRUNCATE", "STATEMENT"),
        ):
            trigger = f"{FUNCTION}_{name}"
            statements += [
                f"DROP TRIGGER IF EXISTS {trigger} ON {table}",
                f"CREATE TRIGGER {trigger} AFTER {events} ON {table}"
                f" FOR EACH {each} EXECUTE FUNCTION {FUNCTION}()",
            ]
    return statements


class PostgresSource:
    """Listens, and tells other nodes, on a connection of its own."""

    name = "postgres"

    def __init__(self, url: str, channel: str) -> None:
        """Raises: ConfigurationError, without asyncpg."""
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
        self._unsent: dict[Change, None] = {}
        self._stirred = asyncio.Event()
        """There is something to send, or the connection ended."""

    def announce(self, change: Change) -> None:
        """Tells all other nodes soon; when the database is back, if it cannot be reached."""
        self._unsent[change] = None
        if len(self._unsent) > _MOST_UNSENT:
            self._unsent = {Change(): None}
        self._stirred.set()

    async def announce_now(self, changes: Iterable[Change]) -> None:
        """From a process that does not listen. Raises: OSError, if the database fails."""
        try:
            connection = await self._connect(self._url, timeout=_CONNECT_TIMEOUT_S)
            try:
                await self._send(connection, changes)
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
            tell(ANYTHING)  # what changed before LISTEN took effect
            begun()
            while not connection.is_closed():
                self._stirred.clear()
                await self._send_unsent(connection)
                try:
                    await asyncio.wait_for(self._stirred.wait(), _PROBE_S)
                except TimeoutError:
                    await connection.execute("SELECT 1", timeout=_PROBE_S)
            raise ConnectionError("the connection ended")
        finally:
            connection.terminate()

    async def _send_unsent(self, connection: Any) -> None:
        changes, self._unsent = self._unsent, {}
        try:
            await self._send(connection, changes)
        except BaseException:  # cancelled too: what was not sent is sent later
            self._unsent = changes | self._unsent
            raise

    async def _send(self, connection: Any, changes: Iterable[Change]) -> None:
        payloads = [change.encode().decode() for change in changes]
        if payloads:
            await connection.execute(_NOTIFY, self._channel, payloads, timeout=_PROBE_S)


def _change(payload: str) -> Change:
    try:
        if payload.startswith("["):
            return Change.decode(payload.encode())
        return Change(user=parse_user_id(payload))
    except ValueError:  # empty, or of a version of ours that says more
        return ANYTHING
