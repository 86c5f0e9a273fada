"""Whether the runs of an arm that were made here agree with the committed ones."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from scripts.compare.arms import Arm, arms_of
from scripts.compare.comparison import DECIMALS
from scripts.compare.intervals import Interval, t_interval
from scripts.compare.sides import Sides
from scripts.read.declared import Experiment
from scripts.read.preset import ARM
from scripts.read.tables import RESULTS, SEED

UNSEEN = 0.5 * 10**-DECIMALS
"""The largest difference that tables do not show."""


@dataclass(frozen=True)
class ArmAgreement:
    """One arm's values on both sides; ``same`` of ``shared`` runs are equal in every digit.

    ``here`` are its runs made here that are committed too, ``new`` those that are not.
    """

    name: str
    committed: Interval
    here: Interval
    new: Interval
    difference: Interval
    shared: int
    same: int

    @property
    def agrees(self) -> bool | None:
        """Tell whether the difference's interval reaches what is unseen; None if it has none.

        Runs that are all equal in every digit agree however few they are.
        """
        if self.shared and self.same == self.shared == self.committed.n == self.here.n:
            return True
        if not self.difference.defined:
            return None
        return self.difference.low <= UNSEEN and self.difference.high >= -UNSEEN


def compare_sides(
    sides: Sides, arms: pd.DataFrame, experiments: Mapping[str, Experiment]
) -> dict[str, list[ArmAgreement]]:
    """Compare the arms of each experiment of which there are runs, given arms.csv."""
    ids = sides.runs.drop_duplicates("id")[["id", "asked"]]
    placed = arms.merge(ids, on="id").drop(columns="id").merge(sides.runs, on="asked")
    found = {}
    for name, experiment in experiments.items():
        own = placed[placed["experiment"] == name].sort_values([*ARM, SEED], ignore_index=True)
        if len(own):
            found[name] = [_compare(arm, experiment.metric.final) for arm in arms_of(own)]
    return found


def _compare(arm: Arm, column: str) -> ArmAgreement:
    runs = arm.table.iloc[arm.rows]
    made, paired = runs["side"] == "here", runs["paired"]
    old, here, new = runs[~made], runs[made & paired], runs[made & ~paired]
    values = [_by_seed(side, column) for side in (old, here, new)]
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
    )


def _by_seed(runs: pd.DataFrame, column: str) -> pd.Series:
    if column not in runs:
        return pd.Series(dtype=float)
    return runs.set_index(SEED)[column].dropna().astype(float)


def _identical(old: pd.DataFrame, here: pd.DataFrame) -> tuple[int, int]:
    """Count the ids on both sides, and those whose results are equal in every digit."""
    columns = [name for name in old if name.startswith(RESULTS)]
    first, second = old.set_index("id")[columns], here.set_index("id")[columns]
    shared = first.index.intersection(second.index)
    a, b = first.loc[shared], second.loc[shared]
    equal = (a == b) | (a.isna() & b.isna())
    return len(shared), int(equal.all(axis=1).sum())
