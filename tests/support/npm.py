"""Plugins of `gateway new`, built by npm: packages are installed once for all tests."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

from filelock import FileLock

from gateway.names import Slug
from gateway.upkeep.new_plugin import make_plugin
from tests.support.background import Background, in_background

NPM_SETTINGS = {
    **{f"npm_config_{name}": "false" for name in ("audit", "fund", "update_notifier")},
    "npm_config_loglevel": "error",
    "npm_config_prefer_offline": "true",
    "npm_config_fetch_retry_mintimeout": "1000",
    "npm_config_fetch_retry_maxtimeout": "5000",  # a minute by default
    "NO_COLOR": "1",
}
NO_REGISTRY = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH")
DEADLINE_S = 120.0
"""Of an installation or a build, on a machine that is busy with other tests."""
BUILT = {"webpack": r"compiled successfully", "vite": r"built in \d+"}
"""What `npm run watch` prints after each build."""
SERVES = {"webpack": BUILT["webpack"], "vite": r"ready in"}
"""What `npm run dev` prints when it answers."""
DEV_SERVER_PORT = "5180"
"""In the templates. Tests that run a dev server take another one."""


class Plugin:
    """A plugin's folder whose packages are installed."""

    def __init__(self, folder: Path, bundler: str) -> None:
        self.folder = folder
        self.bundler = bundler
        self.slug = folder.name
        self.component = folder / "src" / f"{folder.name}.jsx"

    def build(self) -> None:
        outcome = _npm(self.folder, "run", "build")
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr

    def running(self, script: str) -> AbstractContextManager[Background]:
        """`npm run script`, until the block ends."""
        return in_background(["npm", "run", script], self.folder, {**os.environ, **NPM_SETTINGS})

    def replace(self, old: str, new: str) -> None:
        """An edit of the component."""
        text = self.component.read_text()
        assert old in text
        self.component.write_text(text.replace(old, new))

    def serve_at(self, port: int) -> None:
        """Sets the port of the dev server."""
        for file in self.folder.glob("*.js"):
            file.write_text(file.read_text().replace(DEV_SERVER_PORT, str(port)))

    def copy(self, parent: Path) -> "Plugin":
        """Another folder of the plugin, not built; the packages are shared."""
        folder = parent / self.slug
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
        (folder / "node_modules").symlink_to(self.folder / "node_modules")
        return Plugin(folder, self.bundler)

    def lend_packages(self, folder: Path) -> None:
        """`npm install` in the folder then has nothing to fetch."""
        shutil.copytree(
            self.folder / "node_modules",
            folder / "node_modules",
            symlinks=True,
            ignore=shutil.ignore_patterns(".vite*"),  # which other tests write meanwhile
            copy_function=os.link,
        )
        shutil.copy(self.folder / "package-lock.json", folder)


def installed_plugins(folder: Path, names: Mapping[str, str]) -> Mapping[str, Plugin] | None:
    """A new plugin for each bundler, by bundler; None if npm finds no registry.

    `names`: of the plugins, by bundler. Processes that ask for the same folder share what the
    first of them installs there.
    """
    plugins = {bundler: Plugin(folder / name, bundler) for bundler, name in names.items()}
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
                made = Path(unfinished) / folder.name
                if not _install_new(made, names):
                    return None
                made.rename(folder)
    return plugins


def _install_new(parent: Path, names: Mapping[str, str]) -> bool:
    """Returns False if npm finds no registry."""
    parent.mkdir()
    folders = [make_plugin(parent, Slug(name), bundler) for bundler, name in names.items()]
    with ThreadPoolExecutor() as threads:
        outcomes = list(threads.map(lambda folder: _npm(folder, "install"), folders))
    for outcome in outcomes:
        if outcome.returncode and NO_REGISTRY.search(outcome.stderr):
            return False
        assert outcome.returncode == 0, outcome.stderr
    return True


def _npm(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["npm", *arguments], cwd=folder, env={**os.environ, **NPM_SETTINGS}, capture_output=True,
        text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
