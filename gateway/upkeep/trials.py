"""Tries to write what a server writes, and leaves nothing behind.

Only a trial by the user who will serve tells what that user may do. The files have no name, and
the transaction is rolled back.
"""

import os
import pwd
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gateway.database.transactions import Transaction, begin
from gateway.disk.storage import PluginStorage
from gateway.errors import SourceUnavailable
from gateway.settings import Settings
from gateway.upkeep.check_results import CheckResult
from gateway.upkeep.findings import Severity

_MISSING_PRIVILEGES = (
    "SELECT privilege || ' on ' || name AS missing"
    " FROM unnest(ARRAY['plugin', 'module']) AS name,"
    " unnest(ARRAY['INSERT', 'UPDATE', 'DELETE']) AS privilege"
    " WHERE NOT has_table_privilege(name, privilege)"
)
# On a file that may only be read, BEGIN IMMEDIATE begins a reader, and does not fail.
_CHANGE_NO_ROW = "UPDATE plugin SET enabled = enabled WHERE 0"
_IS_READ_ONLY = "SELECT current_setting('transaction_read_only') = 'on' AS is_read_only"

_WITHOUT_CACHE = (
    "make the folder, and give it to the user who will serve; until then users are served, but"
    " changes that other processes announce show when cache lifetimes end, and encoded files are"
    " made again at each start"
)


async def try_writing(settings: Settings, storage: PluginStorage) -> list[CheckResult]:
    """Tries to write to the cache folder and, if users change over HTTP what they have, to the
    users' folder, to the audit log's and to the database."""
    cache, users = storage.cache.path, storage.users.path
    if settings.access.changes == "off":
        return [_who_tries(), _try_folder(cache, Severity.WARNING, _WITHOUT_CACHE)]
    return [
        _who_tries(),
        _try_folder(cache, Severity.ERROR, "each change over HTTP takes a lock there"),
        _try_folder(users, Severity.ERROR, "each change over HTTP writes a file there"),
        _try_folder(storage.audit.folder, Severity.WARNING, "changes are made, but not recorded"),
        await _try_database(settings),
    ]


def _who_tries() -> CheckResult:
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # in containers, users often have a number alone
        name = str(os.geteuid())
    if os.geteuid() != 0:
        return CheckResult.note("user", f"tried as user {name}")
    hint = "run the command as the user who will serve"
    return CheckResult.note("user", f"tried as {name}, who may read and write everything", hint)


def _try_folder(folder: Path, severity: Severity, hint: str) -> CheckResult:
    if problem := _problem_of(folder):
        return CheckResult(severity, "storage", f"{folder} cannot be written: {problem}", hint)
    return CheckResult.note("storage", f"{folder} can be written")


def _problem_of(folder: Path) -> str | None:
    """Why no file can be made in the folder; None if one can. If there is no such folder, serving
    makes it, so the folder above it counts.
    """
    try:
        with tempfile.TemporaryFile(dir=folder if folder.exists() else folder.parent) as file:
            file.write(b"x")
            file.flush()  # a full disk refuses this
    except OSError as error:
        return error.strerror or str(error)
    return None


class _RollBackError(Exception):
    """Ends a transaction that was only tried."""


async def _try_database(settings: Settings) -> CheckResult:
    is_sqlite = settings.database_dialect == "sqlite"
    problem = None
    try:
        async with begin(settings) as transaction:
            if is_sqlite:
                await transaction.execute(_CHANGE_NO_ROW)
            else:
                problem = await _postgres_problem(transaction)
            raise _RollBackError
    except _RollBackError:
        if is_sqlite and (reason := _problem_of(settings.sqlite_file.parent)):
            problem = f"no journal can be made in {settings.sqlite_file.parent}: {reason}"
    except SourceUnavailable as error:
        problem = error.reason
    if problem:
        hint = "each change over HTTP would fail"
        return CheckResult.error("database", f"it cannot be written: {problem}", hint)
    return CheckResult.note("database", "it can be written; nothing was changed")


async def _postgres_problem(transaction: Transaction) -> str | None:
    if (await transaction.fetch(_IS_READ_ONLY))[0]["is_read_only"]:
        return "it is read-only"
    missing: Sequence[str] = [
        row["missing"] for row in await transaction.fetch(_MISSING_PRIVILEGES)
    ]
    return f"no permission for {', '.join(missing)}" if missing else None
