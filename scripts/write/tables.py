"""Write comparisons as numbers: the tables/*.csv of a preset."""

from collections.abc import Sequence

import pandas as pd

from scripts.compare.comparison import Comparison
from scripts.compare.intervals import Interval


def csv(rows: Sequence[dict[str, object]]) -> str:
    """Write rows, numbers with six figures."""
    table = pd.DataFrame(rows)
    return str(table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def comparison_rows(comparisons: Sequence[Comparison]) -> list[dict[str, object]]:
    """Give a row for each comparison; gaps are NaN, and what no run counts is left out."""
    counts = any(one.arm.mean("skipped") >= 0 for one in comparisons)
    return [_row(one, counts) for one in comparisons]


def _row(one: Comparison, counts_skipped: bool) -> dict[str, object]:
    arm, experiment = one.arm, one.experiment
    return {
        "setting": arm.setting,
        "tried": arm.tried,
        "arm": arm.label,
        "chosen": arm.chosen,
        "task": experiment.task,
        **{key: arm.config(key) for key in experiment.columns},
        **bounds("final", one.final),
        "seeds": one.final.n,
        **bounds("selected", arm.over_seeds(experiment.metric.selected)),
        "train": arm.over_seeds(experiment.metric.train_key).mean,
        "against": one.other_label,
        **bounds("difference", one.difference),
        "pairs": one.difference.n,
        "verdict": one.verdict,
        "seconds": arm.mean("seconds"),
        **({"skipped": arm.mean("skipped")} if counts_skipped else {}),
        **({"peak_megabytes": arm.mean("peak_megabytes")} if experiment.memory else {}),
        "unfinished": len(arm.lacking),
    }


def bounds(name: str, interval: Interval) -> dict[str, float]:
    """Give the columns of a mean with its interval."""
    return {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
