"""`python -m benchmarks migration`: options in; a table and a file out."""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import click

from benchmarks.migration.site import make_old_site
from benchmarks.record import Figure, Record, Table
from benchmarks.running import finish, gather_facts, new_console, output_option, quick_option
from gateway.disk.storage import PluginStorage, write_atomically
from gateway.settings import Settings

RUNS = (
    ("migrate",),
    ("migrate", "--apply", "--write-missing"),
    ("migrate", "--apply", "--write-missing"),
    ("doctor",),
)
# One after the other waits for the disk each time: 90,000 would take a quarter of an hour.
_SAMPLE = 5_000
_USERS, _QUICK_USERS = 100_000, 500


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one command."""

    name: str
    users: int
    seconds: float
    cpu_seconds: float
    memory_mib: float


@click.command()
@click.option("--users", type=click.IntRange(1), help="How many users; 100,000, quick 500.")
@quick_option("Ten seconds, to see that it works.")
@output_option
def migration(users: int | None, quick: bool, output: Path) -> None:
    """Seconds and memory of `gateway migrate` and `gateway doctor` for many users, SQLite.

    Beside them files replaced in a loop, atomically, and nothing else.
    """
    users = users or (_QUICK_USERS if quick else _USERS)
    console = new_console()
    packages = ("aiosqlite", "orjson", "filelock")
    record = Record("migration", gather_facts(packages, (), {"users": users}))
    measured = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        with console.status("making the site"):
            settings = make_old_site(Path(name), users)
        for arguments in RUNS:
            with console.status(" ".join(arguments)):
                measured.append(_run(arguments, users, Path(name)))
        with console.status("replacing files"):
            measured.append(_replace_all(settings))
    record.tables.append(_table(measured, users))
    record.figures += [
        Figure(f"{number}: {run.name}", "s", [run.seconds])
        for number, run in enumerate(measured, 1)
    ]
    record.details["runs"] = [asdict(run) for run in measured]
    finish(console, record, output)


def _run(arguments: tuple[str, ...], users: int, folder: Path) -> Measured:
    command = [sys.executable, "-m", "gateway", *arguments]
    started = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603 (our own command)
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise click.ClickException(f"{' '.join(arguments)}: exit code {process.returncode}")
    cpu_seconds = usage.ru_utime + usage.ru_stime
    return Measured(" ".join(arguments), users, seconds, cpu_seconds, usage.ru_maxrss / 1024)


def _replace_all(settings: Settings) -> Measured:
    storage = PluginStorage(settings.plugins_dir)
    users = islice(storage.users_with_folder(), _SAMPLE)
    files = [storage.installations_file(user) for user in users]
    content = files[0].read_bytes()
    started, cpu_started = time.perf_counter(), time.process_time()
    for file in files:
        write_atomically(file, content)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    return Measured("files replaced in a loop", len(files), seconds, cpu_seconds, 0.0)


def _table(measured: list[Measured], users: int) -> Table:
    rows = [
        [
            run.name,
            f"{run.seconds:.1f}",
            f"{run.cpu_seconds:.1f}",
            f"{run.users / run.seconds:,.0f}",
            f"{run.memory_mib:.0f}" if run.memory_mib else "",
        ]
        for run in measured
    ]
    columns = ("run", "seconds", "CPU seconds", "users/s", "MiB")
    return Table(f"{users:,} users with two plugins each", columns, rows)
