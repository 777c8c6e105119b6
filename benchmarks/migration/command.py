"""`python -m benchmarks migration`: options in; a table and a file out."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks.machine import commit, describe_machine, load_average, versions
from benchmarks.migration.site import make_old_site
from gateway.settings import Settings
from gateway.storage import PluginStorage, write_atomically

RUNS = (
    ("migrate",),
    ("migrate", "--apply", "--write-missing"),
    ("migrate", "--apply", "--write-missing"),
    ("doctor",),
)
# One after the other waits for the disk each time: 90,000 would take a quarter of an hour.
_SAMPLE = 5_000


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one command."""

    name: str
    users: int
    seconds: float
    cpu_seconds: float
    memory_mib: float


@click.command()
@click.option(
    "--users", type=click.IntRange(1), default=100_000, show_default=True, help="How many users."
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("benchmark-results"),
    show_default=True,
    help="Folder for migration.json and migration.txt.",
)
def migration(users: int, output: Path) -> None:
    """Seconds and memory of `gateway migrate` and `gateway doctor` for many users, SQLite.

    Beside them files replaced in a loop, atomically, and nothing else.
    """
    console = Console(record=True, width=100, highlight=False)
    before = load_average()
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        with console.status("making the site"):
            settings = make_old_site(Path(name), users)
        measured = []
        for arguments in RUNS:
            with console.status(" ".join(arguments)):
                measured.append(_run(arguments, users, Path(name)))
        with console.status("replacing files"):
            measured.append(_replace_all(settings))
    facts = {
        "command": "migration",
        "commit": commit(),
        "machine": describe_machine(),
        "versions": versions(("aiosqlite", "orjson", "filelock"), ()),
        "users": users,
        "load_average_before": before,
        "load_average_after": load_average(),
    }
    console.print(_table(measured, users))
    for key in ("commit", "machine", "load_average_before", "load_average_after"):
        console.print(f"{key}: {facts[key]}", style="dim")
    output.mkdir(parents=True, exist_ok=True)
    (output / "migration.txt").write_text(console.export_text())
    record = {**facts, "runs": [asdict(run) for run in measured]}
    (output / "migration.json").write_text(json.dumps(record, indent=1) + "\n")


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
    table = Table(title=f"{users:,} users with two plugins each")
    table.add_column("run", no_wrap=True)
    for name in ("seconds", "CPU seconds", "users/s", "MiB"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in measured:
        table.add_row(
            run.name,
            f"{run.seconds:.1f}",
            f"{run.cpu_seconds:.1f}",
            f"{run.users / run.seconds:,.0f}",
            f"{run.memory_mib:.0f}" if run.memory_mib else "",
        )
    return table
