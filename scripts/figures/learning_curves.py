"""Draw what the arms of an experiment measure after each epoch: a thin line a seed."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scripts.compare.arms import Arm
from scripts.compare.comparison import Result
from scripts.figures import style
from scripts.figures.style import FigurePlan
from scripts.read.tables import SEED

MOST_LINES = len(style.OKABE_ITO)


def learning_curves(result: Result) -> list[FigurePlan]:
    """Plan the learning curves: a row of panels for each setting, test beside training.

    Settings with more arms than can be told apart in one panel are left out.
    """
    rows: dict[str, list[Arm]] = {}
    for one in result.comparisons:
        if one.final.n:
            rows.setdefault(one.arm.place, []).append(one.arm)
    rows = {place: arms for place, arms in rows.items() if len(arms) <= MOST_LINES}
    if not rows or result.curves.empty:
        return []
    metric = result.experiment.metric
    caption = (
        f"{metric.label[0].upper()}{metric.label[1:]} and {metric.train_label} by epoch: a thin "
        "line for each seed, a thick one for their median."
    )
    name = f"{result.experiment.slug}_learning_curves"
    return [FigurePlan(name, caption, lambda: _draw(result, rows))]


def by_epoch(result: Result, arm: Arm, column: str) -> pd.DataFrame:
    """Give the values of an arm's finished runs: a row an epoch, a column a seed."""
    runs = arm.table.iloc[arm.finished][["id", SEED]]
    curves = result.curves.dropna(subset=[column]).merge(runs, on="id")
    return curves.pivot(index="epoch", columns="id", values=column)


def _draw(result: Result, rows: dict[str, list[Arm]]) -> Figure:
    metric = result.experiment.metric
    columns = {metric.key: metric.label, metric.train_key: metric.train_label}
    columns = {key: text for key, text in columns.items() if key in result.curves}
    names = list(dict.fromkeys(arm.label for arms in rows.values() for arm in arms))
    styles = dict(zip(names, style.line_styles(len(names)), strict=True))
    drawn = style.figure(height=0.7 + 0.17 * len(names) / 2 + 2.1 * len(rows))
    panels = drawn.subplots(len(rows), len(columns), sharex="row", sharey="row", squeeze=False)
    for row, (place, arms) in zip(panels, rows.items(), strict=True):
        for axes, (key, text) in zip(row, columns.items(), strict=True):
            for arm in arms:
                _lines(axes, by_epoch(result, arm, key), styles[arm.label])
            axes.set(xlabel="epoch", ylabel=text, title=place)
            axes.tick_params(labelleft=True)
        style.keep_within(row[0], metric.bounds)
    handles = [style.line_handle(styles[name]) for name in names]
    style.legend_below(drawn, handles, names)
    style.title(drawn, result.experiment.task)
    return drawn


def _lines(axes: Axes, values: pd.DataFrame, look: dict[str, Any]) -> None:
    axes.plot(values.index, values, color=look["color"], linewidth=0.5, alpha=0.35)
    every = max(1, len(values) // 6)
    axes.plot(values.index, values.median(axis=1), markevery=(every - 1, every), **look)
