"""Plugins that are built from npm packages by webpack, at two versions that differ by a patch."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import astuple, dataclass
from pathlib import Path

import orjson

from benchmarks.npm import kept_folder, npm, run_node
from gateway.names import Slug, Version

OLD, NEW = Version("1.0.0"), Version("1.0.1")
_TOOLS = {"webpack": "5.113.0", "@module-federation/enhanced": "2.9.3"}
# Most of the time they wait for the registry.
_AT_ONCE = 4
_SCRIPT = Path(__file__).with_name("build.mjs")
_BOARD = """\
import {{ createElement }} from "react";
import * as library from "{package}";

export {{ library }};
export default () => createElement("p", {{}}, "{slug} {version}: " + Object.keys(library).length);
"""


@dataclass(frozen=True, slots=True)
class BuiltPlugin:
    slug: Slug
    package: str
    old: str
    new: str
    """The package's version in the plugin's OLD and NEW."""
    bundle: str
    """How it is built: see build.mjs."""

    def text(self, version: Version) -> str:
        """What the component shows begins with this."""
        return f"{self.slug} {version}:"

    def source(self, version: Version) -> Path:
        """The folder to publish, built if it is not kept from before. Raises: CannotMeasure."""
        script = _SCRIPT.read_bytes()
        key = hashlib.sha256(repr((astuple(self), version, _TOOLS, _BOARD, script)).encode())
        kept = kept_folder() / f"{self.slug}-{version}-{key.hexdigest()[:12]}"
        if not kept.exists():
            with tempfile.TemporaryDirectory(dir=kept_folder()) as name:
                folder = Path(name) / self.slug
                folder.mkdir()
                self._build(folder, version)
                folder.rename(kept)
        return kept

    def _build(self, folder: Path, version: Version) -> None:
        package = {"private": True, "dependencies": {self.package: self._package(version)}}
        metadata = {
            **dict.fromkeys(("slug", "name", "scope"), self.slug),
            "version": version,
            "bundle": self.bundle,
            "bundle_location": "dist/remoteEntry.js",
            "modules": [{"name": "Board"}],
        }
        (folder / "package.json").write_bytes(orjson.dumps(package))
        (folder / "plugin.json").write_bytes(orjson.dumps(metadata))
        names = {"package": self.package, "slug": self.slug, "version": version}
        (folder / "board.js").write_text(_BOARD.format(**names))
        npm(folder, "install", "--no-package-lock")
        run_node(_tools(), _SCRIPT, folder)
        # Only what is published may be left.
        shutil.rmtree(folder / "node_modules")
        for name in ("package.json", "board.js"):
            (folder / name).unlink()

    def _package(self, version: Version) -> str:
        return self.old if version == OLD else self.new


PLUGINS = (
    BuiltPlugin(Slug("Charts"), "chart.js", "4.4.6", "4.4.7", "manifest"),
    BuiltPlugin(Slug("Views"), "vue", "3.5.12", "3.5.13", "manifest"),
    BuiltPlugin(Slug("Diagrams"), "echarts", "5.5.0", "5.5.1", "chunks"),
    BuiltPlugin(Slug("Lists"), "lodash", "4.17.20", "4.17.21", "single"),
    BuiltPlugin(Slug("Texts"), "marked", "14.1.2", "14.1.3", "single"),
)

QUICK_PLUGINS = (PLUGINS[1], PLUGINS[4])


def build_all(plugins: Sequence[BuiltPlugin], done: Callable[[], None]) -> None:
    """Blocking: minutes at the first time. Raises: CannotMeasure."""
    _tools()
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        builds = [
            threads.submit(each.source, version) for each in plugins for version in (OLD, NEW)
        ]
        for build in as_completed(builds):
            build.result()
            done()


def _tools() -> Path:
    """The folder in which webpack is installed."""
    key = hashlib.sha256(repr(_TOOLS).encode()).hexdigest()[:12]
    folder = kept_folder() / f"tools-{key}"
    if not (folder / "node_modules" / ".package-lock.json").exists():
        folder.mkdir(exist_ok=True)
        manifest = {"private": True, "dependencies": _TOOLS}
        (folder / "package.json").write_bytes(orjson.dumps(manifest))
        npm(folder, "install", "--no-package-lock")
    return folder
