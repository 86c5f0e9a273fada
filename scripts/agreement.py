"""Say whether the runs of a preset that were made here agree with the committed ones.

python -m scripts.agreement results/runs/reference/laptop.csv results/runs/here/laptop.csv
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scripts.arms import Arm, settings_of, split_into_arms
from scripts.chapters import section_of
from scripts.intervals import LEVEL, Interval, per_seed, signed, t_interval
from scripts.results_table import experiments_in, of_experiment, result_columns
from scripts.sections import Metric, Section
from scripts.sides import NothingCommitted, NothingMadeHere, Sides, read_sides


@dataclass(frozen=True)
class ArmAgreement:
    """One arm's values on both sides; ``same`` of ``shared`` runs are equal in every digit.

    ``here`` are its runs made here that are committed too, ``new`` those that are not. ``unseen``
    is the largest difference that the metric's decimals do not show.
    """

    name: str
    committed: Interval
    here: Interval
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
        if self.shared and self.same == self.shared == self.committed.n == self.here.n:
            return True
        if not self.difference.defined:
            return None
        return self.difference.low <= self.unseen and self.difference.high >= -self.unseen


def compare_arms(runs: pd.DataFrame, section: Section) -> list[ArmAgreement]:
    """Compare the arms of one experiment; the runs have the columns of ``Sides.runs``."""
    arms = split_into_arms(runs, section.treatments, section.name)
    return [_compare(arm, section.metric) for arm in arms if len(arm.finished)]


def agreement(sides: Sides) -> str:
    """Write, for every experiment and arm, whether the runs made here agree with the committed."""
    blocks, counted = [], []
    for experiment in experiments_in(sides.runs):
        runs = of_experiment(sides.runs, experiment)
        section = section_of(experiment, runs)
        arms = compare_arms(runs, section)
        counted += [arm.agrees for arm in arms]
        tasks = dict.fromkeys(section.task(settings) for settings in settings_of(runs))
        title = "; ".join(filter(None, [section.metric.label, *tasks]))
        lines = [f"  {_in_words(arm, section.metric)}" for arm in arms]
        blocks.append("\n".join([f"{experiment} ({title})", *lines]))
    return "\n\n".join([*blocks, _made(sides), _conclusion(counted, sides)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the agreement of a preset; give 1 if it is required and there is nothing to compare."""
    parser = argparse.ArgumentParser(description="Do the runs made here agree with the committed?")
    parser.add_argument("reference", type=Path, help="the committed runs.csv")
    parser.add_argument("here", type=Path, help="the planned runs as they stand here")
    parser.add_argument(
        "--required", action="store_true",
        help="end with an error where runs are committed and none was made here",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        print(agreement(read_sides(options.reference, options.here)))
    except NothingCommitted as reason:
        print(reason)
    except NothingMadeHere as reason:
        print(reason)
        return int(options.required)
    return 0


def _compare(arm: Arm, metric: Metric) -> ArmAgreement:
    runs = arm.finished
    made, paired = runs["side"] == "here", runs["paired"]
    old, here, new = runs[~made], runs[made & paired], runs[made & ~paired]
    values = [
        per_seed(side, metric.final) if metric.final in side else pd.Series(dtype=float)
        for side in (old, here, new)
    ]
    shared, same = _identical(old, here)
    return ArmAgreement(
        arm.full_label,
        committed=t_interval(values[0]),
        here=t_interval(values[1]),
        new=t_interval(values[2]),
        # by seed: runs of one seed share their training set
        difference=t_interval((values[1] - values[0]).dropna()),
        shared=shared,
        same=same,
        unseen=0.5 * 10**-metric.decimals,
    )


def _identical(old: pd.DataFrame, here: pd.DataFrame) -> tuple[int, int]:
    """Count the ids on both sides, and those whose results are equal in every digit."""
    columns = result_columns(old)
    first, second = old.set_index("id")[columns], here.set_index("id")[columns]
    shared = first.index.intersection(second.index)
    a, b = first.loc[shared], second.loc[shared]
    equal = (a == b) | (a.isna() & b.isna())
    return len(shared), int(equal.all(axis=1).sum())


def _in_words(arm: ArmAgreement, metric: Metric) -> str:
    parts = _compared(arm, metric)
    if arm.new.n:
        parts.append(f"new {_value(arm.new, metric)}, not in the committed table")
    return f"{arm.name}: {'; '.join(parts)}"


def _compared(arm: ArmAgreement, metric: Metric) -> list[str]:
    if arm.committed.n == 0:
        return [f"here {_value(arm.here, metric)}, nothing committed"] if arm.here.n else []
    if arm.here.n == 0:
        return ["not run now", f"committed {_value(arm.committed, metric)}"]
    values = f"committed {_value(arm.committed, metric)}, here {_value(arm.here, metric)}"
    result = {True: "agrees", False: "DIFFERS", None: "too few runs to tell"}[arm.agrees]
    return [f"{values}: {result}{_difference(arm, metric)}", _digits(arm)]


def _value(interval: Interval, metric: Metric) -> str:
    seeds = f"{interval.n} seed{'s' * (interval.n != 1)}"
    return f"{interval.mean:.{metric.decimals}f} ({seeds})"


def _difference(arm: ArmAgreement, metric: Metric) -> str:
    if not arm.difference.defined:
        return ""
    numbers = (arm.difference.mean, arm.difference.low, arm.difference.high)
    mean, low, high = (signed(value, metric.decimals) for value in numbers)
    seeds = f" on {arm.difference.n} seeds" if arm.difference.n < arm.committed.n else ""
    return f" (difference{seeds} {mean}, {LEVEL * 100:g} % interval {low} to {high})"


def _digits(arm: ArmAgreement) -> str:
    if not arm.shared:
        return "no run has the same configuration and seed on both sides"
    return f"{arm.same} of {arm.shared} runs equal in every digit"


def _made(sides: Sides) -> str:
    """Say how many runs were made here, on what, and how many of them are new."""
    text = (
        f"{len(sides.here)} of {sides.planned} runs of the preset `{sides.preset}` were made "
        f"here, on {_hardware(sides.here)}."
    )
    if new := len(sides.new):
        text += f" {new} of them {'is' if new == 1 else 'are'} new: not in the committed table."
    return text


def _conclusion(agree: Iterable[bool | None], sides: Sides) -> str:
    if sides.committed.empty:
        return "Nothing was compared: no run made here is in the committed table."
    known = [one for one in agree if one is not None]
    text = f"{sum(known)} of {len(known)} arms agree."
    if not known:
        text = "No arm has enough runs on both sides to tell."
    elif not all(known):
        text += (
            f" With {LEVEL * 100:g} % intervals, about {len(known) * (1 - LEVEL):.1f} of "
            f"{len(known)} would differ by chance alone."
        )
    return f"{text}\n\n{_machines(sides)}"


def _machines(sides: Sides) -> str:
    committed = _hardware(sides.committed)
    if committed == _hardware(sides.here):
        return "The committed ones were made on the same."
    return (
        f"The committed ones were made on {committed}. "
        "Equal digits are only to be expected on equal hardware and versions."
    )


def _hardware(runs: pd.DataFrame) -> str:
    return "; ".join(sorted(set(runs["hardware"])))


if __name__ == "__main__":
    sys.exit(main())
