"""`python -m benchmarks upgrade`: what an upgrade transfers, by coding, without a browser.

The files are those that authors of npm packages publish for browsers, at two versions each.
"""

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import brotli
import zstandard

from benchmarks.benchmark import Plan, Run, benchmark
from benchmarks.figures import spread_of
from benchmarks.npm import Package
from benchmarks.promises import PROMISES
from benchmarks.record import Figure, Record, Table
from gateway.disk.cache_folder import CacheFolder
from gateway.disk.differences import Differences

PROMISE = "upgrade_bytes"
DIFFERENCE = "dcz"
CODINGS = ("identity", "gzip", "br", "zstd", DIFFERENCE)
_KEPT_BYTES = 2**30
_COLORS = {"gzip": "C7", "br": "C0", "zstd": "C2", DIFFERENCE: "C3"}


@dataclass(frozen=True, slots=True)
class Pair:
    """A file of a package at two versions."""

    name: str
    old: str
    new: str
    path: str

    def __str__(self) -> str:
        return f"{self.name} {self.old} to {self.new}"

    @property
    def is_patch(self) -> bool:
        """Whether only the third number of the version differs."""
        return self.old.split(".")[:2] == self.new.split(".")[:2]

    def sizes(self, differences: Differences) -> dict[str, int]:
        """Bytes of the new file by coding, in the order of CODINGS. Raises: CannotMeasure."""
        old, new = (Package(self.name, each).read(self.path) for each in (self.old, self.new))
        digests = [sha256(content).digest() for content in (new, old)]
        difference = differences.make_now(new, digests[0], old, digests[1])
        coded = (
            new,
            gzip.compress(new, compresslevel=9, mtime=0),
            brotli.compress(new, quality=11),
            zstandard.ZstdCompressor(19).compress(new),
            new if difference is None else difference,
        )
        return dict(zip(CODINGS, map(len, coded), strict=True))


PAIRS = (
    Pair("marked", "14.1.2", "14.1.3", "marked.min.js"),
    Pair("lodash", "4.17.20", "4.17.21", "lodash.min.js"),
    Pair("dompurify", "3.2.3", "3.2.4", "dist/purify.min.js"),
    Pair("leaflet", "1.9.3", "1.9.4", "dist/leaflet.js"),
    Pair("vue", "3.5.12", "3.5.13", "dist/vue.global.prod.js"),
    Pair("chart.js", "4.4.6", "4.4.7", "dist/chart.umd.js"),
    Pair("d3", "7.8.4", "7.8.5", "dist/d3.min.js"),
    Pair("three", "0.160.0", "0.160.1", "build/three.module.min.js"),
    Pair("echarts", "5.5.0", "5.5.1", "dist/echarts.min.js"),
    Pair("react-dom", "18.2.0", "18.3.1", "umd/react-dom.production.min.js"),
)
_QUICK = 3


@benchmark(
    Plan(
        quick="A few seconds: three packages.",
        packages=("brotli", "zstandard"),
        programs=("npm",),
        required=("npm",),
    )
)
def upgrade(run: Run) -> None:
    """Bytes of a plugin's new version by coding, for a browser that has the version before.

    npm fetches the packages at the first run (40 MB). The full run takes half a minute.
    """
    pairs = PAIRS[:_QUICK] if run.quick else PAIRS
    run.describe(pairs=len(pairs))
    run.show("encoding", total=len(pairs))
    sizes = {}
    differences = Differences(CacheFolder(run.folder), _KEPT_BYTES)
    for pair in pairs:
        run.show_step(f"encoding {pair}")
        sizes[pair] = pair.sizes(differences)
        run.advance()
    _note(run.record, sizes)


def _note(record: Record, sizes: Mapping[Pair, Mapping[str, int]]) -> None:
    ratios = {pair: of_pair[DIFFERENCE] / of_pair["br"] for pair, of_pair in sizes.items()}
    record.figures += [
        Figure(f"{pair}: {coding}", "bytes", [size])
        for pair, of_pair in sizes.items()
        for coding, size in of_pair.items()
    ]
    rows = [
        [str(pair), *(f"{size:,}" for size in of_pair.values()), f"{ratios[pair]:.2%}"]
        for pair, of_pair in sizes.items()
    ]
    sums = {coding: sum(each[coding] for each in sizes.values()) for coding in CODINGS}
    share = sums[DIFFERENCE] / sums["br"]
    rows.append(["all", *(f"{size:,}" for size in sums.values()), f"{share:.2%}"])
    columns = ("bytes", *CODINGS, f"{DIFFERENCE} of br")
    record.tables.append(Table("A file of the new version, by coding", columns, rows))
    record.remark(
        "dcb is not measured: the package brotli has no dictionaries. zstd has level 19, gzip 9,"
        " br 11; dcz is zstd with the old file as its dictionary."
    )
    for pair in ratios:
        if not pair.is_patch:
            record.remark(f"{pair} is more than a patch, and not judged")
    patches = {pair: ratio for pair, ratio in ratios.items() if pair.is_patch}
    for pair, ratio in patches.items():
        if not PROMISES[PROMISE].bound.holds(ratio):
            record.remark(f"{pair} alone is above the bound: {ratio:.1%}")
    spread = spread_of(patches.values())
    record.judge(PROMISE, {"published packages": spread} if spread else {})
    _plot(record, list(sizes), sizes)


def _plot(record: Record, pairs: Sequence[Pair], sizes: Mapping[Pair, Mapping[str, int]]) -> None:
    def draw(axes: Any) -> None:
        for coding, color in _COLORS.items():
            shares = [sizes[pair][coding] / sizes[pair]["identity"] for pair in pairs]
            axes.plot(shares, range(len(pairs)), "o", color=color, label=coding)
        axes.set_yticks(range(len(pairs)), [str(pair) for pair in pairs])
        axes.set(xscale="log", xlabel="share of the file's size", title="bytes of an upgrade")
        axes.legend(fontsize=7)

    record.plot("upgrade", "A file of the new version, by coding, as a share of its size", draw)
