"""The machine of a run: its facts, its cores, its clocks.

The server has one core, the load generator and this process another. If both shared a core, or
wandered, the ratio of two servers would say more about the scheduler than about them.
"""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

_PROGRAM_VERSION = {
    "caddy": ("caddy", "version"),
    "chromium": ("chromium", "--version"),
    "nginx": ("nginx", "-v"),
    "npm": ("npm", "--version"),
    "wrk": ("wrk", "-v"),
}
_VERSION = re.compile(r"\d+(?:\.\d+)+")
# psutil names these where the system has them; processes are charged for their interrupts too.
_BUSY_STATES = ("user", "nice", "system", "irq", "softirq", "steal")


class CannotMeasure(Exception):
    """The run must end: the text says in one line why."""


@dataclass(frozen=True, slots=True)
class Cores:
    server: int
    load: int
    all_servers: tuple[int, ...] = ()
    """For a server of several processes: all but the load's."""


def choose_cores() -> Cores:
    """The first and the last core that this process may use. Raises: CannotMeasure."""
    if not hasattr(os, "sched_setaffinity"):
        raise CannotMeasure("this system cannot pin processes to cores; measure on Linux")
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise CannotMeasure("this process may use one core only; measuring takes two")
    return Cores(server=usable[0], load=usable[-1], all_servers=tuple(usable[:-1]))


@contextmanager
def pinned_to(*cores: int) -> Iterator[None]:
    """Processes that this thread starts in the block run on `cores` from their first instruction.

    Before the start, not after: Go sets its number of threads from the cores it finds.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def describe_machine() -> dict[str, object]:
    """Facts of the hardware and the system, without names of hosts or users; memory in GiB."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def versions(packages: Collection[str], programs: Collection[str]) -> dict[str, str]:
    """Versions by name; what is not installed is left out."""
    versions: dict[str, str] = {}
    for name in packages:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    for name in programs:
        if shutil.which(name):
            match = _VERSION.search(_output(*_PROGRAM_VERSION[name]))
            versions[name] = match[0] if match else "unknown"
    return versions


def commit() -> str:
    """The checkout's commit, with `+` if files have changed since; empty outside of a checkout."""
    folder = Path(__file__).parent
    return _output("git", "-C", str(folder), "describe", "--always", "--dirty=+").strip()


def load_average() -> float:
    """Processes that wanted a core, over the last minute. Ours are about 2 during a run."""
    return round(os.getloadavg()[0], 2)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its workers, in user mode and in the kernel, since their start."""
    process = psutil.Process(pid)
    times = [member.cpu_times() for member in (process, *process.children(recursive=True))]
    return float(sum(time.user + time.system for time in times))


def others_cpu_seconds(cores: Cores) -> float:
    """CPU time that the two cores gave to whatever is no part of the benchmark.

    Servers that stand by belong to the benchmark; what a host took from its virtual machine and
    interrupts do not.
    """
    percpu = psutil.cpu_times(percpu=True)
    both = sum(
        getattr(percpu[core], state, 0.0)
        for core in (cores.server, cores.load)
        for state in _BUSY_STATES
    )
    process = psutil.Process()
    times = [member.cpu_times() for member in (process, *process.children(recursive=True))]
    # The fields `children_…` count children that have ended.
    own = sum(time.user + time.system + time.children_user + time.children_system for time in times)
    return float(both - own)


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1] if match else platform.processor()


def _output(*arguments: str) -> str:
    try:
        ended = subprocess.run(arguments, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return ""
    return ended.stdout + ended.stderr
