"""Draw lines of a metric against a setting, with the intervals of their points."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from scripts import style
from scripts.comparison import SectionResult
from scripts.intervals import Interval
from scripts.sections import FigurePlan, Metric

MOST_BANDS = 3
_LABELS_HEIGHT = 30
"""Points below the axes for the numbers and the name of x."""
_MOST_TICK_CHARACTERS = 30
"""Characters that fit below one of two panels side by side."""

SHARE = "share"
SCALES = {
    "optimizer.lr": "log",
    "dataset.train": "log",
    "dataset.positive_fraction": "log",
    "width": "log",
    SHARE: "logit",
}
AXES = {
    "optimizer.lr": "learning rate",
    "dataset.train": "training images",
    "dataset.positive_fraction": "share of positives",
    SHARE: "p: share of the samples that an update does without",
}


@dataclass(frozen=True)
class Line:
    """The metric at several values of x, everything else being equal; a level has no x."""

    label: str
    x: tuple[float, ...]
    y: tuple[Interval, ...]


@dataclass(frozen=True)
class Panel:
    """Lines against the setting ``key``, or against ``SHARE``, under a title."""

    key: str
    lines: list[Line]
    title: str = ""


def line_plans(
    result: SectionResult, name: str, panels: Sequence[Panel], against: str
) -> list[FigurePlan]:
    """Plan the panels as one figure of a section, none without panels.

    ``against`` ends the caption: what the metric is drawn against, and what else is to be said.
    """
    if not panels:
        return []
    metric = result.section.metric
    caption = f"Mean {metric.label} and its 95 % interval over the seeds against {against}"
    return [
        FigurePlan(
            f"{result.section.slug}_against_{name}",
            caption,
            lambda: draw_lines(panels, metric, result.task),
        )
    ]


def draw_lines(panels: Sequence[Panel], metric: Metric, title: str = "") -> Figure:
    """Draw the panels with their lines: means and 95 % intervals.

    The intervals are bands, or bars set side by side where many bands would hide one another.
    """
    lines = max(len(panel.lines) for panel in panels)
    columns = len(panels) if len(panels) < 4 else 2
    rows = math.ceil(len(panels) / columns)
    drawn = style.figure(
        height=(2.5 + (0.18 if panels[0].key == SHARE else 0.09) * lines) * rows,
        width=min(style.TEXT_WIDTH, 3.25 * columns + 0.75),
    )
    grid = drawn.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes, panel in zip(grid, panels, strict=False):
        _panel(axes, panel.key, panel.lines, bands=lines <= MOST_BANDS)
        axes.set(xlabel=x_label(panel.key), ylabel=metric.label, title=panel.title)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    style.keep_within(grid[0], metric.bounds)
    style.title(drawn, title)
    return drawn


def x_label(key: str) -> str:
    """Name the axis of a setting."""
    if key.startswith("masks.") and key.endswith(".p"):
        return f"p of the {key.split('.')[1]} mask"
    return AXES.get(key, key.replace("_", " "))


def _panel(axes: Axes, key: str, group: Sequence[Line], bands: bool) -> None:
    for place, (line, look) in enumerate(zip(group, style.line_styles(len(group)), strict=True)):
        if not line.x:
            _draw_level(axes, line, look)
        elif bands:
            _draw_band(axes, line, look)
        else:
            _draw_bars(axes, line, look, place - (len(group) - 1) / 2)
    if key in SCALES:
        values = sorted({x for line in group for x in line.x})
        axes.set_xscale(SCALES[key])
        axes.set_xticks(values, _tick_labels(values))
        axes.minorticks_off()
    axes.tick_params(labelleft=True)
    axes.grid(axis="y", linewidth=0.4, alpha=0.4)
    if len(group) > 1:
        handles = [style.line_handle(look) for look in style.line_styles(len(group))]
        columns = 2 if max(len(line.label) for line in group) < 20 else 1
        names = [line.label for line in group]
        below = ScaledTranslation(0, -_LABELS_HEIGHT / 72, axes.figure.dpi_scale_trans)
        axes.legend(
            handles, names, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=columns,
            handlelength=3, bbox_transform=axes.transAxes + below,
        )  # fmt: skip


def _tick_labels(values: Sequence[float]) -> list[str]:
    """Label every value, or every other one where the labels would touch."""
    texts = [f"{x:g}" for x in values]
    step = 2 if len("".join(texts)) > _MOST_TICK_CHARACTERS else 1
    return [text if place % step == 0 else "" for place, text in enumerate(texts)]


def _draw_level(axes: Axes, line: Line, look: dict[str, Any]) -> None:
    (y,) = line.y
    axes.axhline(y.mean, color=look["color"], linestyle=look["linestyle"])
    if y.defined:
        axes.axhspan(y.low, y.high, color=look["color"], alpha=0.15, linewidth=0)


def _draw_bars(axes: Axes, line: Line, look: dict[str, Any], aside: float) -> None:
    """Draw bars, shifted ``aside`` steps sideways so that they do not lie on one another."""
    beside = ScaledTranslation(2.5 * aside / 72, 0, axes.figure.dpi_scale_trans)
    means, widths = [y.mean for y in line.y], [y.half_width for y in line.y]
    axes.errorbar(line.x, means, widths, elinewidth=0.8, transform=axes.transData + beside, **look)
    ends = [
        (x, end) for x, y in zip(line.x, line.y, strict=True) for end in (y.low, y.high, y.mean)
    ]
    axes.update_datalim([point for point in ends if not math.isnan(point[1])])
    axes.autoscale_view()


def _draw_band(axes: Axes, line: Line, look: dict[str, Any]) -> None:
    axes.plot(line.x, [y.mean for y in line.y], **look)
    low, high = [y.low for y in line.y], [y.high for y in line.y]
    axes.fill_between(line.x, low, high, color=look["color"], alpha=0.15, linewidth=0)
