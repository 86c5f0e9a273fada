"""One style for all figures: legible in print and without colour vision, bytes reproducible."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

TEXT_WIDTH = 6.5
"""Width of a page's text in inches: figures are drawn at the size they are printed at."""

OKABE_ITO = ("#000000", "#E69F00", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (7, 2)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")

_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "figure.titlesize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "savefig.dpi": 200,
    "figure.dpi": 200,
}


def line_styles(number: int) -> list[dict[str, Any]]:
    """Give colour, line style and marker for each of ``number`` lines; the first is solid black."""
    styles = [
        {"color": colour, "linestyle": line, "marker": marker}
        for colour, line, marker in zip(OKABE_ITO, _LINES, _MARKERS, strict=True)
    ]
    return list(islice(cycle(styles), number))


def figure(height: float, width: float = TEXT_WIDTH) -> Figure:
    """Give an empty figure of ``width`` x ``height`` inches that makes room for its labels."""
    return Figure(figsize=(width, height), layout="constrained")


@dataclass(frozen=True)
class FigurePlan:
    """A figure still to be drawn: its file name, its caption, and what draws it."""

    name: str
    caption: str
    draw: Callable[[], Figure]


def save(draw: Callable[[], Figure], folder: Path, name: str) -> None:
    """Draw a figure in the house style and write ``name``.png into ``folder``.

    Neither the user's matplotlib settings nor the date enter the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)  # type: ignore[arg-type]
        drawn = draw()
        drawn.savefig(folder / f"{name}.png", metadata={"Software": None})


def title(drawn: Figure, text: str) -> None:
    """Put a title above all panels, in as many lines as it takes; nothing for an empty text."""
    if text:
        drawn.suptitle("\n".join(wrap(text, int(14 * drawn.get_figwidth()))))


def legend_below(drawn: Figure, handles: list[Any], texts: list[str]) -> None:
    """Put one legend for all panels under them, in as many columns as the texts leave room for."""
    longest = max(map(len, texts))
    columns = max(1, min(len(texts), int(drawn.get_figwidth() * 15 // (longest + 7))))
    drawn.legend(handles, texts, loc="outside lower center", ncols=columns, handlelength=3)


def line_handle(look: dict[str, Any]) -> Line2D:
    """Give the legend's sample of a line."""
    return Line2D([], [], **look)


def keep_within(axes: Axes, bounds: tuple[float, float]) -> None:
    """Cut the vertical axis to values that can occur; intervals may reach beyond them."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, bounds[0]), min(high, bounds[1]))
