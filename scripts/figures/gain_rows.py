"""Draw paired gains as rows: each pair a faint dot, their interval, the verdict as colour."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from scripts.compare.comparison import Comparison
from scripts.compare.intervals import Interval
from scripts.compare.verdicts import Verdict

COLOURS = {
    Verdict.GAIN: "#009E73",
    Verdict.LOSS: "#D55E00",
    Verdict.EQUIVALENT: "#0072B2",
    Verdict.NO_GAIN: "#CC79A7",
    Verdict.UNDECIDED: "#8C8C8C",
}
ROW_HEIGHT, PANEL_HEIGHT = 0.16, 0.9
_PAIRS_BELOW = 0.3
"""How far the dots of the pairs lie below the interval, in rows."""


def draw_background(axes: Axes, smallest: float) -> None:
    """Draw what is of no interest as a grey band, and no gain as a line."""
    axes.axvspan(-smallest, smallest, color="0.9", linewidth=0)
    axes.axvline(0, color="0.6", linewidth=0.6)


def draw_comparison(axes: Axes, row: int, one: Comparison, marker: str = "o") -> None:
    """Draw the pairs of a comparison and their mean with its interval."""
    below = [row + _PAIRS_BELOW] * len(one.gains)
    axes.plot(one.gains, below, ".", color="0.4", alpha=0.6, markersize=3, markeredgewidth=0)
    draw_interval(axes, row, one.gain, COLOURS[one.judged], marker, 3.5)


def draw_interval(
    axes: Axes, row: int, interval: Interval, colour: str, marker: str, size: float
) -> None:
    """Draw a mean with its interval."""
    if interval.defined:
        axes.plot([interval.low, interval.high], [row, row], color=colour, linewidth=1.4)
    axes.plot(interval.mean, row, marker=marker, color=colour, markersize=size)


def label_rows(axes: Axes, labels: Sequence[str], bold: Sequence[str] = ()) -> None:
    """Name the rows, the first on top."""
    axes.set_yticks(range(len(labels)), labels, fontsize=6)
    for tick, text in zip(axes.get_yticklabels(), labels, strict=True):
        tick.set_fontweight("bold" if text in bold else "normal")
    axes.set_ylim(len(labels) - 0.3, -0.7)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def x_label(one: Comparison) -> str:
    """Say what lies to the right."""
    metric = one.experiment.metric
    return f"gain: {'lower' if metric.lower_is_better else 'higher'} {metric.label}"


def legend(*more: Line2D | Patch) -> list[Line2D | Patch]:
    """Explain colours, dots and band, and what else is given."""
    return [
        *(Line2D([], [], color=COLOURS[kind], linewidth=2, label=kind.value) for kind in Verdict),
        *more,
        point(".", "0.6", "one pair"),
        Patch(color="0.9", label="of no interest"),
    ]


def point(marker: str, colour: str, text: str, size: float = 4.0) -> Line2D:
    """Explain a marker."""
    return Line2D(
        [], [], linestyle="none", label=text, marker=marker, color=colour, markersize=size
    )
