"""Pictures of lookups."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.lookup.hit_ratio import HitRatio
from benchmarks.lookup.load import Loaded
from benchmarks.percentiles import PERCENTILE_NAMES, PERCENTILES, Latencies
from benchmarks.plots import draw_plot
from benchmarks.record import Plot

_BAR_PERCENTILES = (50.0, 99.0)


def stage_plot(measured: Mapping[str, Sequence[Sequence[int]]]) -> Plot:
    names = list(measured)
    latencies = [
        Latencies(duration for durations in rounds for duration in durations)
        for rounds in measured.values()
    ]

    def draw(axes: Any) -> None:
        rows = range(len(names))
        median, high = (
            [each.percentile_us(percentile) for each in latencies]
            for percentile in _BAR_PERCENTILES
        )
        axes.hlines(rows, median, high, color="0.7", linewidth=3)
        axes.plot(median, rows, "o", label="p50")
        axes.plot(high, rows, "|", markersize=9, label="p99")
        axes.set(xscale="log", xlabel="microseconds")
        axes.set_yticks(rows, names)
        axes.invert_yaxis()
        axes.legend()

    return draw_plot("lookup-stages", "Stages of a lookup", draw, height=4.4)


def load_plot(loaded: Sequence[Loaded]) -> Plot:
    places = range(len(PERCENTILES))

    def panel(law: str) -> Any:
        def draw(axes: Any) -> None:
            for each in loaded:
                if each.law == law:
                    label = f"{each.rate} requests/s"
                    axes.plot(places, each.latencies.percentiles_us(), marker="o", label=label)
            axes.set(yscale="log", ylabel="µs from the due moment", title=f"{law} users")
            axes.set_xticks(places, PERCENTILE_NAMES)
            axes.legend()

        return draw

    laws = list(dict.fromkeys(each.law for each in loaded))
    return draw_plot("lookup-load", "Latency under load", *map(panel, laws))


def hit_ratio_plot(found: Sequence[HitRatio]) -> Plot:
    def draw(axes: Any) -> None:
        for ttl_s in sorted({each.ttl_s for each in found}):
            points = [each for each in found if each.ttl_s == ttl_s]
            sizes, ratios = [each.max_entries for each in points], [each.ratio for each in points]
            axes.plot(sizes, ratios, marker="o", label=f"ttl {ttl_s:g} s")
        axes.set(xscale="log", xlabel="max_entries", ylabel="hits of all lookups", ylim=(0.85, 1))
        axes.legend()

    return draw_plot("lookup-hit-ratio", "Hit ratio", draw)
