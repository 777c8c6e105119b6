"""Commits to a PostgreSQL database, told by triggers on the two tables (LISTEN, NOTIFY).

`gateway init --triggers` installs them; without them nothing is told, and the TTLs hold. The
payload is the user whose rows changed, or empty. The connection is a dedicated one outside
the pool; when it breaks it is made anew, and anything may have changed in between.
"""

import asyncio

from gateway.changes import ANYTHING, Change
from gateway.errors import ConfigurationError
from gateway.freshness import Tell
from gateway.names import parse_user_id

_CONNECT_TIMEOUT_S = 5.0
# A connection that died without a word is found by asking.
_PROBE_S = 5.0

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
    """Listens on a connection of its own."""

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
        scheme, _, rest = url.partition("://")
        self._url = f"{scheme.partition('+')[0]}://{rest}"
        self._channel = channel

    async def run(self, tell: Tell) -> None:
        connection = await self._connect(self._url, timeout=_CONNECT_TIMEOUT_S)
        ended = asyncio.Event()
        connection.add_termination_listener(lambda _connection: ended.set())

        def hear(_connection: object, _pid: int, _channel: str, payload: str) -> None:
            tell(_change(payload))

        try:
            await connection.add_listener(self._channel, hear)
            tell(ANYTHING)  # what changed before LISTEN took effect
            while not ended.is_set():
                try:
                    await asyncio.wait_for(ended.wait(), _PROBE_S)
                except TimeoutError:
                    await connection.execute("SELECT 1", timeout=_PROBE_S)
            raise ConnectionError("the connection ended")
        finally:
            connection.terminate()


def _change(payload: str) -> Change:
    try:
        return Change(user=parse_user_id(payload))
    except ValueError:
        return ANYTHING
