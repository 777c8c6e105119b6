"""Makes plots of panels that can be read in a page of some 900 pixels, without a legend on them."""

import io
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

_PER_ROW = 2
_WIDTH = 4.2
"""Of a panel, in inches; a picture has at least 1.6 of them."""
_FEW_DECADES = 2.5


def svg_of(name: str, panels: Sequence[Callable[[Any], None]], height: float) -> str:
    """The picture, two panels in a row. Equal figures give equal bytes.

    Raises: ImportError, if matplotlib is missing.
    """
    import matplotlib as mpl  # noqa: PLC0415 (of the bench group)
    from matplotlib.figure import Figure as Picture  # noqa: PLC0415

    columns = min(len(panels), _PER_ROW)
    rows = math.ceil(len(panels) / columns)
    # The salt and the missing date make equal figures give equal bytes.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9}):
        picture = Picture(figsize=(_WIDTH * max(columns, 1.6), height * rows))
        for number, draw in enumerate(panels, 1):
            _draw(draw, picture.add_subplot(rows, columns, number))
        picture.tight_layout()
        output = io.StringIO()
        picture.savefig(output, format="svg", metadata={"Date": None, "Creator": None})
    return _shortened(output.getvalue())


def _draw(draw: Callable[[Any], None], axes: Any) -> None:
    draw(axes)
    axes.grid(visible=True, alpha=0.3)
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            _number(axis)
    if axes.get_legend() is not None:
        _, labels = axes.get_legend_handles_labels()
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False, fontsize=8,
            ncols=len(labels) if sum(map(len, labels)) < 40 else 2,
        )  # fmt: skip


def _number(axis: Any) -> None:
    """Ticks at 1, 10, 100, and at 2 and 5 between if there are few, as people write numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: PLC0415

    low, high = axis.get_view_interval()
    subdivided = math.log10(high / low) < _FEW_DECADES
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if subdivided else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
    axis.set_minor_formatter(NullFormatter())


def plain(value: float) -> str:
    """`1 million`, `10,000`, `0.1`: never a power of ten."""
    if value >= 1_000_000:
        return f"{value / 1_000_000:g} million"
    return f"{value:,.0f}" if value >= 1 else f"{value:.6g}"


def _shortened(svg: str) -> str:
    """Without the prolog, which may not stand inside an HTML page, and trailing blanks."""
    return re.sub(r"[ \t]+$", "", svg[svg.index("<svg") :], flags=re.MULTILINE)
