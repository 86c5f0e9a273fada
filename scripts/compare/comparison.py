"""Compare the arms of an experiment with their baseline and with their declared rivals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from scripts.compare.arms import Arm, arms_of
from scripts.compare.intervals import Interval, t_interval
from scripts.compare.looks import LEVEL as LOOK_LEVEL
from scripts.compare.looks import Decision, decide
from scripts.compare.verdicts import LEAST_PAIRS, Verdict, detectable, judge
from scripts.read.declared import Experiment, Rival
from scripts.read.preset import Preset
from scripts.read.tables import finished

DECIMALS = 3
"""Of the metrics in tables."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """One arm beside another one: the baseline, or the rival that ``against`` names.

    ``other`` is None where no baseline fits, and the arm itself where it is the baseline; there are
    no pairs in either case.
    """

    experiment: Experiment
    arm: Arm
    other: Arm | None
    against: str = ""

    @property
    def is_baseline(self) -> bool:
        """Tell whether the arm is what others are compared with."""
        return self.other is self.arm

    @property
    def other_label(self) -> str:
        """Name the other arm; empty where there is none."""
        return self.other.label if self.other else ""

    @property
    def tests_claim(self) -> bool:
        """Tell whether it answers the claim of its chapter."""
        return self.arm.kind in self.experiment.claim and bool(self.pairs)

    @property
    def values(self) -> list[float]:
        """Give the arm's metric at the end of training, by seed."""
        return list(self.arm.by_seed(self.experiment.metric.final).values())

    @cached_property
    def final(self) -> Interval:
        """Give the mean of these."""
        return t_interval(self.values)

    @cached_property
    def other_final(self) -> Interval:
        """Give the same of the other arm."""
        return self.other.over_seeds(self.experiment.metric.final) if self.other else t_interval([])

    @cached_property
    def pairs(self) -> tuple[float, ...]:
        """Give the differences to the other arm, in the order of the seeds."""
        if self.other is None or self.is_baseline:
            return ()
        return self.arm.minus(self.other, self.experiment.metric.final)

    @property
    def paired_ids(self) -> list[tuple[str, str]]:
        """Give the ids of the two runs of each pair, in the order of the seeds."""
        if self.other is None or self.is_baseline:
            return []
        other = self.other.ids_by_seed
        return [(id, other[run]) for run, id in self.arm.ids_by_seed.items() if run in other]

    @cached_property
    def difference(self) -> Interval:
        """Give the mean difference with its interval."""
        return t_interval(self.pairs)

    @cached_property
    def gains(self) -> tuple[float, ...]:
        """Give the differences by seed, above 0 where the arm is better."""
        sign = -1 if self.experiment.metric.lower_is_better else 1
        return tuple(sign * difference for difference in self.pairs)

    @cached_property
    def gain(self) -> Interval:
        """Give the mean gain with its interval."""
        return t_interval(self.gains)

    @cached_property
    def decision(self) -> Decision | None:
        """Give what the looks have come to, where the experiment declares looks at this one."""
        if not self.experiment.looks or not self.tests_claim:
            return None
        return decide(self.gains, self.experiment.smallest_effect, self.experiment.looks)

    @cached_property
    def judged(self) -> Verdict:
        """Judge the arm by the smallest effect that is of interest."""
        if self.decision:
            return self.decision.verdict
        return judge(self.gains, self.experiment.smallest_effect)

    @property
    def verdict(self) -> str:
        """Say in words what the pairs show; nothing where an experiment only chooses."""
        if self.experiment.search:
            return ""
        if self.is_baseline:
            return "baseline"
        if self.final.n == 0:
            return "no finished run"
        if self.other is None:
            return "no baseline" if self.experiment.baseline else ""
        return self._looked_at(self.decision) if self.decision else self._verdict_on_pairs()

    def _looked_at(self, decision: Decision) -> str:
        if decision.next_look:
            return f"undecided: next look at {decision.next_look} pairs"
        seen = decision.interval
        low, high = (f"{bound:+.{DECIMALS}f}".replace("-", "−") for bound in (seen.low, seen.high))
        return (
            f"{decision.verdict.value}: [{low}, {high}] at {100 * LOOK_LEVEL:g} %, "
            f"looked at {seen.n} pairs"
        )

    def _verdict_on_pairs(self) -> str:
        count = len(self.gains)
        if count == 0:
            return "no pairs"
        if count < LEAST_PAIRS:
            return f"undecided: {count} pair{'s' * (count > 1)}"
        if self.judged is Verdict.UNDECIDED:
            return f"undecided: {detectable(self.gains):.{DECIMALS}f} could have been seen"
        return self.judged.value

    @property
    def relative_seconds(self) -> float:
        """Give the time of a run over that of one of the other arm; NaN where there is none."""
        if self.other is None or self.is_baseline:
            return math.nan
        return self.arm.mean("seconds") / self.other.mean("seconds")

    @property
    def runs_compared(self) -> tuple[frozenset[str], frozenset[str]]:
        """Identify the comparison by the finished runs on both sides."""
        return self.arm.ids, self.other.ids if self.other else frozenset()


@dataclass(frozen=True, eq=False)
class Result:
    """An experiment with its runs, their learning curves and the comparisons of its arms.

    ``comparisons`` are those with the baseline, one an arm; ``rivals`` those with other arms.
    """

    experiment: Experiment
    runs: pd.DataFrame
    curves: pd.DataFrame
    comparisons: Sequence[Comparison]
    rivals: Sequence[Comparison] = ()

    @cached_property
    def settings(self) -> dict[str, list[Comparison]]:
        """Give the comparisons with the baseline by setting."""
        grouped: dict[str, list[Comparison]] = {}
        for one in self.comparisons:
            grouped.setdefault(one.arm.setting, []).append(one)
        return grouped

    @property
    def tested(self) -> list[Comparison]:
        """Give the comparisons that answer the claim of the chapter."""
        return [one for one in (*self.comparisons, *self.rivals) if one.tests_claim]

    @property
    def hardware(self) -> list[str]:
        """Name the kinds of hardware and versions that the finished runs were made on."""
        return sorted(set(finished(self.runs)["hardware"]))


def compare_all(preset: Preset, names: Sequence[str] | None = None) -> dict[str, Result]:
    """Compare the arms of a preset's experiments, all or those named."""
    chosen = preset.declared.experiments if names is None else names
    return {
        name: compare(preset.declared.experiments[name], preset.frames[name], preset.curves)
        for name in chosen
    }


def compare(experiment: Experiment, runs: pd.DataFrame, curves: pd.DataFrame) -> Result:
    """Compare the arms of an experiment, given its frame and the curves of all runs."""
    arms = arms_of(runs)
    comparisons = [Comparison(experiment, arm, _baseline(experiment, arm, arms)) for arm in arms]
    rivals = [
        Comparison(experiment, arm, other, name)
        for name, rival in experiment.rivals.items()
        for arm in arms
        if _meets(arm, rival, experiment) and (other := _rival(arm, rival, arms))
    ]
    return Result(experiment, runs, curves[curves["id"].isin(runs["id"])], comparisons, rivals)


def _baseline(experiment: Experiment, arm: Arm, arms: Sequence[Arm]) -> Arm | None:
    """Find the baseline in the setting of an arm, of several the one that tried the same.

    Of an arm that tries several things, the baseline names the one: ``masks (p 0)``.
    """
    named = [a for a in arms if experiment.baseline in (a.label, f"{a.label} ({a.tried})")]
    fits = [a for a in named if a.setting == arm.setting]
    fits = [a for a in fits if a.tried == arm.tried] or fits
    return fits[0] if len(fits) == 1 else None


def _meets(arm: Arm, rival: Rival, experiment: Experiment) -> bool:
    if rival.arms is not None:
        return arm.kind == rival.arms
    return arm.label != experiment.baseline and not _is(arm, rival.against)


def _is(arm: Arm, name: str) -> bool:
    return name in (arm.kind, arm.label)


def _rival(arm: Arm, rival: Rival, arms: Sequence[Arm]) -> Arm | None:
    """Find the rival in the setting of an arm; None unless exactly one fits."""
    fits = [
        other
        for other in arms
        if other.setting == arm.setting and _is(other, rival.against) and other is not arm
    ]
    if rival.same:
        fits = [other for other in fits if _shared(other, arm, rival.same)]
    return fits[0] if len(fits) == 1 else None


def _shared(arm: Arm, other: Arm, column: str) -> bool:
    return bool(arm.first(column) == other.first(column))
