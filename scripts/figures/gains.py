"""Draw the paired gains of every arm, a panel for each kind of arm they are held against."""

from matplotlib.figure import Figure

from scripts.compare.comparison import Comparison, Result
from scripts.figures import gain_rows, style
from scripts.figures.style import FigurePlan


def gains(result: Result) -> list[FigurePlan]:
    """Plan the paired gains over the baseline and over rivals; nothing without pairs."""
    panels: dict[str, list[Comparison]] = {}
    for one in (*result.comparisons, *result.rivals):
        if one.pairs:
            panels.setdefault(one.against or one.experiment.baseline, []).append(one)
    if not panels:
        return []
    caption = (
        f"Gains in {result.experiment.metric.label} over the other arm, right is better: a dot for "
        "each pair of runs of one seed, their mean and its 95 % interval."
    )
    return [FigurePlan(f"{result.experiment.slug}_gains", caption, lambda: _draw(panels))]


def _draw(panels: dict[str, list[Comparison]]) -> Figure:
    rows = [len(compared) for compared in panels.values()]
    height = sum(rows) * gain_rows.ROW_HEIGHT + len(rows) * gain_rows.PANEL_HEIGHT + 0.4
    drawn = style.figure(height=height)
    grid = drawn.subplots(len(rows), 1, squeeze=False, sharex=True, height_ratios=rows)[:, 0]
    places = {one.arm.place for compared in panels.values() for one in compared}
    for axes, (against, compared) in zip(grid, panels.items(), strict=True):
        gain_rows.draw_background(axes, compared[0].experiment.smallest_effect)
        for row, one in enumerate(compared):
            gain_rows.draw_comparison(axes, row, one)
        arms = [one.arm for one in compared]
        labels = [arm.full_label if len(places) > 1 else arm.label for arm in arms]
        gain_rows.label_rows(axes, labels)
        axes.set_title(f"against {against}", loc="left")
        axes.tick_params(labelbottom=True)
    grid[-1].set_xlabel(gain_rows.x_label(compared[0]))
    drawn.legend(handles=gain_rows.legend(), loc="outside lower center", ncols=4, handlelength=1.2)
    return drawn
