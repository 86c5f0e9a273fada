"""Compare the arms of a section with their baselines, and write the comparison as a table."""

import math
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from scripts.arms import Arm, baseline_of, split_into_arms
from scripts.intervals import Interval, paired_differences, per_seed, t_interval, verdict
from scripts.results_table import of_experiment
from scripts.sections import Section


@dataclass(frozen=True, eq=False)
class Comparison:
    """One arm of a section beside its baseline.

    ``baseline`` is None where none fits, and the arm itself where the arm is a baseline;
    ``difference`` is None in both cases.
    """

    section: Section
    arm: Arm
    baseline: Arm | None
    final: Interval
    baseline_final: Interval
    selected: Interval
    train: Interval
    seconds: float
    difference: Interval | None

    @property
    def is_baseline(self) -> bool:
        """Tell whether the arm is what others are compared with."""
        return self.baseline is self.arm

    @property
    def baseline_label(self) -> str:
        """Name the baseline; empty where there is none."""
        return self.baseline.label if self.baseline else ""

    @property
    def verdict(self) -> str:
        """Say in words what the paired difference shows."""
        if self.is_baseline:
            return "baseline"
        if self.final.n == 0:
            return "no finished run"
        if self.difference is None:
            return "no baseline"
        return verdict(self.difference, self.section.metric.noun, self.section.metric.decimals)

    @property
    def gain(self) -> int | None:
        """Give 1 for better than the baseline, −1 for worse, 0 for neither; None if undecided."""
        if self.difference is None or not self.difference.defined:
            return None
        if not self.difference.excludes_zero:
            return 0
        lower = self.difference.high < 0
        return 1 if lower == self.section.metric.lower_is_better else -1

    @property
    def task(self) -> str:
        """Give what must be said wherever a number of this arm stands."""
        return self.section.task(self.arm.settings)

    @property
    def runs_compared(self) -> tuple[frozenset[str], frozenset[str]]:
        """Identify the comparison by the finished runs on both sides."""
        baseline = self.baseline.finished["id"] if self.baseline else ()
        return frozenset(self.arm.finished["id"]), frozenset(baseline)


@dataclass(frozen=True, eq=False)
class SectionResult:
    """A section with its runs, their learning curves and the comparisons between its arms."""

    section: Section
    runs: pd.DataFrame
    curves: pd.DataFrame
    comparisons: list[Comparison]

    @cached_property
    def arms(self) -> list[Arm]:
        """Give the arms in the order of the table."""
        return [comparison.arm for comparison in self.comparisons]

    @cached_property
    def contexts(self) -> dict[str, list[Comparison]]:
        """Give the comparisons by the label of their context."""
        grouped: dict[str, list[Comparison]] = {}
        for comparison in self.comparisons:
            grouped.setdefault(comparison.arm.context_label, []).append(comparison)
        return grouped

    @property
    def compared(self) -> list[Comparison]:
        """Give the comparisons that have an interval."""
        return [one for one in self.comparisons if one.gain is not None]

    @property
    def main(self) -> list[Comparison]:
        """Give the comparisons that stand in the README."""
        return [
            one
            for one in self.comparisons
            if one.difference is not None and one.difference.n and self.section.main(one.arm)
        ]

    @cached_property
    def task(self) -> str:
        """Give what must be said of all numbers of the section."""
        return "; ".join(dict.fromkeys(one.task for one in self.comparisons if one.task))

    @cached_property
    def hardware(self) -> list[str]:
        """Name the kinds of hardware and versions that the finished runs were made on."""
        return sorted({kind for arm in self.arms for kind in arm.finished["hardware"]})


def compare(section: Section, runs: pd.DataFrame, curves: pd.DataFrame) -> SectionResult:
    """Compare the arms of ``section`` among ``runs``, a whole preset's."""
    own = of_experiment(runs, section.experiment)
    arms = split_into_arms(own, section.treatments)
    comparisons = [
        _compare_arm(section, arm, baseline_of(arm, arms, section.baseline)) for arm in arms
    ]
    own_curves = curves[curves["id"].isin(own["id"])]
    return SectionResult(section, own, own_curves, comparisons)


def table(result: SectionResult) -> pd.DataFrame:
    """Write the comparisons as numbers, one row an arm; gaps are NaN."""
    return pd.DataFrame([_row(comparison) for comparison in result.comparisons])


def _compare_arm(section: Section, arm: Arm, baseline: Arm | None) -> Comparison:
    metric = section.metric
    difference = None
    if baseline is not None and baseline is not arm:
        difference = t_interval(_pairs(arm, baseline, metric.final))
    return Comparison(
        section=section,
        arm=arm,
        baseline=baseline,
        final=_over_seeds(arm, metric.final),
        baseline_final=_over_seeds(baseline, metric.final) if baseline else t_interval([]),
        selected=_over_seeds(arm, metric.selected),
        train=_over_seeds(arm, metric.train_key),
        seconds=float(arm.finished["seconds"].mean()) if "seconds" in arm.runs else math.nan,
        difference=difference,
    )


def _pairs(arm: Arm, baseline: Arm, column: str) -> list[float]:
    if column not in arm.runs:
        return []
    return list(paired_differences(arm.finished, baseline.finished, column))


def _over_seeds(arm: Arm, column: str) -> Interval:
    return t_interval(per_seed(arm.finished, column).tolist() if column in arm.runs else [])


def _row(one: Comparison) -> dict[str, object]:
    difference = one.difference or t_interval([])
    return {
        "context": one.arm.context_label,
        "arm": one.arm.label,
        "task": one.task,
        **_columns("final", one.final),
        "seeds": one.final.n,
        **_columns("selected", one.selected),
        "train": one.train.mean,
        "baseline": one.baseline_label,
        **_columns("difference", difference),
        "pairs": difference.n,
        "verdict": one.verdict,
        "seconds": one.seconds,
        "unfinished": len(one.arm.unfinished),
    }


def _columns(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
