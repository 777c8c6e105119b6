"""Triggers that make PostgreSQL notify a channel of every commit to the two tables.

`gateway init --triggers` installs them. The payload of a notification is the user whose rows
changed; it is empty if many users' rows may have. freshness/postgres.py listens.
"""

FUNCTION = "gateway_tell_change"
TABLES = ("plugin", "module")

# A longer id is no user of ours (names.py); a payload of 8,000 bytes would fail the write.
_LONGEST_ID = 128

# pg_notify sends at the commit, and equal payloads of one transaction once. Nothing here may fail
# a write of the application: the column is looked up by name at run time, whatever its type, and a
# payload of NULL is an empty one.
_MAKE_FUNCTION = f"""
CREATE OR REPLACE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $function$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM pg_notify('{{channel}}', '');
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_notify('{{channel}}', left(to_jsonb(OLD) ->> 'user_id', {_LONGEST_ID}));
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_notify('{{channel}}', left(to_jsonb(NEW) ->> 'user_id', {_LONGEST_ID}));
    END IF;
    RETURN NULL;
END
$function$
"""
_TRIGGERS = (
    (f"{FUNCTION}_row", "INSERT OR UPDATE OR DELETE", "ROW"),
    (f"{FUNCTION}_truncate", "TRUNCATE", "STATEMENT"),
)


def trigger_statements(channel: str) -> list[str]:
    """SQL that makes the two tables notify `channel`. Idempotent."""
    statements = [_MAKE_FUNCTION.format(channel=channel)]
    for table in TABLES:
        for trigger, events, level in _TRIGGERS:
            statements += [
                f"DROP TRIGGER IF EXISTS {trigger} ON {table}",
                f"CREATE TRIGGER {trigger} AFTER {events} ON {table}"
                f" FOR EACH {level} EXECUTE FUNCTION {FUNCTION}()",
            ]
    return statements


def trigger_state(channel: str) -> str:
    """An SQL expression: a text that differs whenever the triggers, their function or the tables
    were altered; NULL if the triggers do not notify a channel of every commit.

    `channel` is SQL too, such as `$1::text`. Rows of tables that inherit from ours, and rows of
    views, fire no trigger: then the expression is NULL.
    """
    return f"""(
    SELECT string_agg(
        concat_ws(' ', t.oid, t.xmin, c.oid, c.xmin, p.oid, p.xmin), ',' ORDER BY t.oid
    )
    FROM pg_trigger AS t
    JOIN pg_class AS c ON c.oid = t.tgrelid
    JOIN pg_proc AS p ON p.oid = t.tgfoid
    WHERE t.tgrelid IN ({", ".join(f"to_regclass('{table}')" for table in TABLES)})
    AND t.tgname IN ({", ".join(f"'{trigger}'" for trigger, _, _ in _TRIGGERS)})
    AND t.tgenabled IN ('O', 'A')
    AND p.proname = '{FUNCTION}' AND strpos(p.prosrc, format('pg_notify(%L,', {channel})) > 0
    AND c.relkind = 'r' AND NOT c.relhassubclass
    HAVING count(*) = {len(TABLES) * len(_TRIGGERS)}
)"""  # noqa: S608 (our own names)
