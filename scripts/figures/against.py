"""Draw what was measured against a number that runs differ in."""

from collections.abc import Sequence

import pandas as pd

from scripts.compare.comparison import Result
from scripts.figures.lines import Line, Panel, draw_lines
from scripts.figures.style import FigurePlan
from scripts.read.declared import Metric
from scripts.read.naming import key_in_words, settings_in_words
from scripts.read.tables import CONFIG, finished, numbers

GROUPS = ("arm", "kind", "setting", "share")
"""What lines, panels and axes may be made of beside the keys of settings."""
_ABREAST = 2


def against(
    result: Result, against: str, lines: str = "arm", panels: str = "", of: str = ""
) -> list[FigurePlan]:
    """Plan a measured quantity against a number; nothing where no line has two points.

    Args:
        result: an experiment's.
        against: the number: ``share`` or the key of a setting.
        lines: what the runs of a line have in common.
        panels: what those of a panel have in common; settings that would fall on one another are
            drawn side by side in any case.
        of: what is measured, a column or several with this beginning; by default the metric.
    """
    experiment, runs = result.experiment, finished(result.runs)
    metric = Metric(of) if of else experiment.metric
    measured = [name for name in runs if name.startswith(f"{of}.")] if of else [metric.final]
    table = pd.DataFrame(
        {
            "x": numbers(column(runs, against)),
            "line": in_words(runs, lines),
            "panel": in_words(runs, panels) if panels else "",
            "setting": runs["setting"],
        },
        index=runs.index,
    )
    mixed = table.groupby(["x", "line", "panel"])["setting"].nunique().max() > 1
    drawn = [
        [
            Panel("\n".join(filter(None, title)), name, points(own["x"], own["line"], runs[y]))
            for title, own in _panels(table, mixed, panel)
        ]
        for y in measured
        for name in [y.removeprefix(f"{of}.") if of else metric.label]
        for panel in table["panel"].unique()
    ]
    if not any(len(line.points) > 1 for row in drawn for each in row for line in each.lines):
        return []
    if not mixed:
        flat = [panel for row in drawn for panel in row]
        drawn = [flat[start : start + _ABREAST] for start in range(0, len(flat), _ABREAST)]
    statistic = experiment.search.statistic if experiment.search else "mean"
    caption = (
        f"{metric.label[0].upper()}{metric.label[1:]} against {key_in_words(against)}: a dot for "
        f"each seed, lines through their {statistic}. Points of equal x are set side by side."
    )
    name = "_".join([experiment.slug, "against", *against.removeprefix("masks.").split(".")])
    name += f"_{of.replace('.', '_')}" if of else ""
    task = experiment.task
    return [
        FigurePlan(
            name, caption, lambda: draw_lines(drawn, against, metric.bounds, statistic, task)
        )
    ]


def column(runs: pd.DataFrame, name: str) -> pd.Series:
    """Give a column of a frame, or a setting by its key; None where no run has it."""
    if name in GROUPS:
        return runs[name]
    missing = pd.Series(None, runs.index, dtype=object, name=name)
    return runs.get(CONFIG + name, missing)


def in_words(runs: pd.DataFrame, name: str) -> pd.Series:
    """Name the runs by a column, or by a setting."""
    values = column(runs, name)
    return values if name in GROUPS else values.map(lambda each: settings_in_words({name: each}))


def points(x: pd.Series, lines: pd.Series, y: pd.Series) -> Sequence[Line]:
    """Join values to lines by their labels, in the order of the runs."""
    known = pd.DataFrame({"x": x, "line": lines, "y": y.reindex(x.index)}).dropna()
    return [
        Line(str(label), {float(each): list(same["y"]) for each, same in own.groupby("x")})
        for label, own in known.groupby("line", sort=False)
    ]


def _panels(
    table: pd.DataFrame, by_setting: bool, panel: str
) -> list[tuple[tuple[str, ...], pd.DataFrame]]:
    own = table[table["panel"] == panel]
    if not by_setting:
        return [((panel,), own)]
    return [((panel, str(name)), part) for name, part in own.groupby("setting", sort=False)]
