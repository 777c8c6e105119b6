"""Plots as SVG texts that need no script, no font file and no network."""

import io
import re
from collections.abc import Callable
from typing import Any

from benchmarks.record import Plot, Record

Draw = Callable[[Any], None]
"""Draws into the matplotlib axes that it is given."""


class NoPlots(Exception):
    """matplotlib is not installed."""


def draw_plot(name: str, title: str, *panels: Draw, height: float = 3.6) -> Plot:
    """One picture, its panels side by side. Equal figures give equal bytes.

    Raises: NoPlots.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 (of the bench group)
        from matplotlib.figure import Figure as Picture  # noqa: PLC0415
    except ImportError:
        raise NoPlots("matplotlib is not installed") from None
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9}):
        picture = Picture(figsize=(4.2 * max(len(panels), 1.6), height))
        axes = picture.subplots(1, len(panels), squeeze=False)[0]
        for draw, each in zip(panels, axes, strict=True):
            draw(each)
            each.grid(visible=True, alpha=0.3)
        picture.tight_layout()
        output = io.StringIO()
        picture.savefig(output, format="svg", metadata={"Date": None, "Creator": None})
    return Plot(name, title, _shortened(output.getvalue()))


def add_plot(record: Record, draw: Callable[[], Plot]) -> None:
    """The plot; a remark instead, where plots cannot be drawn."""
    try:
        record.plots.append(draw())
    except NoPlots as reason:
        record.remark(f"no plots: {reason}")


def _shortened(svg: str) -> str:
    """Without prolog, which may not stand inside an HTML page, and trailing blanks."""
    return re.sub(r"[ \t]+$", "", svg[svg.index("<svg") :], flags=re.MULTILINE)
