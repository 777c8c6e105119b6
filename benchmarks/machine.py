"""On what was measured: hardware, system, versions. No names of hosts, users or folders."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

_PROGRAM_VERSION = {
    "caddy": ("caddy", "version"),
    "nginx": ("nginx", "-v"),
    "wrk": ("wrk", "-v"),
}
_VERSION = re.compile(r"\d+(?:\.\d+)+")
# psutil names these where the system has them; processes are charged for their interrupts too.
_BUSY_STATES = ("user", "nice", "system", "irq", "softirq", "steal")


def describe_machine() -> dict[str, object]:
    """Facts of the hardware and the system; memory in GiB."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def versions(packages: Collection[str], programs: Collection[str]) -> dict[str, str]:
    """By name; what is not installed is left out."""
    found: dict[str, str] = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    for name in programs:
        if shutil.which(name):
            found[name] = _program_version(name)
    return found


def commit() -> str:
    """The checkout's, `+` where files have changed since; empty outside of a checkout."""
    folder = Path(__file__).parent
    described = _output("git", "-C", str(folder), "describe", "--always", "--dirty=+")
    return described.strip()


def load_average() -> float:
    """Processes that wanted a core, over the last minute. Ours are about 2 during a run."""
    return round(os.getloadavg()[0], 2)


def cpu_seconds(pid: int) -> float:
    """Of a process and its workers, in user mode and in the kernel, since their start."""
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


def own_cpu_seconds() -> float:
    """Of this process and of all that it started, those too that have ended."""
    process = psutil.Process()
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return float(
        sum(each.user + each.system + each.children_user + each.children_system for each in times)
    )


def core_cpu_seconds(core: int) -> float:
    """Of all processes and interrupts on a core, and what a host took from its virtual machine."""
    times = psutil.cpu_times(percpu=True)[core]
    return float(sum(getattr(times, name, 0.0) for name in _BUSY_STATES))


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor()


def _program_version(name: str) -> str:
    found = _VERSION.search(_output(*_PROGRAM_VERSION[name]))
    return found[0] if found else "unknown"


def _output(*arguments: str) -> str:
    try:
        ended = subprocess.run(arguments, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return ""
    return ended.stdout + ended.stderr
