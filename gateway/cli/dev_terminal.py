"""What a developer reads while `gateway dev` runs: where to look, and a line for each build."""

import threading
from collections.abc import Callable, Iterator
from typing import Final

import click

from gateway.development.developed_plugin import DevelopedPlugin, SeenBuild
from gateway.development.plugin_folder import PluginFolder
from gateway.errors import PublishingError
from gateway.lint.findings import Code
from gateway.lint.linting import LintReport
from gateway.names import Slug, Version, printable
from gateway.upkeep.findings import Severity

# What is meant to be so while somebody develops, and what compares with what is published.
_UNTOLD: Final = {Code.DEVELOPMENT_BUILD, Code.EVAL_SOURCE_MAP, Code.GROWN}


class Terminal:
    def __init__(
        self, plugin: DevelopedPlugin, folder: PluginFolder, address: str, page: str | None
    ) -> None:
        """`page`: path and query of the host page; None: there is none of ours."""
        self.lint: Callable[[Version], LintReport] | None = None
        """What `gateway lint` says of a build. Blocking."""
        self._plugin = plugin
        self._folder = folder
        self._stated_slug = _stated_slug(folder)
        self._address = address
        self._page = page
        self._is_announced = False
        self._linting = threading.Lock()
        self._known: frozenset[str] = frozenset()
        """The warnings about the build before: they are not repeated."""

    def announce(self) -> None:
        plugin = self._plugin
        click.echo(
            f"gateway dev runs at {self._address}{self._page or '/'} (Ctrl-C ends it)\n"
            f"user {plugin.user} gets {plugin.slug} from"
            f" {plugin.dev_server or self._folder.path}; nobody else does,"
            " and nothing is published"
        )
        if self._page is None:
            script = f"{self._address}/-/dev/reload.js"
            click.echo(f'your page reloads by itself with <script src="{script}"></script>')
        self._is_announced = True
        for build in plugin.builds:
            self.report(build, 0)
        if not plugin.builds and plugin.dev_server is None:
            click.echo(f"waiting for the first build of {plugin.slug}: {self._folder.missing()}")

    def report(self, build: SeenBuild, told: int) -> None:
        """The builds before the announcement are reported after it."""
        if not self._is_announced:
            return
        click.echo(_line(self._plugin, build, told))
        if build.version is not None:  # in a thread, since it reads all scripts: pages do not wait
            threading.Thread(target=self._warn, args=(build.version,), daemon=True).start()

    def _warn(self, version: Version) -> None:
        with self._linting:
            if self.lint is None or self._plugin.current is None:
                return
            if self._plugin.current.version != version:  # a later build is reported soon
                return
            try:
                findings = self.lint(version).findings
            except (PublishingError, OSError):  # the build has been served: it is no reason to end
                return
            told = (it for it in findings if it.severity is not Severity.NOTE)
            warnings = [printable(it.sentence) for it in told if it.code not in _UNTOLD]
            warnings += self._renaming()
            for warning in warnings:
                if warning not in self._known:
                    click.echo(f"warning: {warning}")
            self._known = frozenset(warnings)

    def _renaming(self) -> Iterator[str]:
        """The slug is in URLs and rows: it is read once."""
        now = _stated_slug(self._folder)
        if now not in (None, self._stated_slug, self._plugin.slug):
            yield (
                f"plugin.json: the plugin is called {now} now, and is still served as"
                f" {self._plugin.slug}: start gateway dev again"
            )


def _stated_slug(folder: PluginFolder) -> Slug | None:
    try:
        return folder.slug()
    except (PublishingError, OSError):
        return None


def _line(plugin: DevelopedPlugin, build: SeenBuild, told: int) -> str:
    what = f"build {build.number} of {plugin.slug}"
    if build.problem is not None:
        kept = f"build {plugin.current.number} stays" if plugin.current else "there is no other"
        return f"{what} is refused, {kept}: {printable(build.problem)}"
    seen = (
        "found in the folder"
        if build.seen_after_s is None
        else f"seen {build.seen_after_s * 1000:.0f} ms after its last file"
    )
    pages = "1 page was told" if told == 1 else f"{told} pages were told"
    return f"{what}, {build.files} files, {build.size_bytes / 1000:.0f} kB, {seen}; {pages}"
