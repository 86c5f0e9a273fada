"""Rows that no experiment asks for any more, and what they say to the claims all the same."""

from collections.abc import Sequence

import pandas as pd

from scripts.arms import Arm, split_into_arms
from scripts.comparison import Comparison, compare_arm
from scripts.labels import in_words
from scripts.markdown_table import difference_with_interval, markdown_table, with_interval
from scripts.results_table import finished, of_experiment
from scripts.sections import Chapter, Section


def left_over(runs: pd.DataFrame) -> pd.DataFrame:
    """Give the finished rows that belong to no experiment of the preset."""
    rows = finished(runs)
    return rows[rows["experiments"] == ""]


def earlier_comparisons(chapters: Sequence[Chapter], runs: pd.DataFrame) -> list[Comparison]:
    """Compare arms with masks and without, where one of them is of an earlier design.

    Each belongs to the first experiment that tests a claim on the same task.
    """
    old = left_over(runs)
    found: list[Comparison] = []
    taken: set[frozenset[str]] = set()
    for section in (one for chapter in chapters for one in chapter.sections if one.tests_claim):
        for one in _of_section(section, runs, old):
            ids = frozenset().union(*one.runs_compared)
            if ids not in taken:
                taken.add(ids)
                found.append(one)
    return found


def _of_section(section: Section, runs: pd.DataFrame, old: pd.DataFrame) -> list[Comparison]:
    own = finished(of_experiment(runs, section.experiment))
    if own.empty or old.empty:
        return []
    alike = pd.concat([old[_tasks(old).isin(set(_tasks(own)))], own], ignore_index=True)
    arms = split_into_arms(alike, section.treatments, section.name)
    compared = [
        compare_arm(section, masked, other)
        for masked in filter(section.main, arms)
        for other in arms
        if not other.masks and masked.context == other.context and _is_old(masked, other)
    ]
    return [one for one in compared if one.gains]


def _tasks(runs: pd.DataFrame) -> pd.Series:
    """Give the data of each row and how it is judged, which rows to be compared have in common."""
    metric = runs["config.metric"].astype(str) if "config.metric" in runs else ""
    return runs["config.dataset._target_"].astype(str) + metric


def _is_old(*arms: Arm) -> bool:
    return any((arm.runs["experiments"] == "").all() for arm in arms)


def earlier_table(compared: Sequence[Comparison]) -> str:
    """Write the comparisons as a Markdown table, arms with their learning rates."""
    header = ["experiment", "setting", "arm", "against", "metric", "of the arm", "of the other"]
    header += ["difference, paired", "verdict"]
    return markdown_table(header, [_row(one) for one in compared])


def earlier_text(runs: pd.DataFrame, compared: Sequence[Comparison]) -> str:
    """Write what has become of the rows of earlier designs; nothing if there are none."""
    rows = left_over(runs)
    if rows.empty:
        return ""
    shown = {id for one in compared for ids in one.runs_compared for id in ids}
    others = sum(id not in shown for id in rows["id"])
    text = (
        f"## Earlier designs\n\n{len(rows)} finished rows of `runs.csv` belong to no experiment "
        "any more: their rates, sizes or probabilities were replaced after a wider search. They "
        "stay, and where they can be compared with arms of a claim they are, so that nothing that "
        f"they say is lost; {others} have nothing to be compared with."
    )
    if not compared:
        return text
    summary = f"<summary>{len(compared)} comparisons</summary>"
    return f"{text}\n\n<details>\n{summary}\n\n{earlier_table(compared)}\n\n</details>"


def _row(one: Comparison) -> list[str]:
    metric = one.section.metric
    return [
        f"`{one.section.experiment}`",
        one.arm.context_label,
        _with_rate(one.arm),
        _with_rate(one.baseline) if one.baseline else "",
        metric.label,
        with_interval(one.final, metric.decimals),
        with_interval(one.baseline_final, metric.decimals),
        difference_with_interval(one.difference, metric.decimals),
        one.verdict,
    ]


def _with_rate(arm: Arm) -> str:
    rate = in_words(arm.settings.get("optimizer.lr"))
    return arm.label if "learning rate" in arm.label else f"{arm.label}, learning rate {rate}"
