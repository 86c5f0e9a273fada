"""Rows that no experiment asks for any more, and what they say to the claims all the same."""

from collections.abc import Sequence

import pandas as pd

from scripts.arms import Arm, split_into_arms
from scripts.comparison import Comparison, compare_arm
from scripts.labels import in_words
from scripts.markdown_table import difference_with_interval, markdown_table, with_interval
from scripts.results_table import finished
from scripts.sections import Chapter, Section


def left_over(runs: pd.DataFrame) -> pd.DataFrame:
    """Give the finished rows that belong to no experiment of the preset."""
    rows = finished(runs)
    return rows[rows["experiments"] == ""]


def earlier_comparisons(chapters: Sequence[Chapter], runs: pd.DataFrame) -> list[Comparison]:
    """Compare arms with masks and without, where one of them is of an earlier design.

    Rows of an earlier design meet one another, and those arms that test a claim on the same data.
    """
    done = finished(runs)
    return [
        one for chapter in chapters if chapter.claim for one in _of_chapter(chapter.sections, done)
    ]


def _of_chapter(sections: Sequence[Section], runs: pd.DataFrame) -> list[Comparison]:
    testing = [section for section in sections if section.tests_claim]
    own = _in_any(testing, runs)
    tasks = set(_tasks(_in_any(sections, runs)))
    old = left_over(runs)
    old = old[_tasks(old).isin(tasks)]
    if old.empty or not testing:
        return []
    alike = pd.concat([old, own], ignore_index=True)
    section = testing[0]
    arms = split_into_arms(alike, section.treatments, section.name)
    compared = [
        compare_arm(section, masked, other)
        for masked in filter(section.main, arms)
        for other in arms
        if not other.masks and masked.context == other.context and _is_old(masked, other)
    ]
    return [one for one in compared if one.gains]


def _in_any(sections: Sequence[Section], runs: pd.DataFrame) -> pd.DataFrame:
    names = {section.experiment for section in sections}
    return runs[[not names.isdisjoint(cell.split(";")) for cell in runs["experiments"]]]


def _tasks(runs: pd.DataFrame) -> pd.Series:
    """Give the data of each row and how it is judged, which rows to be compared have in common."""
    known = [key for key in ("config.dataset._target_", "config.metric") if key in runs]
    return runs[known].astype(str).agg(" ".join, axis=1)


def _is_old(*arms: Arm) -> bool:
    return any((arm.runs["experiments"] == "").all() for arm in arms)


def earlier_table(compared: Sequence[Comparison]) -> str:
    """Write the comparisons as a Markdown table, arms with their learning rates."""
    header = ["setting", "arm", "against", "metric", "of the arm", "of the other"]
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
