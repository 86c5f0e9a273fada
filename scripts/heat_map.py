"""Draw the metric over the mask probabilities of two scales, with the numbers in the cells."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from scripts import style
from scripts.comparison import Comparison, SectionResult
from scripts.labels import masks_of
from scripts.sections import FigurePlan

MAP = "cividis"


def heat_map(result: SectionResult) -> list[FigurePlan]:
    """Plan the heat map, if two masks take several probabilities each."""
    levels = _levels(result)
    if len(levels) != 2 or not any(one.final.n for one in result.comparisons):
        return []
    rows, columns = levels
    caption = (
        f"Mean {result.section.metric.label} over the probabilities of masking at the {rows} and "
        f"the {columns} scale, ± half the 95 % interval."
    )
    if result.compared:
        caption += " Asterisk: the interval of the paired difference to no masks excludes 0."
    return [FigurePlan(f"{result.section.slug}_heat_map", caption, lambda: _draw(result, levels))]


def _levels(result: SectionResult) -> dict[str, list[float]]:
    """Give the probabilities of each mask that takes several; an absent mask has p = 0."""
    together = {key: value for arm in result.arms for key, value in arm.settings.items()}
    names = masks_of(together)
    levels = {name: sorted({_p(one, name) for one in result.comparisons}) for name in names}
    return {name: values for name, values in levels.items() if len(values) > 1}


def _p(one: Comparison, name: str) -> float:
    return float(one.arm.masks.get(name, {}).get("p", 0.0))


def _draw(result: SectionResult, levels: dict[str, list[float]]) -> Figure:
    means = [one.final.mean for one in result.comparisons if one.final.n]
    scale = Normalize(min(means), max(means))
    (_, rows), (_, columns) = levels.items()
    width = min(style.TEXT_WIDTH, 1.6 + 0.85 * len(columns) * len(result.contexts))
    drawn = style.figure(height=0.9 + 0.5 * len(rows), width=max(width, 3.5))
    panels = drawn.subplots(1, len(result.contexts), squeeze=False)[0]
    for axes, (context, comparisons) in zip(panels, result.contexts.items(), strict=True):
        _panel(axes, comparisons, levels, scale, result.section.metric.decimals)
        axes.set_title("\n".join(filter(None, [context, result.task])))
    bar = drawn.colorbar(ScalarMappable(scale, MAP), ax=panels)
    bar.set_label(f"mean {result.section.metric.label}")
    bar.outline.set_visible(False)
    return drawn


def _panel(
    axes: Axes,
    comparisons: list[Comparison],
    levels: dict[str, list[float]],
    scale: Normalize,
    decimals: int,
) -> None:
    (fine, rows), (coarse, columns) = levels.items()
    values = np.full((len(rows), len(columns)), np.nan)
    for one in comparisons:
        row, column = rows.index(_p(one, fine)), columns.index(_p(one, coarse))
        values[row, column] = one.final.mean
        dark = one.final.n and scale(one.final.mean) < 0.45
        axes.text(
            column, row, _cell(one, decimals),
            ha="center", va="center", color="white" if dark else "black",
        )  # fmt: skip
    axes.imshow(values, cmap=MAP, norm=scale, aspect="auto", origin="lower")
    axes.set_xticks(range(len(columns)), [f"{p:g}" for p in columns])
    axes.set_yticks(range(len(rows)), [f"{p:g}" for p in rows])
    axes.set(xlabel=f"p of the {coarse} mask", ylabel=f"p of the {fine} mask")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _cell(one: Comparison, decimals: int) -> str:
    if one.final.n == 0:
        return "no run"
    found = "*" if one.difference is not None and one.difference.excludes_zero else ""
    width = f"±{one.final.half_width:.{decimals}f}" if one.final.defined else "one seed"
    return f"{one.final.mean:.{decimals}f}{found}\n{width}"
