"""Draw what the arms of a section measure after each epoch: mean and 95 % band over the seeds."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scripts import style
from scripts.arms import Arm
from scripts.comparison import SectionResult
from scripts.evaluations import are_late, average
from scripts.intervals import t_interval
from scripts.sections import FigurePlan

MOST_LINES = len(style.OKABE_ITO)


def learning_curves(result: SectionResult) -> list[FigurePlan]:
    """Plan the learning curves: a row of panels for each context, test beside training.

    Contexts with more arms than can be told apart in one panel are left out.
    """
    rows = {}
    for context, comparisons in result.contexts.items():
        arms = [one.arm for one in comparisons if one.final.n]
        if 0 < len(arms) <= MOST_LINES:
            rows[context] = arms
    if not rows or result.curves.empty:
        return []
    metric = result.section.metric
    caption = (
        f"{metric.label[0].upper()}{metric.label[1:]} and {metric.train_label} by epoch: mean over "
        "the seeds and, shaded, its 95 % interval. Single evaluations scatter; the table's "
        f"value is {average(result)}."
    )
    if are_late(result):
        caption += " The evaluations lie in the last tenth of training only."
    return [
        FigurePlan(f"{result.section.slug}_learning_curves", caption, lambda: _draw(result, rows))
    ]


def band(curves: pd.DataFrame, column: str) -> pd.DataFrame:
    """Give mean, low and high of ``column`` over the seeds, for every epoch with a value.

    Runs of one seed on several machines are averaged.
    """
    of_seeds = curves.dropna(subset=[column]).groupby(["epoch", "config.seed"])[column].mean()
    rows = []
    for epoch, values in of_seeds.groupby(level="epoch"):
        interval = t_interval(values.tolist())
        rows.append((epoch, interval.mean, interval.low, interval.high))
    return pd.DataFrame(rows, columns=["epoch", "mean", "low", "high"])


def _draw(result: SectionResult, rows: dict[str, list[Arm]]) -> Figure:
    metric = result.section.metric
    columns = {metric.key: metric.label, metric.train_key: metric.train_label}
    columns = {key: text for key, text in columns.items() if key in result.curves}
    names = list(dict.fromkeys(arm.label for arms in rows.values() for arm in arms))
    styles = dict(zip(names, style.line_styles(len(names)), strict=True))
    drawn = style.figure(height=0.7 + 0.17 * len(names) / 2 + 2.1 * len(rows))
    panels = drawn.subplots(len(rows), len(columns), sharex="row", sharey="row", squeeze=False)
    for row, (context, arms) in zip(panels, rows.items(), strict=True):
        for axes, (key, text) in zip(row, columns.items(), strict=True):
            for arm in arms:
                curves = result.curves.merge(arm.finished[["id", "config.seed"]], on="id")
                _line(axes, band(curves, key), styles[arm.label])
            axes.set(xlabel="epoch", ylabel=text, title=context)
            axes.tick_params(labelleft=True)
        style.keep_within(row[0], metric.bounds)
    handles = [style.line_handle(styles[name]) for name in names]
    style.legend_below(drawn, handles, names)
    style.title(drawn, result.task)
    return drawn


def _line(axes: Axes, values: pd.DataFrame, look: dict[str, Any]) -> None:
    plain = {key: look[key] for key in ("color", "linestyle")}
    every = max(1, len(values) // 6)
    marks = {"marker": look["marker"], "markevery": (every - 1, every)}
    axes.plot(values["epoch"], values["mean"], **plain, **marks)
    low, high = values["low"].to_numpy(), values["high"].to_numpy()
    known = ~np.isnan(low)
    axes.fill_between(
        values["epoch"], low, high, where=known, color=plain["color"], alpha=0.15, linewidth=0
    )
