"""Say whether freshly made runs agree with the committed ones.

python -m scripts.agreement results/laptop/runs.csv new/runs.csv
"""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scripts.arms import Arm, settings_of, split_into_arms
from scripts.chapters import section_of
from scripts.intervals import LEVEL, Interval, per_seed, signed, t_interval, welch_interval
from scripts.results_table import (
    experiments_in,
    finished,
    of_experiment,
    read_runs,
    result_columns,
    stack,
)
from scripts.sections import Metric, Section


@dataclass(frozen=True)
class ArmAgreement:
    """One arm's committed and new values; ``same`` of ``shared`` runs are equal in every digit.

    ``unseen`` is the largest difference that the metric's decimals do not show.
    """

    name: str
    committed: Interval
    new: Interval
    difference: Interval
    shared: int
    same: int
    unseen: float

    @property
    def agrees(self) -> bool | None:
        """Tell whether the difference's interval reaches what is unseen; None if it has none.

        Runs that are all equal in every digit agree however few they are.
        """
        if self.shared and self.same == self.shared == self.committed.n == self.new.n:
            return True
        if not self.difference.defined:
            return None
        return self.difference.low <= self.unseen and self.difference.high >= -self.unseen


def compare_arms(both: pd.DataFrame, section: Section) -> list[ArmAgreement]:
    """Compare the arms of one experiment; the column ``side`` holds ``committed`` or ``new``."""
    arms = split_into_arms(both, section.treatments, section.name)
    return [_compare(arm, section.metric) for arm in arms if len(arm.finished)]


def agreement(reference: Path, new: Path) -> str:
    """Write, for every experiment and arm, whether the new runs agree with the committed ones."""
    if not reference.exists():
        return f"There is nothing committed to compare with: {reference} does not exist."
    old_runs, new_runs = finished(read_runs(reference)), finished(read_runs(new))
    if old_runs.empty:
        return f"There is nothing committed to compare with: {reference} holds no finished run."
    if new_runs.empty:
        return f"There is nothing new to compare: {new} holds no finished run."
    both = stack([old_runs.assign(side="committed"), new_runs.assign(side="new")])
    blocks, counted = [], []
    for experiment in experiments_in(both):
        runs = of_experiment(both, experiment)
        section = section_of(experiment, runs)
        arms = compare_arms(runs, section)
        counted += [arm.agrees for arm in arms]
        tasks = dict.fromkeys(section.task(settings) for settings in settings_of(runs))
        title = "; ".join(filter(None, [section.metric.label, *tasks]))
        lines = [f"  {_in_words(arm, section.metric)}" for arm in arms]
        blocks.append("\n".join([f"{experiment} ({title})", *lines]))
    return "\n\n".join([*blocks, _conclusion(counted), _machines(old_runs, new_runs)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the agreement of two tables of runs."""
    parser = argparse.ArgumentParser(description="Do new runs agree with the committed ones?")
    parser.add_argument("reference", type=Path, help="the committed runs.csv")
    parser.add_argument("new", type=Path, help="the runs.csv of the new runs")
    options = parser.parse_args(arguments)
    print(agreement(options.reference, options.new))


def _compare(arm: Arm, metric: Metric) -> ArmAgreement:
    runs = arm.finished
    old, new = runs[runs["side"] == "committed"], runs[runs["side"] == "new"]
    sides = [
        per_seed(side, metric.final) if metric.final in side else pd.Series(dtype=float)
        for side in (old, new)
    ]
    shared, same = _identical(old, new)
    first, second = (t_interval(side) for side in sides)
    difference, unseen = _difference_of(*sides), 0.5 * 10**-metric.decimals
    return ArmAgreement(arm.full_label, first, second, difference, shared, same, unseen)


def _difference_of(old: pd.Series, new: pd.Series) -> Interval:
    """Give new − old over the seeds of both, which share their training sets; else over all."""
    both = (new - old).dropna()
    return t_interval(both) if len(both) > 1 else welch_interval(old, new)


def _identical(old: pd.DataFrame, new: pd.DataFrame) -> tuple[int, int]:
    """Count the ids on both sides, and those whose results are equal in every digit."""
    columns = result_columns(old)
    first, second = old.set_index("id")[columns], new.set_index("id")[columns]
    shared = first.index.intersection(second.index)
    a, b = first.loc[shared], second.loc[shared]
    equal = (a == b) | (a.isna() & b.isna())
    return len(shared), int(equal.all(axis=1).sum())


def _in_words(arm: ArmAgreement, metric: Metric) -> str:
    if arm.committed.n == 0:
        return f"{arm.name}: new only, {_value(arm.new, metric)}"
    if arm.new.n == 0:
        return f"{arm.name}: not run now; committed {_value(arm.committed, metric)}"
    values = f"committed {_value(arm.committed, metric)}, new {_value(arm.new, metric)}"
    result = {True: "agrees", False: "DIFFERS", None: "too few runs to tell"}[arm.agrees]
    return f"{arm.name}: {values}: {result}{_difference(arm, metric)}; {_digits(arm)}"


def _value(interval: Interval, metric: Metric) -> str:
    seeds = f"{interval.n} seed{'s' * (interval.n != 1)}"
    return f"{interval.mean:.{metric.decimals}f} ({seeds})"


def _difference(arm: ArmAgreement, metric: Metric) -> str:
    if not arm.difference.defined:
        return ""
    numbers = (arm.difference.mean, arm.difference.low, arm.difference.high)
    mean, low, high = (signed(value, metric.decimals) for value in numbers)
    return f" (difference {mean}, {LEVEL * 100:g} % interval {low} to {high})"


def _digits(arm: ArmAgreement) -> str:
    if not arm.shared:
        return "no run has the same configuration and seed on both sides"
    return f"{arm.same} of {arm.shared} runs equal in every digit"


def _conclusion(agree: Iterable[bool | None]) -> str:
    known = [one for one in agree if one is not None]
    if not known:
        return "No arm has enough runs on both sides to tell."
    text = f"{sum(known)} of {len(known)} arms agree."
    if not all(known):
        text += (
            f" With {LEVEL * 100:g} % intervals, about {len(known) * (1 - LEVEL):.1f} of "
            f"{len(known)} would differ by chance alone."
        )
    return text


def _machines(old: pd.DataFrame, new: pd.DataFrame) -> str:
    kinds = [sorted(set(runs["hardware"])) for runs in (old, new)]
    if kinds[0] == kinds[1]:
        return f"Both were made on {'; '.join(kinds[0])}."
    text = f"Committed on {'; '.join(kinds[0])}; new on {'; '.join(kinds[1])}."
    return f"{text} Equal digits are only to be expected on equal hardware and versions."


if __name__ == "__main__":
    main()
