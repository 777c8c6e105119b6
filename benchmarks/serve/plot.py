"""The run as a picture: requests/s by size, a panel for each case, a line for each server."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.ratios import Spread, spread_of
from benchmarks.serve.cells import Cell, size_text
from benchmarks.serve.contestants import bare
from benchmarks.serve.figures import Figures
from benchmarks.serve.promises import OURS


def write_plot(path: Path, cells: Sequence[Cell], figures: Figures) -> None:
    """Both axes logarithmic; bars from the slowest to the fastest round.

    Raises: ImportError, without matplotlib.
    """
    from matplotlib.figure import Figure as Picture  # noqa: PLC0415 (of the bench group)

    cases = list(dict.fromkeys(cell.case.name for cell in cells))
    sizes = sorted({cell.size_bytes for cell in cells})
    picture = Picture(figsize=(4.5 * len(cases), 4.8))
    panels = picture.subplots(1, len(cases), sharey=True, squeeze=False)[0]
    lines: dict[str, Any] = {}
    for panel, case in zip(panels, cases, strict=True):
        of_case = [cell for cell in cells if cell.case.name == case]
        for number, server in enumerate(figures.servers):
            points = _points(server, of_case, figures)
            if points:
                lines[server] = _draw(panel, server, f"C{number}", points)
        panel.set(title=case, xscale="log", yscale="log")
        panel.set_xticks(sizes, [size_text(size) for size in sizes])
        panel.minorticks_off()
        panel.grid(visible=True, alpha=0.3)
    panels[0].set_ylabel("requests/s, one core")
    picture.legend(list(lines.values()), list(lines), loc="lower center", ncols=4)
    picture.tight_layout(rect=(0, 0.12, 1, 1))
    picture.savefig(path, dpi=120)


def _points(server: str, cells: Sequence[Cell], figures: Figures) -> list[tuple[int, Spread]]:
    """Requests/s by size."""
    points = []
    for cell in cells:
        spread = spread_of(each.report.requests_per_s for each in figures.of(server, cell))
        if spread is not None:
            points.append((cell.size_bytes, spread))
    return points


def _draw(panel: Any, server: str, color: str, points: Sequence[tuple[int, Spread]]) -> Any:
    return panel.errorbar(
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
    )
