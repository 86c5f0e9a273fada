"""Draw the claims: a panel a claim, a row a comparison, its pairs, interval and verdict."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scripts.compare.claims import Evidence
from scripts.compare.comparison import Comparison
from scripts.figures import gain_rows, style

_POOLED = "pooled"


def draw_claims(found: Sequence[Evidence]) -> Figure:
    """Draw the claims in two columns, the one with the most comparisons alone in the second.

    Gains are to the right whatever the metric; the grey band is what is of no interest.
    """
    longest = max(found, key=_rows)
    columns = [[one for one in found if one is not longest], [longest]]
    columns = [column for column in columns if column]
    row, panel = gain_rows.ROW_HEIGHT, gain_rows.PANEL_HEIGHT
    height = max(sum(_rows(one) * row + panel for one in column) for column in columns)
    drawn = style.figure(height=height + 0.5, width=1.35 * style.TEXT_WIDTH)
    parts = drawn.subfigures(1, len(columns), squeeze=False)[0]
    for part, column in zip(parts, columns, strict=True):
        rows = [_rows(one) for one in column]
        panels = part.subplots(len(column), 1, squeeze=False, height_ratios=rows)
        for axes, one in zip(panels[:, 0], column, strict=True):
            _panel(axes, one)
    handles = gain_rows.legend(
        gain_rows.point("s", "0.3", "primary, or closest to it", 5),
        gain_rows.point("D", "black", _POOLED),
    )
    drawn.legend(handles=handles, loc="outside lower center", ncols=5, handlelength=1.2)
    return drawn


def _rows(found: Evidence) -> int:
    return len(found.comparisons) + 2 * len(found.groups)


def _panel(axes: Axes, found: Evidence) -> None:
    gain_rows.draw_background(axes, found.claim.smallest_effect)
    labels: list[str] = []
    bold = [_POOLED]
    for group in found.groups:
        if len(found.groups) > 1:
            labels.append(f"against {group.against or group.others[0]}")
            bold.append(labels[-1])
        for one in group.comparisons:
            marker = "s" if one is found.primary else "o"
            gain_rows.draw_comparison(axes, len(labels), one, marker)
            labels.append(_label(one))
        if group.pooled:
            gain_rows.draw_interval(axes, len(labels), group.pooled.mean, "black", "D", 4.5)
            labels.append(_POOLED)
    gain_rows.label_rows(axes, labels, bold)
    axes.set_title(f"Claim {found.claim.letter}", loc="left")
    axes.set_xlabel(gain_rows.x_label(found.comparisons[0]))


def _label(one: Comparison) -> str:
    experiment = one.experiment.name.partition("/")[2].replace("_", " ")
    return ", ".join(filter(None, [experiment, one.arm.setting]))
