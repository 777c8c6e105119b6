"""`python -m benchmarks resources`: options in; table, verdicts and files out."""

import tempfile
from pathlib import Path

import click
from rich.progress import Progress

from benchmarks.fresh_process import in_fresh_process
from benchmarks.promises import judge
from benchmarks.record import Figure, Record, Table
from benchmarks.resources.managers import own_bytes, shared_bytes
from benchmarks.resources.site import (
    allocated_bytes,
    copy_to_each,
    publish_all,
    write_installations,
)
from benchmarks.running import (
    finish,
    gather_facts,
    new_console,
    on_two_cores,
    output_option,
    progress,
    quick_option,
    show_facts,
)
from gateway.disk.storage import PluginStorage

_PROMISED_USERS = 1_000
_MEMORY, _DISK = 0.998, 0.98


@click.command()
@click.option("--users", type=click.IntRange(1), help="Who have every plugin; 1,000, quick 50.")
@quick_option("A few seconds, to see that it works.")
@output_option
def resources(users: int | None, quick: bool, output: Path) -> None:
    """Memory and disk of shared versions, against those of a copy for each user.

    Both are measured: objects are loaded and counted, files are copied and their blocks added
    up. 1,000 users take a minute and 2 GB of disk for as long.
    """
    users = users or (50 if quick else _PROMISED_USERS)
    console = new_console()
    with on_two_cores() as cores, progress(console) as bar:
        record = Record("resources", gather_facts((), (), {"users": users}))
        show_facts(console, record.facts)
        with tempfile.TemporaryDirectory(prefix="benchmarks-") as temporary:
            _measure(Path(temporary), users, cores.server, bar, record)
    finish(console, record, output)


def _measure(folder: Path, users: int, core: int, bar: Progress, record: Record) -> None:
    task = bar.add_task("publishing", total=None)
    storage = PluginStorage(folder / "plugins")
    versions = publish_all(storage, users, folder / "sources")
    write_installations(storage, users)

    bar.update(task, description="loading objects")
    memory = (
        in_fresh_process(core, shared_bytes, storage.root, users),
        in_fresh_process(core, own_bytes, storage.root, users),
    )

    def tell(done: int, total: int) -> None:
        bar.update(task, description="copying files", completed=done, total=total)

    copy_to_each(storage, users, folder / "copies", tell)
    # The shared side counts all that it keeps: encoded variants and the users' JSON too.
    disk = allocated_bytes(storage.root), allocated_bytes(folder / "copies")
    rows = []
    for name, promised, unit, (shared, own) in (
        ("lifecycle managers in memory", _MEMORY, "KiB", memory),
        ("files on disk", _DISK, "MiB", disk),
    ):
        divisor = 1024 if unit == "KiB" else 2**20
        saved = Figure(f"{name}: saved by sharing", "of 1", [1 - shared / own], True)
        record.figures.append(saved)
        record.figures.append(Figure(f"{name}: shared", unit, [shared / divisor]))
        record.figures.append(Figure(f"{name}: for each user", unit, [own / divisor]))
        place = f"{users:,} users, {len(versions)} versions"
        doubt = "" if users >= _PROMISED_USERS else f"promised of {_PROMISED_USERS:,} users"
        record.verdicts.append(judge(saved.name, promised, {place: saved.spread}, doubt=doubt))
        sizes = (f"{shared / divisor:,.1f} {unit}", f"{own / divisor:,.1f} {unit}")
        rows.append((name, *sizes, f"{100 * saved.rounds[0]:.2f} %"))
    columns = ("", "shared", "for each user", "saved")
    record.tables.append(Table(f"{users:,} users with ten plugins each", columns, rows))
