"""Plugins of `gateway new`, built by npm: packages are installed once for all tests."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.names import Slug
from gateway.upkeep.new_plugin import make_plugin
from tests.support.waiting import eventually

_ENVIRONMENT = {
    **{f"npm_config_{name}": "false" for name in ("audit", "fund", "update_notifier")},
    "npm_config_loglevel": "error",
    "npm_config_prefer_offline": "true",
    "npm_config_fetch_retry_mintimeout": "1000",
    "npm_config_fetch_retry_maxtimeout": "5000",  # a minute by default
    "NO_COLOR": "1",
}
_NO_REGISTRY = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH")
BUILD_DEADLINE_S = 120.0
"""Of an installation or a build, on a machine that is busy with other tests."""


@dataclass
class Script:
    """`npm run …` that goes on until it is stopped."""

    process: "subprocess.Popen[str]"
    output: list[str] = field(default_factory=list)

    def wait_for(self, pattern: str, count: int = 1) -> None:
        """Until the pattern occurs so often in what was printed."""
        eventually(
            lambda: "".join(self.output),
            lambda text: self._is_alive() and len(re.findall(pattern, text)) >= count,
            BUILD_DEADLINE_S,
        )

    def _is_alive(self) -> bool:
        assert self.process.poll() is None, "".join(self.output)
        return True


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

    def replace(self, old: str, new: str) -> None:
        """An edit of the component."""
        text = self.component.read_text()
        assert old in text
        self.component.write_text(text.replace(old, new))

    def set_version(self, version: str) -> None:
        file = self.folder / "plugin.json"
        file.write_text(json.dumps({**json.loads(file.read_bytes()), "version": version}))

    def copy(self, parent: Path) -> "Plugin":
        """Another folder of the plugin; the packages are shared."""
        folder = parent / self.slug
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
        (folder / "node_modules").symlink_to(self.folder / "node_modules")
        return Plugin(folder, self.bundler)

    @contextmanager
    def running(self, script: str) -> Iterator[Script]:
        """`npm run script` in the background; all its processes end with the block."""
        process = subprocess.Popen(
            ["npm", "run", script], cwd=self.folder, env={**os.environ, **_ENVIRONMENT},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        running = Script(process)
        output = process.stdout or ()
        reader = threading.Thread(target=running.output.extend, args=(output,), daemon=True)
        reader.start()
        try:
            yield running
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            reader.join()
            if process.stdout:
                process.stdout.close()


def installed_plugins(parent: Path, names: Mapping[str, str]) -> Mapping[str, Plugin] | None:
    """A new plugin for each bundler, by bundler; None if npm finds no registry.

    `names`: of the plugins, by bundler.
    """
    folders = {bundler: make_plugin(parent, Slug(name), bundler) for bundler, name in names.items()}
    with ThreadPoolExecutor() as threads:
        outcomes = list(threads.map(_install, folders.values()))
    for outcome in outcomes:
        if outcome.returncode and _NO_REGISTRY.search(outcome.stderr):
            return None
        assert outcome.returncode == 0, outcome.stderr
    return {bundler: Plugin(folder, bundler) for bundler, folder in folders.items()}


def _install(folder: Path) -> "subprocess.CompletedProcess[str]":
    return _npm(folder, "install")


def _npm(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["npm", *arguments], cwd=folder, env={**os.environ, **_ENVIRONMENT}, capture_output=True,
        text=True, timeout=BUILD_DEADLINE_S, check=False,
    )  # fmt: skip
