"""How many evaluations the numbers of an experiment rest on, and where in training they lie."""

import pandas as pd

from scripts.compare.comparison import Result
from scripts.read.tables import finished

MOST = 5
"""Evaluations that a final value is the mean of, where there are as many."""
LAST_PART = 0.9
"""The share of training after which an evaluation is late."""


def counts(result: Result) -> tuple[int, int] | None:
    """Give the fewest and the most evaluations that a final value is the mean of."""
    found = _evaluations(result).groupby("id").size().clip(upper=MOST)
    return None if found.empty else (int(found.min()), int(found.max()))


def are_late(result: Result) -> bool:
    """Tell whether the runs were evaluated in the last tenth of their training only."""
    evaluations = _evaluations(result)
    ends = result.curves.groupby("id")["epoch"].max()
    share = evaluations["epoch"] / evaluations["id"].map(ends)
    return bool(len(share) and (share >= LAST_PART).all())


def _evaluations(result: Result) -> pd.DataFrame:
    """Give the rows of the finished runs' curves that hold the experiment's metric."""
    curves, key = result.curves, result.experiment.metric.key
    own = curves[curves["id"].isin(finished(result.runs)["id"])]
    return own.dropna(subset=[key]) if key in own else own.iloc[:0]
