"""`python -m benchmarks migration`: commands that look at all users, on an old site."""

import time
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import click
import orjson

from benchmarks.benchmark import Plan, Run, benchmark
from benchmarks.processes import usage_of
from benchmarks.record import Figure, Table
from benchmarks.sites import Population, Site
from gateway.disk.files import write_atomically
from gateway.disk.storage import PluginStorage
from gateway.names import Slug

COMMANDS = (
    ("migrate",),
    ("migrate", "--apply", "--write-missing"),
    ("migrate", "--apply", "--write-missing"),
    ("doctor",),
)
# Each file is synced: 90,000 would take a quarter of an hour.
_SAMPLE = 5_000
_USERS, _QUICK_USERS = 100_000, 500
# Every tenth user has rows but no file, as on a site where only some were migrated before.
_WITHOUT_FILE = 10


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one command."""

    name: str
    users: int
    seconds: float
    cpu_seconds: float
    memory_mib: float


class OldSite(Site):
    """Files in the old format, which agree with the rows."""

    def _installations(self, number: int) -> bytes | None:
        if number % _WITHOUT_FILE == 0:
            return None
        plugins = self.population.plugins_of(number)
        return orjson.dumps({slug: _old_entry(slug, version) for slug, version in plugins})


def _old_entry(slug: Slug, version: str) -> dict[str, Any]:
    return {
        "version": version,
        "shared_path": f"/srv/plugins/shared/{slug}/v{version}",
        "installed_at": "2025-06-16T10:11:12.131415",
        "enabled": True,
        "user_config": {},
        "installation_metadata": {"installation_type": "migrated"},
    }


@benchmark(
    Plan(
        quick="Ten seconds, to see that it works.",
        packages=("aiosqlite", "orjson", "filelock"),
    )
)
@click.option("--users", type=click.IntRange(1), help="How many users; 100,000, quick 500.")
def migration(run: Run, users: int | None) -> None:
    """Seconds and memory of `gateway migrate` and `gateway doctor` for many users, SQLite.

    Beside them files replaced in a loop, atomically, and nothing else.
    """
    users = users or (_QUICK_USERS if run.quick else _USERS)
    run.describe(users=users)
    site = OldSite(run.folder / "site", Population(users, 2, 2, plugins=2))
    run.show("making the site")
    site.make(run.tell)
    measured = []
    for arguments in COMMANDS:
        name = " ".join(arguments)
        run.show(name)
        # The commands have the whole machine, as an operator gives it to them.
        cores = (*run.cores.all_servers, run.cores.load)
        usage = usage_of(site.command(*arguments), cores, run.folder)
        measured.append(Measured(name, users, **asdict(usage)))
    run.show("replacing files")
    measured.append(_replace_files(site))
    run.record.tables.append(_table(measured, users))
    run.record.figures += [
        Figure(f"{number}: {each.name}", "s", [each.seconds])
        for number, each in enumerate(measured, 1)
    ]


def _replace_files(site: Site) -> Measured:
    """The cost of the writes alone."""
    storage = PluginStorage(site.plugins)
    users = islice(storage.users.ids(), _SAMPLE)
    files = [storage.users.file(user) for user in users]
    content = files[0].read_bytes()
    started, cpu_started = time.perf_counter(), time.process_time()
    for file in files:
        write_atomically(file, content)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    return Measured("files replaced in a loop", len(files), seconds, cpu_seconds, 0.0)


def _table(measured: list[Measured], users: int) -> Table:
    rows = [
        [
            each.name,
            f"{each.seconds:.1f}",
            f"{each.cpu_seconds:.1f}",
            f"{each.users / each.seconds:,.0f}",
            f"{each.memory_mib:.0f}" if each.memory_mib else "",
        ]
        for each in measured
    ]
    columns = ("run", "seconds", "CPU seconds", "users/s", "MiB")
    return Table(f"{users:,} users with two plugins each", columns, rows)
