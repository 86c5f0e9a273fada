"""Draw lines of a measured quantity against a number: a dot for each seed, a line through them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from scripts.figures import style
from scripts.read.naming import key_in_words

_MOST_TICK_CHARACTERS = 22
"""Characters that fit below a panel of half a page."""
SCALES = {
    "optimizer.lr": "log",
    "dataset.train": "log",
    "dataset.positive_fraction": "log",
    "model.widths": "log",
    "share": "logit",
}


@dataclass(frozen=True)
class Line:
    """The seeds' values at several values of x, everything else being equal."""

    label: str
    points: dict[float, list[float]]

    def through(self, statistic: str) -> tuple[list[float], list[float]]:
        """Give where the line goes: the mean, or median, at each x."""
        middle = np.median if statistic == "median" else np.mean
        return list(self.points), [float(middle(values)) for values in self.points.values()]


@dataclass(frozen=True)
class Panel:
    """Lines under a title; ``y`` names what they measure."""

    title: str
    y: str
    lines: Sequence[Line]


def draw_lines(
    rows: Sequence[Sequence[Panel]],
    key: str,
    bounds: tuple[float, float],
    statistic: str = "mean",
    title: str = "",
) -> Figure:
    """Draw a grid of panels against a setting; a legend for each row, one for all if they agree."""
    columns = max(map(len, rows))
    drawn = style.figure(
        height=0.8 + 2.0 * len(rows), width=min(style.TEXT_WIDTH, 3.25 * columns + 1.5)
    )
    grid = drawn.subplots(len(rows), columns, sharey="row", squeeze=False)
    names = [list(dict.fromkeys(line.label for p in row for line in p.lines)) for row in rows]
    for axes_row, row, own in zip(grid, rows, names, strict=True):
        looks = dict(zip(own, style.line_styles(len(own)), strict=True))
        for axes, panel in zip(axes_row, row, strict=False):
            _panel(axes, key, panel, looks, statistic)
        for axes in axes_row[len(row) :]:
            axes.set_axis_off()
        style.keep_within(axes_row[0], bounds)
        if len(own) > 1 and any(other != own for other in names):
            axes_row[len(row) - 1].legend(
                [style.line_handle(looks[name]) for name in own], own,
                loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=3, fontsize=6,
            )  # fmt: skip
    if len(names[0]) > 1 and all(own == names[0] for own in names):
        handles = [style.line_handle(look) for look in style.line_styles(len(names[0]))]
        style.legend_below(drawn, handles, names[0])
    style.title(drawn, title)
    return drawn


def _panel(
    axes: Axes, key: str, panel: Panel, looks: dict[str, dict[str, Any]], statistic: str
) -> None:
    scale = SCALES.get(key, "linear")
    middle = (len(panel.lines) - 1) / 2
    for place, line in enumerate(panel.lines):
        if scale != "linear" and list(line.points) == [0.0]:
            _draw_level(axes, line, looks[line.label], statistic)
        else:
            _draw_line(axes, line, looks[line.label], statistic, place - middle)
    values = sorted({x for line in panel.lines for x in line.points})
    if scale != "linear":
        axes.set_xscale(scale)
        values = [x for x in values if x > 0]
    if key in SCALES or len(values) < 8:
        axes.set_xticks(values, _tick_labels(values))
        axes.minorticks_off()
    axes.autoscale_view()
    axes.tick_params(labelleft=True)
    axes.grid(axis="y", linewidth=0.4, alpha=0.4)
    axes.set(xlabel=key_in_words(key), ylabel=panel.y, title=panel.title)


def _draw_level(axes: Axes, line: Line, look: dict[str, Any], statistic: str) -> None:
    """Draw what has no place on the axis across it."""
    _, (y,) = line.through(statistic)
    axes.axhline(y, color=look["color"], linestyle=look["linestyle"])


def _draw_line(axes: Axes, line: Line, look: dict[str, Any], statistic: str, aside: float) -> None:
    """Draw a line and its dots, shifted ``aside`` steps so that lines do not hide one another."""
    beside = ScaledTranslation(2.0 * aside / 72, 0, axes.figure.dpi_scale_trans)
    dots = [(x, value) for x, values in line.points.items() for value in values]
    axes.plot(
        *zip(*dots, strict=True), ".", color=look["color"], alpha=0.45, markersize=3.5,
        markeredgewidth=0, transform=axes.transData + beside,
    )  # fmt: skip
    thin = look | {"markersize": 2.5, "linewidth": 1.0}
    axes.plot(*line.through(statistic), transform=axes.transData + beside, **thin)
    axes.update_datalim(dots)


def _tick_labels(values: Sequence[float]) -> list[str]:
    """Label every value, or every other one where the labels would touch."""
    texts = [f"{x:g}" for x in values]
    step = 2 if len("".join(texts)) > _MOST_TICK_CHARACTERS else 1
    return [text if place % step == 0 else "" for place, text in enumerate(texts)]
