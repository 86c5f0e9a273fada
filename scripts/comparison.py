"""Compare the arms of a section with their baselines, and write the comparison as a table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from scripts.arms import Arm, baseline_of, split_into_arms
from scripts.costs import Cost
from scripts.intervals import Interval, paired_differences, per_seed, t_interval
from scripts.labels import joined_tasks
from scripts.results_table import of_experiment
from scripts.sections import Section
from scripts.verdicts import LEAST_PAIRS, Verdict, detectable, judge


@dataclass(frozen=True, eq=False)
class Comparison:
    """One arm of a section beside its baseline.

    ``baseline`` is None where none fits, and the arm itself where the arm is a baseline;
    ``pairs``, the differences to it by seed, is None in both cases. In place of the baseline a
    rival may stand; ``against`` is then the name that the section gives it. ``skipped`` batches are
    counted a run; ``megabytes`` are the mean of the runs' peak memory; ``costs`` are those of a
    step of the arm, where its section shows them.
    """

    section: Section
    arm: Arm
    baseline: Arm | None
    final: Interval
    baseline_final: Interval
    selected: Interval
    train: Interval
    seconds: float
    skipped: float
    megabytes: float
    pairs: tuple[float, ...] | None
    against: str = ""
    costs: tuple[Cost, ...] = ()

    @property
    def is_baseline(self) -> bool:
        """Tell whether the arm is what others are compared with."""
        return self.baseline is self.arm

    @property
    def baseline_label(self) -> str:
        """Name the baseline; empty where there is none."""
        return self.baseline.label if self.baseline else ""

    @cached_property
    def difference(self) -> Interval | None:
        """Give the mean difference to the baseline with its interval."""
        return None if self.pairs is None else t_interval(self.pairs)

    @cached_property
    def gains(self) -> tuple[float, ...]:
        """Give the differences by seed, above 0 where the arm is better."""
        sign = -1 if self.section.metric.lower_is_better else 1
        return tuple(sign * difference for difference in self.pairs or ())

    @cached_property
    def gain(self) -> Interval:
        """Give the mean gain with its interval."""
        return t_interval(self.gains)

    @cached_property
    def judged(self) -> Verdict:
        """Judge the arm by the smallest effect that is of interest in its section."""
        return judge(self.gains, self.section.smallest_effect)

    @property
    def verdict(self) -> str:
        """Say in words what the paired differences show; nothing where a section only chooses."""
        if self.section.chooses:
            return ""
        if self.is_baseline:
            return "baseline"
        if self.final.n == 0:
            return "no finished run"
        if self.pairs is None:
            return "no baseline"
        return self._verdict_on_pairs()

    def _verdict_on_pairs(self) -> str:
        count = len(self.gains)
        if count == 0:
            return "no pairs"
        if count < LEAST_PAIRS:
            return f"undecided: {count} pair{'s' * (count > 1)}"
        if self.judged is Verdict.UNDECIDED:
            seen = f"{detectable(self.gains):.{self.section.metric.decimals}f}"
            return f"undecided: {seen} could have been seen"
        return self.judged.value

    @property
    def relative_seconds(self) -> float:
        """Give the time of a run over that of one of the baseline; NaN where there is none."""
        if self.baseline is None or "seconds" not in self.baseline.finished:
            return math.nan
        return self.seconds / float(self.baseline.finished["seconds"].mean())

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
    """A section with its runs, their learning curves and the comparisons between its arms.

    ``comparisons`` are those with the baseline, one an arm; ``rivals`` those with other arms.
    """

    section: Section
    runs: pd.DataFrame
    curves: pd.DataFrame
    comparisons: list[Comparison]
    rivals: list[Comparison] = field(default_factory=list)

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
        """Give the comparisons with the baseline that have an interval."""
        return [one for one in self.comparisons if one.difference and one.difference.defined]

    @property
    def main(self) -> list[Comparison]:
        """Give the comparisons that stand in the README."""
        return [
            one
            for one in [*self.comparisons, *self.rivals]
            if one.difference is not None and one.difference.n and self.section.main(one.arm)
        ]

    @property
    def counts_skipped(self) -> bool:
        """Tell whether any run counted the batches that it skipped."""
        return any(not math.isnan(one.skipped) for one in self.comparisons)

    @cached_property
    def task(self) -> str:
        """Give what must be said of all numbers of the section."""
        return joined_tasks(one.task for one in self.comparisons)

    @cached_property
    def hardware(self) -> list[str]:
        """Name the kinds of hardware and versions that the finished runs were made on."""
        return sorted({kind for arm in self.arms for kind in arm.finished["hardware"]})


def compare(
    section: Section, runs: pd.DataFrame, curves: pd.DataFrame, costs: Sequence[Cost] = ()
) -> SectionResult:
    """Compare the arms of ``section`` among ``runs``, a whole preset's."""
    own = of_experiment(runs, section.experiment)
    arms = split_into_arms(own, section.treatments, section.name)
    comparisons = [
        compare_arm(
            section,
            arm,
            baseline_of(arm, arms, section.baseline),
            costs=_costs_of(arm, section, costs),
        )
        for arm in arms
    ]
    rivals = [
        compare_arm(section, arm, rival, against)
        for against, find in section.rivals.items()
        for arm in arms
        if (rival := find(arm, arms))
    ]
    own_curves = curves[curves["id"].isin(own["id"])]
    return SectionResult(section, own, own_curves, comparisons, rivals)


def table(result: SectionResult) -> pd.DataFrame:
    """Write the comparisons with the baseline as numbers, one row an arm; gaps are NaN."""
    return _table(result, result.comparisons)


def rivals_table(result: SectionResult) -> pd.DataFrame:
    """Write the comparisons with rivals as numbers; the rival stands as the baseline."""
    return _table(result, result.rivals)


def _table(result: SectionResult, comparisons: list[Comparison]) -> pd.DataFrame:
    """Leave out what no run of the section has counted."""
    rows = pd.DataFrame([_row(one) for one in comparisons])
    return rows if result.counts_skipped else rows.drop(columns="skipped", errors="ignore")


def compare_arm(
    section: Section,
    arm: Arm,
    baseline: Arm | None,
    against: str = "",
    costs: tuple[Cost, ...] = (),
) -> Comparison:
    """Compare an arm with another one, with nothing where there is none."""
    metric = section.metric
    pairs = None
    if baseline is not None and baseline is not arm:
        pairs = _pairs(arm, baseline, metric.final)
    return Comparison(
        section=section,
        arm=arm,
        baseline=baseline,
        final=_over_seeds(arm, metric.final),
        baseline_final=_over_seeds(baseline, metric.final) if baseline else t_interval([]),
        selected=_over_seeds(arm, metric.selected),
        train=_over_seeds(arm, metric.train_key),
        seconds=_mean(arm, "seconds"),
        skipped=_mean(arm, "skipped"),
        megabytes=_mean(arm, "peak_megabytes"),
        pairs=pairs,
        against=against,
        costs=costs,
    )


def _costs_of(arm: Arm, section: Section, costs: Sequence[Cost]) -> tuple[Cost, ...]:
    if section.benchmark is None:
        return ()
    wanted = section.benchmark(section.experiment, arm.settings)
    return tuple(cost for cost in costs if (cost.comparison, cost.variant) == wanted)


def _pairs(arm: Arm, baseline: Arm, column: str) -> tuple[float, ...]:
    if column not in arm.runs:
        return ()
    return tuple(paired_differences(arm.finished, baseline.finished, column).dropna())


def _over_seeds(arm: Arm, column: str) -> Interval:
    return t_interval(per_seed(arm.finished, column).tolist() if column in arm.runs else [])


def _mean(arm: Arm, column: str) -> float:
    return float(arm.finished[column].mean()) if column in arm.runs else math.nan


def _row(one: Comparison) -> dict[str, object]:
    difference = one.difference or t_interval([])
    return {
        "context": one.arm.context_label,
        "arm": one.arm.label,
        "task": one.task,
        **{key: one.arm.settings.get(key) for key in one.section.columns},
        **_columns("final", one.final),
        "seeds": one.final.n,
        **_columns("selected", one.selected),
        "train": one.train.mean,
        "baseline": one.baseline_label,
        **_columns("difference", difference),
        "pairs": difference.n,
        "verdict": one.verdict,
        "seconds": one.seconds,
        "skipped": one.skipped,
        **({"peak_megabytes": one.megabytes} if one.section.memory else {}),
        "unfinished": len(one.arm.unfinished),
    }


def _columns(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
