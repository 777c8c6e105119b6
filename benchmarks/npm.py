"""Packages of the npm registry, fetched once and kept in a folder outside of the checkout."""

import os
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import CannotMeasure

_QUIET = {
    **{f"npm_config_{name}": "false" for name in ("audit", "fund", "update_notifier")},
    "npm_config_loglevel": "error",
    "npm_config_fetch_retries": "1",
    "NO_COLOR": "1",
}
_DEADLINE_S = 300.0


@dataclass(frozen=True, slots=True)
class Package:
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    def read(self, path: str) -> bytes:
        """A file of the package. Raises: CannotMeasure."""
        archive = kept_folder() / f"{self.name}-{self.version}.tgz"
        if not archive.exists():
            npm(kept_folder(), "pack", str(self))
        with tarfile.open(archive) as files:
            file = files.extractfile(f"package/{path}")
            if file is None:
                raise CannotMeasure(f"{self}: {path} is not a file")
            return file.read()


def kept_folder() -> Path:
    """Where packages are kept, `plugin-gateway-benchmarks` in the user's cache; made if missing."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "plugin-gateway-benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def npm(folder: Path, *arguments: str) -> None:
    """Runs npm in the folder. Raises: CannotMeasure, with its last words."""
    try:
        _run(folder, "npm", *arguments)
    except CannotMeasure as error:
        raise CannotMeasure(
            "The first run needs npm and its registry; what it fetches is kept in"
            f" {kept_folder()}. {error}"
        ) from None


def run_node(folder: Path, script: Path, *arguments: object) -> None:
    """Runs a script in the folder. Raises: CannotMeasure, with its last words."""
    _run(folder, "node", str(script), *map(str, arguments))


def _run(folder: Path, *command: str) -> None:
    try:
        ended = subprocess.run(  # noqa: S603 (commands of our own)
            command,
            cwd=folder,
            env={**os.environ, **_QUIET},
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotMeasure(f"{' '.join(command)}: {error}") from None
    if ended.returncode:
        said = " ".join((ended.stderr or ended.stdout).split())[-400:]
        raise CannotMeasure(f"{' '.join(command)} failed: {said}")
