"""Write an experiment: its tables, and what a reader must know to read them."""

import math
from collections.abc import Sequence

from scripts.compare.comparison import DECIMALS, Comparison, Result
from scripts.compare.evaluations import MOST, are_late, counts
from scripts.compare.intervals import LEVEL
from scripts.figures.style import FigurePlan
from scripts.read.costs import Cost
from scripts.read.naming import in_words, key_in_words
from scripts.write.costs import costs_of, extra_memory, step_time
from scripts.write.markdown import (
    GAP,
    amount,
    difference_with_interval,
    folded,
    listed,
    markdown_table,
    with_interval,
)
from scripts.write.search import best_table

_SELECTED = "at the epoch chosen by validation"
_FOLD_FROM = 60
"""Rows from which on a table is folded."""
_NUMBERS = ("", "one", "two", "three", "four", "five")


def experiment_text(
    result: Result, figures: Sequence[FigurePlan], costs: Sequence[Cost] = ()
) -> str:
    """Write the experiment with its tables, notes and figures."""
    experiment = result.experiment
    parts = [f"### {experiment.title}", experiment.question, task_note(experiment.task)]
    if not result.hardware:
        parts += ["No run of this experiment has finished.", _unfinished(result)]
    else:
        parts += [
            best_table(result),
            comparison_table(result, costs),
            rival_table(result),
            *_notes(result),
            f"Numbers: [{experiment.slug}.csv](tables/{experiment.slug}.csv).",
        ]
    parts += [figure_text(plan) for plan in figures]
    return "\n\n".join(filter(None, parts))


def task_note(task: str) -> str:
    """Write what must be said of the numbers that follow."""
    return f"*{task[0].upper()}{task[1:]}.*" if task else ""


def figure_text(plan: FigurePlan) -> str:
    """Write a figure with its caption."""
    return f"![{plan.name}](figures/{plan.name}.png)\n\n*{plan.caption}*"


def comparison_table(result: Result, costs: Sequence[Cost] = ()) -> str:
    """Write the arms as a Markdown table, the baseline first in every setting."""
    metric = result.experiment.metric
    header = [
        "setting", "tried", "arm", "chosen",
        *map(key_in_words, result.experiment.columns),
        "seeds", metric.label, _SELECTED, metric.train_label,
        "difference to the baseline, paired", "verdict",
        "step time relative to none", "extra memory",
        "batches skipped a run", "seconds a run", "peak memory, MB",
    ]  # fmt: skip
    rows = markdown_table(header, [_row(one, costs) for one in result.comparisons])
    return folded(rows, len(result.comparisons), "rows", _FOLD_FROM)


def rival_table(result: Result) -> str:
    """Write the comparisons with other arms than the baseline; empty if there are none."""
    if not result.rivals:
        return ""
    noun = result.experiment.metric.label
    header = ["setting", "arm", "against", noun, "of the other", "difference, paired", "verdict"]
    rows = markdown_table(header, [_rival_row(one) for one in result.rivals])
    names = listed(list(dict.fromkeys(one.against for one in result.rivals)))
    return f"Against {names}:\n\n{rows}"


def _row(one: Comparison, costs: Sequence[Cost]) -> list[str]:
    arm, experiment = one.arm, one.experiment
    metric = experiment.metric
    train = arm.over_seeds(metric.train_key)
    beside_plain = experiment.benchmark and not one.is_baseline
    own = costs_of(experiment, arm, costs) if beside_plain else []
    skipped = arm.mean("skipped")
    return [
        arm.setting,
        arm.tried,
        arm.label,
        arm.chosen,
        *(in_words(arm.config(key)) for key in experiment.columns),
        str(one.final.n),
        with_interval(one.final),
        with_interval(arm.over_seeds(metric.selected)) if metric.selected in arm.table else "",
        f"{train.mean:.{DECIMALS}f}" if train.n else GAP,
        difference_with_interval(one.difference) if one.other and not one.is_baseline else "",
        one.verdict,
        step_time(own) if beside_plain else "",
        extra_memory(own) if beside_plain else "",
        "" if math.isnan(skipped) else amount(skipped),
        _seconds(one),
        amount(arm.mean("peak_megabytes")) if experiment.memory else "",
    ]


def _rival_row(one: Comparison) -> list[str]:
    return [one.arm.setting, *both_sides(one)]


def both_sides(one: Comparison) -> list[str]:
    """Write both arms, what each reached, the difference and the verdict."""
    return [
        one.arm.label,
        one.other_label,
        with_interval(one.final),
        with_interval(one.other_final),
        difference_with_interval(one.difference),
        one.verdict,
    ]


def _seconds(one: Comparison) -> str:
    ratio = one.relative_seconds if one.experiment.relative_seconds else math.nan
    return amount(one.arm.mean("seconds")) + ("" if math.isnan(ratio) else f" (× {ratio:.2f})")


def _notes(result: Result) -> list[str]:
    """Write what the table's numbers are, and what they can and cannot show."""
    lines = [
        _what_the_numbers_are(result),
        _few_epochs_to_choose(result),
        _what_the_costs_are(result),
        _skipped(result),
        _chance(result),
        _hardware(result),
        _unfinished(result),
    ]
    return [line for line in lines if line]


def _what_the_numbers_are(result: Result) -> str:
    metric, baseline = result.experiment.metric, result.experiment.baseline
    text = (
        f"Means over seeds with {LEVEL * 100:g} % t-intervals; {metric.label} is "
        f"{average(result)}, {metric.train_label} that of the last epoch."
    )
    if metric.key.startswith("test."):
        text += " All seeds share one test set; the intervals do not cover the draw of it."
    if baseline:
        where = " of the same setting" if len(result.settings) > 1 else ""
        text += f" Differences are to “{baseline}”{where}, over the seeds that both have."
    low, high = metric.bounds
    if any(one.final.low < low or one.final.high > high for one in result.comparisons):
        text += " Intervals of few seeds that differ much reach beyond values that can occur."
    return text


def average(result: Result) -> str:
    """Name what a final value is, as ``the mean of the last five evaluations``."""
    found = counts(result)
    if found is None:
        return f"the mean of the last evaluations, {_NUMBERS[MOST]} at most"
    fewest, most = (_NUMBERS[count] for count in found)
    if most == "one":
        return "that of the last evaluation"
    return f"the mean of the last {fewest if fewest == most else f'{fewest} to {most}'} evaluations"


def _few_epochs_to_choose(result: Result) -> str:
    if result.experiment.metric.selected not in result.runs or not are_late(result):
        return ""
    return (
        f"All evaluations lie in the last tenth of training: the column “{_SELECTED}” chooses "
        "among these few late epochs only."
    )


def _what_the_costs_are(result: Result) -> str:
    if not result.experiment.benchmark:
        return ""
    return (
        "Step times and the memory beyond that of plain training, at its peak, are from benchmarks "
        "(`results/bench`), not from these runs; ten or twenty MiB either way are the allocator's."
    )


def _skipped(result: Result) -> str:
    if not any(one.arm.mean("skipped") > 0 for one in result.comparisons):
        return ""
    return (
        "A batch that lacks one of the two classes says nothing about such a loss: it is skipped, "
        "costs nothing and is no update."
    )


def _chance(result: Result) -> str:
    """Say what the intervals can show; nothing where an experiment only chooses."""
    made = [one.difference for one in (*result.comparisons, *result.rivals)]
    widths = [f"{one.half_width:.{DECIMALS}f}" for one in made if one.defined]
    if not widths or result.experiment.search:
        return ""
    low, high = min(widths, key=float), max(widths, key=float)
    if high == f"{0:.{DECIMALS}f}":
        return ""
    span = low if low == high else f"{low} to {high}"
    text = f"Half widths of the differences' intervals: {span}; most smaller effects go unseen."
    if len(widths) > 1:
        text += (
            f" The table{'s make' if result.rivals else ' makes'} {len(widths)} comparisons: if "
            f"nothing differed, about {len(widths) * (1 - LEVEL):.1f} intervals would still "
            "exclude 0."
        )
    return text


def _hardware(result: Result) -> str:
    if len(result.hardware) < 2:
        return ""
    return (
        f"The runs were made on {len(result.hardware)} kinds of hardware and versions "
        f"({'; '.join(result.hardware)}). Pairs are formed within one kind only; the means and "
        "seconds of an arm go over all."
    )


def _unfinished(result: Result) -> str:
    count = sum(len(one.arm.lacking) for one in result.comparisons)
    return f"Without results: {count} of {len(result.runs)} runs; listed below." if count else ""
