"""Draw the claims: a panel a claim, a row a comparison, its pairs, interval and verdict."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from scripts import style
from scripts.claims import Evidence, Group
from scripts.comparison import Comparison
from scripts.intervals import Interval
from scripts.verdicts import Verdict

COLOURS = {
    Verdict.GAIN: "#009E73",
    Verdict.LOSS: "#D55E00",
    Verdict.EQUIVALENT: "#0072B2",
    Verdict.NO_GAIN: "#CC79A7",
    Verdict.UNDECIDED: "#8C8C8C",
}
ROW_HEIGHT, PANEL_HEIGHT = 0.16, 0.9
PAIRS_BELOW = 0.3
"""How far the dots of the pairs lie below the interval, in rows."""
_POOLED = "pooled"


def draw_claims(found: Sequence[Evidence]) -> Figure:
    """Draw the claims in two columns, the one with the most comparisons alone in the second.

    Gains are to the right whatever the metric; the grey band is what is of no interest.
    """
    longest = max(found, key=_rows)
    columns = [[one for one in found if one is not longest], [longest]]
    columns = [column for column in columns if column]
    height = max(sum(_rows(one) * ROW_HEIGHT + PANEL_HEIGHT for one in c) for c in columns)
    drawn = style.figure(height=height + 0.5, width=1.35 * style.TEXT_WIDTH)
    parts = drawn.subfigures(1, len(columns), squeeze=False)[0]
    for part, column in zip(parts, columns, strict=True):
        rows = [_rows(one) for one in column]
        panels = part.subplots(len(column), 1, squeeze=False, height_ratios=rows)
        for axes, one in zip(panels[:, 0], column, strict=True):
            _panel(axes, one)
    drawn.legend(handles=_legend(), loc="outside lower center", ncols=5, handlelength=1.2)
    return drawn


def _rows(found: Evidence) -> int:
    return len(found.comparisons) + 2 * len(found.groups)


def _panel(axes: Axes, found: Evidence) -> None:
    claim = found.claim
    smallest = claim.smallest_effect
    axes.axvspan(-smallest, smallest, color="0.9", linewidth=0)
    axes.axvline(0, color="0.6", linewidth=0.6)
    labels: list[str] = []
    for group in found.groups:
        if len(found.groups) > 1:
            labels.append(f"against {group.against or group.comparisons[0].baseline_label}")
        for one in group.comparisons:
            _comparison(axes, len(labels), one, one is found.primary)
            labels.append(_label(one))
        if group.pooled:
            _pooled(axes, len(labels), group)
            labels.append(_POOLED)
    axes.set_yticks(range(len(labels)), labels, fontsize=6)
    for tick, text in zip(axes.get_yticklabels(), labels, strict=True):
        if text == _POOLED or text.startswith("against "):
            tick.set_fontweight("bold")
    axes.set_ylim(len(labels) - 0.3, -0.7)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    noun = found.comparisons[0].section.metric
    better = "lower" if noun.lower_is_better else "higher"
    axes.set_title(f"Claim {claim.letter}", loc="left")
    axes.set_xlabel(f"gain: {better} {noun.label}")


def _label(one: Comparison) -> str:
    experiment = one.section.experiment.partition("/")[2].replace("_", " ")
    return ", ".join(filter(None, [experiment, one.arm.context_label]))


def _comparison(axes: Axes, row: int, one: Comparison, primary: bool) -> None:
    colour = COLOURS[one.judged]
    below = [row + PAIRS_BELOW] * len(one.gains)
    axes.plot(one.gains, below, ".", color="0.4", alpha=0.6, markersize=3, markeredgewidth=0)
    marker, size = ("s", 5.0) if primary else ("o", 3.5)
    _interval(axes, row, one.gain, colour, marker, size)


def _pooled(axes: Axes, row: int, group: Group) -> None:
    assert group.pooled is not None
    _interval(axes, row, group.pooled.mean, "black", "D", 4.5)


def _interval(
    axes: Axes, row: int, interval: Interval, colour: str, marker: str, size: float
) -> None:
    if interval.defined:
        axes.plot([interval.low, interval.high], [row, row], color=colour, linewidth=1.4)
    axes.plot(interval.mean, row, marker=marker, color=colour, markersize=size)


def _legend() -> list[Line2D | Patch]:
    def point(marker: str, colour: str, text: str, size: float = 4.0) -> Line2D:
        return Line2D(
            [], [], linestyle="none", label=text, marker=marker, color=colour, markersize=size
        )

    return [
        *(Line2D([], [], color=COLOURS[kind], linewidth=2, label=kind.value) for kind in Verdict),
        point("s", "0.3", "stands in for the primary one", 5),
        point("D", "black", _POOLED),
        point(".", "0.6", "one pair"),
        Patch(color="0.9", label="of no interest"),
    ]
