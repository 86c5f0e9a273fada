"""Draw the metric over the probabilities of two masks, with the seeds' values in the cells."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from scripts.compare.comparison import DECIMALS, Comparison, Result
from scripts.figures import style
from scripts.figures.style import FigurePlan
from scripts.read.naming import key_in_words, settings_in_words
from scripts.read.tables import CONFIG, numbers

MAP = "cividis"
_MOST_VALUES = 6
"""Seeds up to which each one's value is printed; of more, half the width of the interval is."""


def heat_map(result: Result) -> list[FigurePlan]:
    """Plan the heat map.

    Raises:
        ValueError: unless two masks take several probabilities each.
    """
    keys = _keys(result)
    if len(keys) != 2:
        raise ValueError(
            f"{result.experiment.name}: a heat map takes two masks with several probabilities "
            f"each; got {', '.join(keys) or 'none'}"
        )
    if not any(one.final.n for one in result.comparisons):
        return []
    caption = (
        f"Mean {result.experiment.metric.label} by {key_in_words(keys[0])} and by "
        f"{key_in_words(keys[1])}; below it the seeds' values, or ± half the 95 % interval of many."
    )
    if any(one.pairs for one in result.comparisons):
        caption += " Asterisk: the interval of the paired difference to the baseline excludes 0."
    return [FigurePlan(f"{result.experiment.slug}_heat_map", caption, lambda: _draw(result, keys))]


def _keys(result: Result) -> list[str]:
    """Give the keys of those probabilities that vary, fine ones first; without a mask it is 0."""
    known = [name for name in result.runs if name.startswith(f"{CONFIG}masks.")]
    several = [
        name.removeprefix(CONFIG)
        for name in known
        if name.endswith(".p") and numbers(result.runs[name]).nunique() > 1
    ]
    return sorted(several, key=lambda key: (not key.startswith("masks.fine"), key))


def _p(one: Comparison, key: str) -> float:
    return float(one.arm.config(key) or 0.0)


def _draw(result: Result, keys: list[str]) -> Figure:
    means = [one.final.mean for one in result.comparisons if one.final.n]
    scale = Normalize(min(means), max(means))
    space = result.experiment.search.space if result.experiment.search else {}
    panels: dict[str, list[Comparison]] = {}
    for one in result.comparisons:
        beside = settings_in_words({k: one.arm.config(k) for k in space if k not in keys})
        panels.setdefault(", ".join(filter(None, (one.arm.setting, beside))), []).append(one)
    levels = [sorted({_p(one, key) for one in result.comparisons}) for key in keys]
    width = min(style.TEXT_WIDTH, 1.6 + 1.05 * len(levels[1]) * len(panels))
    drawn = style.figure(height=0.9 + 0.55 * len(levels[0]), width=max(width, 3.8))
    grid = drawn.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, compared) in zip(grid, panels.items(), strict=True):
        _panel(axes, compared, keys, levels, scale)
        axes.set_title(title)
    bar = drawn.colorbar(ScalarMappable(scale, MAP), ax=grid)
    bar.set_label(f"mean {result.experiment.metric.label}")
    bar.outline.set_visible(False)
    return drawn


def _panel(
    axes: Axes,
    compared: list[Comparison],
    keys: list[str],
    levels: list[list[float]],
    scale: Normalize,
) -> None:
    rows, columns = levels
    values = np.full((len(rows), len(columns)), np.nan)
    for one in compared:
        row, column = rows.index(_p(one, keys[0])), columns.index(_p(one, keys[1]))
        values[row, column] = one.final.mean
        dark = one.final.n and scale(one.final.mean) < 0.45
        colour = "white" if dark else "black"
        head, below = _cell(one)
        axes.text(column, row, head, ha="center", va="bottom", color=colour)
        axes.text(column, row, below, ha="center", va="top", color=colour, fontsize=5.5)
    axes.imshow(values, cmap=MAP, norm=scale, aspect="auto", origin="lower")
    axes.set_xticks(range(len(columns)), [f"{p:g}" for p in columns])
    axes.set_yticks(range(len(rows)), [f"{p:g}" for p in rows])
    axes.set(xlabel=key_in_words(keys[1]), ylabel=key_in_words(keys[0]))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _cell(one: Comparison) -> tuple[str, str]:
    if one.final.n == 0:
        return "no run", ""
    found = "*" if one.difference.excludes_zero else ""
    below = " ".join(f"{value:.2f}".lstrip("0") for value in one.values)
    if one.final.n > _MOST_VALUES:
        below = f"±{one.final.half_width:.{DECIMALS}f}"
    return f"{one.final.mean:.{DECIMALS}f}{found}", below
