"""Draw arms that differ in the samples of an update: against their share, and against the rate."""

from collections import defaultdict
from collections.abc import Callable

from scripts.batch_arms import kind_of, share_left_out
from scripts.comparison import Comparison, SectionResult
from scripts.intervals import Interval
from scripts.labels import in_words
from scripts.line_figure import SHARE, Line, Panel, line_plans
from scripts.sections import FigurePlan

LEVEL = "full batch"
RATE = "optimizer.lr"
POSITIVES = "dataset.positive_fraction"


def against_share(result: SectionResult) -> list[FigurePlan]:
    """Plan the metric against the share of samples left out: a line a kind, a panel a setting."""
    panels = []
    for context, comparisons in result.contexts.items():
        found = _lines(comparisons, lambda one: kind_of(one.arm.settings), _share)
        level = [
            Line(LEVEL, (), (one.final,))
            for one in comparisons
            if kind_of(one.arm.settings) == LEVEL and one.final.n
        ]
        if found:
            panels.append(Panel(SHARE, [*level, *found], context))
    against = (
        "p: the probability of a sample mask, and for minibatches the share of the set that is not "
        "in one. The full batch is drawn across."
    )
    return line_plans(result, "p", panels, against)


def against_positives(result: SectionResult) -> list[FigurePlan]:
    """Plan the metric against the share of positives, a line an arm."""
    found = _lines(
        result.comparisons, lambda one: one.arm.label, lambda one: one.arm.context.get(POSITIVES)
    )
    panels = [Panel(POSITIVES, found)] if found else []
    against = "the share of positives in the training set. Points of equal x are set side by side."
    return line_plans(result, "positives", panels, against)


def rates_by_kind(result: SectionResult) -> list[FigurePlan]:
    """Plan the metric against the learning rate: a panel a kind of arm, a line a share."""
    kinds = defaultdict(list)
    for one in result.comparisons:
        kinds[kind_of(one.arm.settings)].append(one)
    full = _lines(kinds.pop(LEVEL, []), lambda one: LEVEL, _rate)
    panels = [
        Panel(
            RATE,
            [*full, *_lines(sorted(members, key=_share_in_words), _share_in_words, _rate)],
            kind,
        )
        for kind, members in kinds.items()
    ]
    panels = [panel for panel in panels if panel.lines]
    against = (
        "the learning rate, for every kind of arm and share p of the samples that an update does "
        "without. Points of equal x are set side by side."
    )
    return line_plans(result, "learning_rate", panels, against)


def _lines(
    comparisons: list[Comparison],
    label_of: Callable[[Comparison], str],
    x_of: Callable[[Comparison], float | None],
) -> list[Line]:
    """Join the arms of equal label to lines; arms without results, or without x, are left out."""
    points: dict[str, dict[float, Interval]] = defaultdict(dict)
    for one in comparisons:
        x = x_of(one)
        if x is not None and one.final.n:
            points[label_of(one)][x] = one.final
    return [
        Line(label, tuple(sorted(line)), tuple(line[x] for x in sorted(line)))
        for label, line in points.items()
    ]


def _share(one: Comparison) -> float | None:
    """Give p; None for what leaves nothing out, which is drawn across."""
    return share_left_out(one.arm.settings) or None


def _share_in_words(one: Comparison) -> str:
    return f"p = {in_words(share_left_out(one.arm.settings))}"


def _rate(one: Comparison) -> float | None:
    return one.arm.settings.get(RATE)
