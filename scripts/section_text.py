"""Write a section of the report: its table, and what a reader must know to read it."""

import math

from scripts.arms import Arm, settings_of, varying_keys
from scripts.best_arms import best_arms
from scripts.comparison import Comparison, SectionResult
from scripts.costs import extra_memory, step_time
from scripts.evaluations import are_late, average
from scripts.intervals import LEVEL
from scripts.labels import in_words, key_in_words
from scripts.markdown_table import (
    GAP,
    amount,
    difference_with_interval,
    listed,
    markdown_table,
    with_interval,
)
from scripts.sections import FigurePlan

_SELECTED = "at the epoch chosen by validation"

_FOLD_FROM = 60
"""Rows from which on a table is folded."""


def section_text(result: SectionResult, figures: list[FigurePlan]) -> str:
    """Write the section with its table, notes and figures."""
    section = result.section
    parts = [f"### {section.title}", section.question, task_note(result.task)]
    if not result.hardware:
        parts += ["No run of this experiment has finished.", unfinished_note(result)]
    else:
        parts += [comparison_table(result), rival_table(result), *notes(result)]
        parts.append(f"Numbers: [{section.slug}.csv](tables/{section.slug}.csv).")
    parts += [figure_text(plan) for plan in figures]
    return "\n\n".join(filter(None, parts))


def task_note(task: str) -> str:
    """Write what must be said of the numbers that follow."""
    return f"*{task[0].upper()}{task[1:]}.*" if task else ""


def figure_text(plan: FigurePlan) -> str:
    """Write a figure with its caption."""
    path = f"figures/{plan.name}"
    return f"![{plan.name}]({path}.png)\n\n*{plan.caption}* [PDF]({path}.pdf)"


def comparison_table(result: SectionResult) -> str:
    """Write the arms as a Markdown table, untreated arms first in every context."""
    metric = result.section.metric
    header = [
        "setting",
        "arm",
        *map(key_in_words, result.section.columns),
        "seeds",
        metric.label,
        _SELECTED,
        metric.train_label,
        "difference to the baseline, paired",
        "verdict",
        "step time relative to none",
        "extra memory",
        "batches skipped a run",
        "seconds a run",
        "peak memory, MB",
    ]
    rows = markdown_table(header, [_row(one) for one in result.comparisons])
    if len(result.comparisons) < _FOLD_FROM:
        return rows
    count = len(result.comparisons)
    return f"<details>\n<summary>All {count} rows</summary>\n\n{rows}\n\n</details>"


def rival_table(result: SectionResult) -> str:
    """Write the comparisons with other arms than the baseline; empty if there are none."""
    if not result.rivals:
        return ""
    noun = result.section.metric.label
    header = ["setting", "arm", "against", noun, "of the other", "difference, paired", "verdict"]
    rows = markdown_table(header, [_rival_row(one) for one in result.rivals])
    names = listed(list(dict.fromkeys(one.against for one in result.rivals)))
    return f"Against {names}:\n\n{rows}"


def notes(result: SectionResult) -> list[str]:
    """Write what the table's numbers are, and what they can and cannot show."""
    lines = [
        _what_the_numbers_are(result),
        _few_epochs_to_choose(result),
        _what_the_costs_are(result),
        best_arms(result),
        _varying(result),
        _skipped(result),
        _chance(result),
        _hardware(result),
        unfinished_note(result),
    ]
    return [line for line in lines if line]


def unfinished_note(result: SectionResult) -> str:
    """Name the arms and seeds that lack results; empty if none do."""
    gaps = [_gap(arm) for arm in result.arms if len(arm.unfinished)]
    if not gaps:
        return ""
    count = sum(len(arm.unfinished) for arm in result.arms)
    total = sum(len(arm.runs) for arm in result.arms)
    return f"Without results: {count} of {total} runs ({'; '.join(gaps)}); listed below."


def _row(one: Comparison) -> list[str]:
    decimals = one.section.metric.decimals
    selected = with_interval(one.selected, decimals)
    train = f"{one.train.mean:.{decimals}f}" if one.train.n else GAP
    return [
        one.arm.context_label,
        one.arm.label,
        *(in_words(one.arm.settings.get(key)) for key in one.section.columns),
        str(one.final.n),
        with_interval(one.final, decimals),
        selected if one.section.metric.selected in one.arm.runs else "",
        train if one.section.metric.train_key in one.arm.runs else "",
        "" if one.is_baseline else difference_with_interval(one.difference, decimals),
        "" if one.baseline is None and one.final.n else one.verdict,
        *_costs(one),
        "" if math.isnan(one.skipped) else amount(one.skipped),
        _seconds(one),
        amount(one.megabytes) if one.section.memory else "",
    ]


def _rival_row(one: Comparison) -> list[str]:
    decimals = one.section.metric.decimals
    return [
        one.arm.context_label,
        one.arm.label,
        one.baseline_label,
        with_interval(one.final, decimals),
        with_interval(one.baseline_final, decimals),
        difference_with_interval(one.difference, decimals),
        one.verdict,
    ]


def _costs(one: Comparison) -> tuple[str, str]:
    if one.section.benchmark is None or one.is_baseline:
        return "", ""
    return step_time(one.costs), extra_memory(one.costs)


def _seconds(one: Comparison) -> str:
    known = one.section.relative_seconds and not one.is_baseline
    ratio = one.relative_seconds if known else math.nan
    return amount(one.seconds) + ("" if math.isnan(ratio) else f" (× {ratio:.2f})")


def _what_the_numbers_are(result: SectionResult) -> str:
    metric = result.section.metric
    baselines = {one.baseline_label for one in result.comparisons if one.baseline}
    text = (
        f"Means over seeds with {LEVEL * 100:g} % t-intervals; {metric.label} is "
        f"{average(result)}, {metric.train_label} that of the last epoch."
    )
    if metric.key.startswith("test."):
        text += " All seeds share one test set; the intervals do not cover the draw of it."
    if baselines:
        where = " of the same setting" if any(result.contexts) else ""
        names = " or ".join(sorted(baselines))
        text += f" Differences are to “{names}”{where}, over the seeds that both have."
    low, high = metric.bounds
    if any(one.final.low < low or one.final.high > high for one in result.comparisons):
        text += " Intervals of few seeds that differ much reach beyond values that can occur."
    return text


def _few_epochs_to_choose(result: SectionResult) -> str:
    if result.section.metric.selected not in result.runs or not are_late(result):
        return ""
    return (
        f"All evaluations lie in the last tenth of training: the column “{_SELECTED}” chooses "
        "among these few late epochs only."
    )


def _what_the_costs_are(result: SectionResult) -> str:
    if result.section.benchmark is None:
        return ""
    return (
        "Step times and the memory beyond that of plain training, at its peak, are from benchmarks "
        "(`results/bench`), not from these runs; ten or twenty MiB either way are the allocator's."
    )


def _varying(result: SectionResult) -> str:
    settings = settings_of(result.runs)
    context = {key for arm in result.arms for key in arm.context}
    keys = [key for key in varying_keys(settings) if key in context]
    if not keys:
        return ""
    values = [
        f"`{key}` ({listed(sorted({in_words(row.get(key)) for row in settings}))})" for key in keys
    ]
    return f"Besides what is under test, and seeds, these settings vary: {', '.join(values)}."


def _skipped(result: SectionResult) -> str:
    if not any(one.skipped > 0 for one in result.comparisons):
        return ""
    return (
        "A batch that lacks one of the two classes says nothing about such a loss: it is skipped, "
        "costs nothing and is no update."
    )


def _chance(result: SectionResult) -> str:
    made = [one.difference for one in (*result.compared, *result.rivals)]
    found = [one for one in made if one is not None and one.defined]
    if not found:
        return ""
    decimals = result.section.metric.decimals
    widths = [f"{one.half_width:.{decimals}f}" for one in found]
    low, high = min(widths, key=float), max(widths, key=float)
    span = low if low == high else f"{low} to {high}"
    if high == f"{0:.{decimals}f}":
        return ""
    text = f"Half widths of the differences' intervals: {span}; most smaller effects go unseen."
    if len(found) > 1:
        text += (
            f" The table{'s make' if result.rivals else ' makes'} {len(found)} comparisons: if "
            f"nothing differed, about {len(found) * (1 - LEVEL):.1f} intervals would still "
            "exclude 0."
        )
    return text


def _hardware(result: SectionResult) -> str:
    if len(result.hardware) < 2:
        return ""
    return (
        f"The runs were made on {len(result.hardware)} kinds of hardware and versions "
        f"({'; '.join(result.hardware)}). Pairs are formed within one kind only; the means and "
        "seconds of an arm go over all."
    )


def _gap(arm: Arm) -> str:
    seeds = sorted(arm.unfinished["config.seed"])
    noun = "seed" if len(seeds) == 1 else "seeds"
    return f"{arm.full_label}: {noun} {listed(list(map(str, seeds)))}"
