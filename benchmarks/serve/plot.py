"""The figures as a picture: requests/s by size, a panel for each case."""

from collections.abc import Sequence
from typing import Any

from benchmarks.plots import draw_plot
from benchmarks.ratios import Spread, spread_of
from benchmarks.record import Plot
from benchmarks.serve.cells import Cell, size_text
from benchmarks.serve.contestants import bare
from benchmarks.serve.figures import Figures
from benchmarks.serve.promises import OURS


def serve_plot(cells: Sequence[Cell], figures: Figures) -> Plot:
    """Both axes logarithmic; bars from the slowest to the fastest round.

    Raises: NoPlots.
    """
    of_files = [cell for cell in cells if cell.size_bytes]
    cases = list(dict.fromkeys(cell.case.name for cell in of_files))
    sizes = sorted({cell.size_bytes for cell in of_files})

    def panel(case: str) -> Any:
        def draw(axes: Any) -> None:
            of_case = [cell for cell in of_files if cell.case.name == case]
            for number, server in enumerate(figures.servers):
                points = _points(server, of_case, figures)
                if points:
                    _draw(axes, server, f"C{number}", points)
            axes.set(title=case, xscale="log", yscale="log", ylabel="requests/s, one core")
            axes.set_xticks(sizes, [size_text(size) for size in sizes])
            axes.minorticks_off()
            axes.legend(fontsize=7)

        return draw

    return draw_plot("serve", "Requests/s by size of the file", *map(panel, cases), height=4.4)


def _points(server: str, cells: Sequence[Cell], figures: Figures) -> list[tuple[int, Spread]]:
    """Requests/s by size."""
    points = []
    for cell in cells:
        spread = spread_of(each.report.requests_per_s for each in figures.of(server, cell))
        if spread is not None:
            points.append((cell.size_bytes, spread))
    return points


def _draw(axes: Any, server: str, color: str, points: Sequence[tuple[int, Spread]]) -> None:
    axes.errorbar(
        [size for size, _ in points],
        [spread.median for _, spread in points],
        yerr=[
            [spread.median - spread.low for _, spread in points],
            [spread.high - spread.median for _, spread in points],
        ],
        marker="o",
        markersize=4,
        capsize=2,
        linewidth=2.5 if server == OURS else 1,
        linestyle="--" if server == bare.NAME else "-",
        color=color,
        label=server,
    )
