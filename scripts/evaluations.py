"""Say how many evaluations the numbers of a section rest on, and where in training they lie."""

import pandas as pd

from scripts.comparison import SectionResult
from scripts.results_table import finished

MOST = 5
IN_WORDS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}
LAST_PART = 0.9
"""The share of training after which an evaluation is late."""


def average(result: SectionResult) -> str:
    """Name what the final value is, as ``the mean of the last five evaluations``."""
    counts = _evaluations(result).groupby("id").size().clip(upper=MOST)
    if counts.empty:
        return f"the mean of the last evaluations, {IN_WORDS[MOST]} at most"
    fewest, most = IN_WORDS[counts.min()], IN_WORDS[counts.max()]
    if most == "one":
        return "that of the last evaluation"
    return f"the mean of the last {fewest if fewest == most else f'{fewest} to {most}'} evaluations"


def are_late(result: SectionResult) -> bool:
    """Tell whether the runs were evaluated in the last tenth of their training only."""
    evaluations = _evaluations(result)
    ends = result.curves.groupby("id")["epoch"].max()
    share = evaluations["epoch"] / evaluations["id"].map(ends)
    return bool(len(share) and (share >= LAST_PART).all())


def _evaluations(result: SectionResult) -> pd.DataFrame:
    """Give the rows of the finished runs' curves that hold the section's metric."""
    curves, metric = result.curves, result.section.metric
    own = curves[curves["id"].isin(finished(result.runs)["id"])]
    return own.dropna(subset=[metric.key]) if metric.key in own else own.iloc[:0]
