"""Show the metric against a mask's probability or another number; all else makes the lines."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pandas as pd

from scripts import labels
from scripts.arms import settings_of, sort_key, values_at, varying_keys
from scripts.comparison import SectionResult
from scripts.intervals import per_seed, t_interval
from scripts.line_figure import MOST_BANDS, Line, Panel, line_plans
from scripts.results_table import CONFIG, finished
from scripts.sections import FigurePlan, Metric

_Points = dict[tuple[tuple[Any, ...], tuple[Any, ...]], dict[float, list[int]]]
"""Rows of the table by (other settings, the mask's own further settings) and x."""


def against_p(result: SectionResult) -> list[FigurePlan]:
    """Plan the metric against the probability of each mask that takes several."""
    of_what = "the probability of masking; p = 0 is the net without that mask"
    return _plans(result, p_keys(result.runs), "p", of_what)


def against_learning_rate(result: SectionResult) -> list[FigurePlan]:
    """Plan the metric against the learning rate."""
    return _plans(result, ["optimizer.lr"], "learning_rate", "the learning rate")


def against_images(result: SectionResult) -> list[FigurePlan]:
    """Plan the metric against the number of training images."""
    return _plans(result, ["dataset.train"], "images", "the number of training images")


def _plans(result: SectionResult, keys: Sequence[str], name: str, of_what: str) -> list[FigurePlan]:
    panels = [Panel(key, lines(result.runs, key, result.section.metric)) for key in keys]
    panels = [panel for panel in panels if panel.lines]
    beside = any(len(panel.lines) > MOST_BANDS for panel in panels)
    against = f"{of_what}.{' Points of equal x are set side by side.' * beside}"
    return line_plans(result, name, panels, against)


def p_keys(runs: pd.DataFrame) -> list[str]:
    """Name the keys of probabilities that vary, the one with the most values first."""
    values = {
        column.removeprefix(CONFIG): {p if is_number(p) else 0 for p in runs[column]}
        for column in runs
        if column.startswith(CONFIG) and column.endswith(".p")
    }
    several = labels.in_order(key for key, ps in values.items() if len(ps) > 1)
    return sorted(several, key=lambda key: -len(values[key]))


def lines(runs: pd.DataFrame, x_key: str, metric: Metric) -> list[Line]:
    """Give the lines of ``metric`` against ``x_key`` with two points or more.

    A run without the mask, or with p = 0, belongs to every line that agrees in all settings but
    those of the mask.

    Raises:
        ValueError: if a value of ``x_key`` is not a number.
    """
    runs = finished(runs)
    settings = settings_of(runs)
    own_prefix = x_key.removesuffix("p") if x_key.startswith("masks.") else None
    with_x = [row for row in settings if x_key in row]
    own = [key for key in varying_keys(with_x) if own_prefix and key.startswith(own_prefix)]
    own = [key for key in own if key != x_key]
    rest = [key for key in varying_keys(settings) if key not in own and key != x_key]
    rest = [key for key in rest if not (own_prefix and key.startswith(own_prefix))]
    points: _Points = defaultdict(lambda: defaultdict(list))
    without: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for position, row in enumerate(settings):
        others = values_at(row, rest)
        if x_key in row:
            points[others, values_at(row, own)][_number(row[x_key], x_key)].append(position)
        elif own_prefix:
            without[others].append(position)
    for (others, _), line in points.items():
        if others in without:
            line[0.0] = without[others]
    return _labelled(points, runs, settings, rest + own, x_key, metric)


def _labelled(
    points: _Points,
    runs: pd.DataFrame,
    settings: Sequence[labels.Settings],
    keys: list[str],
    x_key: str,
    metric: Metric,
) -> list[Line]:
    order = sorted(points, key=lambda pair: [sort_key(values) for values in pair])
    several = [points[pair] for pair in order if len(points[pair]) > 1]
    firsts = [settings[line[max(line)][0]] for line in several]
    kept = [{key: row[key] for key in keys if key in row} for row in firsts]
    texts = _line_labels(kept, x_key)
    made = []
    for text, line in zip(texts, several, strict=True):
        x = sorted(line)
        values = [per_seed(runs.iloc[line[place]], metric.final).tolist() for place in x]
        made.append(Line(text, tuple(x), tuple(t_interval(each) for each in values)))
    return made


def _line_labels(rows: list[labels.Settings], x_key: str) -> list[str]:
    off = "no other mask" if x_key.startswith("masks.") else "no masks"
    masks = labels.mask_labels([labels.masks_of(row) for row in rows], off=off)
    if set(masks) == {off}:
        masks = [""] * len(rows)
    context = [key for key in labels.in_order({k for r in rows for k in r}) if "masks." not in key]
    settings = labels.setting_labels(rows, context)
    return [", ".join(filter(None, pair)) for pair in zip(masks, settings, strict=True)]


def is_number(value: Any) -> bool:
    """Tell numbers from truth values and everything else."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any, key: str) -> float:
    if not is_number(value):
        raise ValueError(f"{key} must be a number to be drawn against; got {value!r}")
    return float(value)
