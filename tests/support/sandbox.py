"""Runs a program as a systemd unit would: most of the disk is read-only, and root has no rights.

As for systemd itself, mounts in a namespace of their own do it, and of nested paths the most exact
one counts.
"""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence

import pytest

from tests.conftest import require_program

_WITHOUT_CAPABILITIES = (
    "setpriv --no-new-privs --inh-caps=-all --ambient-caps=-all --bounding-set=-all"
)


def read_unit(text: str) -> dict[str, list[str]]:
    """The values of each key of a unit, in order. An empty value is one too."""
    values: dict[str, list[str]] = {}
    for key, value in re.findall(r"(?m)^([A-Za-z]+)=(.*)$", text):
        values.setdefault(key, []).append(value)
    return values


def as_the_unit(unit: Mapping[str, Sequence[str]]) -> list[str]:
    """Runs what the unit runs before, and returns a command that starts another with the access to
    the disk that the unit gives it. The other command has the same process id.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    assert unit["ProtectSystem"] == ["strict"]
    for command in unit["ExecStartPre"]:
        subprocess.run(command.removeprefix("+"), shell=True, check=True)
    modes = {
        path: mode
        for key, mode in (("ReadWritePaths", "rw"), ("ReadOnlyPaths", "ro"))
        for path in " ".join(unit.get(key, ())).split()
    }
    mounts = [f"mount --bind {path} {path} && mount -o remount,bind,{modes[path]} {path}"
              for path in sorted(modes)]  # fmt: skip
    lines = ["mount --make-rprivate /", "mount -o remount,bind,ro /", *mounts]
    script = " && ".join([*lines, f'exec {_WITHOUT_CAPABILITIES} "$@"'])
    return [require_program("unshare"), "--mount", "sh", "-c", script, "sh"]
