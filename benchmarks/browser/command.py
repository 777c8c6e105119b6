"""`python -m benchmarks browser`: page loads of Chromium, over a slow and a fast line."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import brotli
import click
import orjson
from playwright.sync_api import Browser, BrowserContext

from benchmarks.benchmark import Plan, Run, benchmark
from benchmarks.browser.chromium import chromium, trusting
from benchmarks.browser.contestants import Certificate, Contestant, start_contestants
from benchmarks.browser.lines import Line, Lines, Speed, shaped_lines
from benchmarks.browser.plugins import NEW, OLD, PLUGINS, QUICK_PLUGINS, build_all
from benchmarks.browser.results import Results, Visit, note
from benchmarks.browser.site import BrowserSite
from benchmarks.browser.visits import UPGRADE, VISITS, Loaded, load
from benchmarks.client import ask, browser_headers
from benchmarks.machine import CannotMeasure
from benchmarks.processes import Servers
from benchmarks.serve.rounds import in_turn
from gateway.names import Version

SLOW = Speed("1.6 Mbit/s, 150 ms", 1.6e6, 0.15)
FAST = Speed("20 Mbit/s, 40 ms", 20e6, 0.04)
_ROUNDS, _QUICK_ROUNDS = 5, 1
_MANIFEST_PATH = "/api/v1/plugins/manifest/designer"
_NEWS_DEADLINE_S, _POLL_S = 30.0, 0.1


@benchmark(
    Plan(
        quick="Half a minute, to see that it works: two plugins, one round, the fast line.",
        packages=("playwright", "uvicorn", "brotli", "zstandard"),
        programs=("chromium", "nginx", "caddy", "npm"),
        required=("chromium", "npm"),
    )
)
@click.option("--rounds", type=click.IntRange(1), help="Times that all is loaded; 5, quick 1.")
def browser(run: Run, rounds: int | None) -> None:
    """Page loads of Chromium over a shaped line, first, second, and after a patch upgrade.

    The full run takes about ten minutes. At the first one npm fetches packages, and webpack
    builds plugins of them: a minute or two more. Leave the machine alone meanwhile.
    """
    rounds = rounds or (_QUICK_ROUNDS if run.quick else _ROUNDS)
    plugins, speeds = (QUICK_PLUGINS, [FAST]) if run.quick else (PLUGINS, [SLOW, FAST])
    run.describe(rounds=rounds, plugins=len(plugins), lines=" and ".join(map(str, speeds)))
    run.show("building plugins", total=2 * len(plugins))
    build_all(plugins, run.advance)
    run.show("publishing")
    # A user for each sequence of visits, of which each server has one to warm up.
    site = BrowserSite(run.folder / "site", 8 * (1 + rounds * len(speeds)), plugins)
    certificate = Certificate(run.folder)
    program = shutil.which("chromium") or ""
    with ExitStack() as stack:
        servers = stack.enter_context(Servers(run.cores.server, run.folder))
        absent: list[str] = []
        contestants = start_contestants(servers, site, certificate, absent)
        for line in absent:
            run.record.remark(f"skipped: {line}")
        started = stack.enter_context(chromium(program, *trusting(certificate.pin)))
        measuring = _Measuring(run, site, started)
        lines = stack.enter_context(shaped_lines())
        measuring.measure_all(contestants, _open_all(lines, contestants, speeds), rounds)
    note(run.record, measuring.results, speeds, SLOW, doubt="a quick run" if run.quick else "")


def _open_all(
    lines: Lines, contestants: Sequence[Contestant], speeds: Sequence[Speed]
) -> Mapping[Speed, Mapping[Contestant, Line]]:
    return {
        speed: {contestant: lines.open(speed, contestant.port) for contestant in contestants}
        for speed in speeds
    }


class _Measuring:
    """All page loads of one run. Each sequence of visits is another user's, in a new profile."""

    def __init__(self, run: Run, site: BrowserSite, browser: Browser) -> None:
        self._run = run
        self._site = site
        self._browser = browser
        self._users = iter(range(site.population.users))
        self._br = _br_sizes(site)
        self.results = Results()

    def measure_all(
        self,
        contestants: Sequence[Contestant],
        lines: Mapping[Speed, Mapping[Contestant, Line]],
        rounds: int,
    ) -> None:
        self._run.show("", total=len(contestants) * (1 + rounds * len(lines)))
        for contestant in contestants if not self._run.quick else ():
            self._run.show_step(f"warming up {contestant.name}")
            self._visit_thrice(contestant, contestant.port, lambda _visit, _loaded: None)
        for number in range(1, rounds + 1):
            for speed, of_speed in lines.items():
                for contestant in in_turn(contestants, number):
                    self._run.show_step(f"round {number}: {speed}, {contestant.name}")
                    self._measure(contestant, speed, of_speed[contestant], number)

    def _measure(self, contestant: Contestant, speed: Speed, line: Line, number: int) -> None:
        before = line.bytes

        def add(visit: str, loaded: Loaded) -> None:
            nonlocal before
            line.hang_up()
            share = self._share_of_br(loaded, _version_at(visit))
            self.results.add(
                Visit(speed, contestant.name, visit, number, loaded, line.bytes - before, share)
            )
            before = line.bytes

        self._visit_thrice(contestant, line.port, add)

    def _visit_thrice(
        self, contestant: Contestant, port: int, add: Callable[[str, Loaded], None]
    ) -> None:
        user = next(self._users)
        token = self._site.token(user)
        url = contestant.page(port, token)
        context = self._browser.new_context()
        try:
            for visit in VISITS:
                if visit == UPGRADE:
                    self._upgrade(contestant, user, token)
                add(visit, self._load(context, url, visit))
        except CannotMeasure as error:
            self._run.record.failures.append(f"{contestant.name}: {error}")
        finally:
            context.close()
            self._run.advance()

    def _load(self, context: BrowserContext, url: str, visit: str) -> Loaded:
        texts = [plugin.text(_version_at(visit)) for plugin in self._site.built]
        return load(context, url, texts)

    def _upgrade(self, contestant: Contestant, user: int, token: str) -> None:
        """Returns when the manifest has the new versions. Raises: CannotMeasure."""
        self._site.upgrade(user)
        headers = browser_headers(token, "identity")
        until = time.monotonic() + _NEWS_DEADLINE_S
        while time.monotonic() < until:
            answer = ask(contestant.manifest_port, _MANIFEST_PATH, headers)
            if {plugin["version"] for plugin in orjson.loads(answer.content).values()} == {NEW}:
                return
            time.sleep(_POLL_S)
        raise CannotMeasure("the manifest does not show the upgrade")

    def _share_of_br(self, loaded: Loaded, version: Version) -> float:
        """Bytes of the answers with files, of those of the files in br."""
        paths = [PurePosixPath(urlsplit(url).path) for url in loaded.file_urls]
        # The lists of hashes of a pin are in the answers, and are no files.
        in_br = sum(self._br.get((_plugin_of(path), version, path.name), 0) for path in paths)
        return loaded.file_bytes / in_br if in_br else 0.0


def _version_at(visit: str) -> Version:
    return NEW if visit == UPGRADE else OLD


def _plugin_of(path: PurePosixPath) -> str:
    """The slug in /api/v1/public/plugins/<user>_<slug>/…"""
    return path.parts[5].partition("_")[2]


def _br_sizes(site: BrowserSite) -> Mapping[tuple[str, Version, str], int]:
    """By plugin, version and name of the file, as the gateway encodes."""
    return {
        (plugin.slug, version, file.name): len(brotli.compress(file.read_bytes(), quality=11))
        for plugin in site.built
        for version in (OLD, NEW)
        for file in (plugin.source(version) / "dist").glob("*.js")
    }
