"""An interval of a mean paired gain over runs *and* the items of a fixed test set.

Pairs of runs that share a test set tell how much training varies, not how much the gain would
change on other items. The variance of the mean gain is at most the sum of two: that of the pairs'
gains over pairs, and that of the items' mean contributions over items (the product resampling of
Owen, Annals of Applied Statistics 1, 2007, has the same leading terms). An AUC's contributions are
placement values (DeLong et al., Biometrics 44, 1988): a positive's is the share of negatives that
it outranks.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from scripts.compare.comparison import Comparison
from scripts.compare.intervals import LEVEL, Interval, quantile
from scripts.read.outputs import ItemOutputs, Outputs

FIXED_BY = "dataset.evaluation_seed"
"""The setting that data sets have whose test set is the same at every seed."""


def two_way_interval(
    arm: Sequence[Outputs],
    other: Sequence[Outputs],
    targets: NDArray[np.int64],
    level: float = LEVEL,
) -> Interval:
    """Give the mean gain of an arm over another, with an interval over pairs and test items.

    Args:
        arm: outputs of the arm's runs, one array a pair: scores (items,) in floating point, whose
            quality is the ROC AUC, or predicted classes (items,), whose quality is one minus the
            error.
        other: those of the other arm, pair by pair.
        targets: of the items (items,): classes, or 1 and 0 beside scores.
        level: of the interval.

    Raises:
        ValueError: fewer than two pairs, or sides of different lengths.
    """
    if len(arm) != len(other) or len(arm) < 2:
        raise ValueError(
            f"arm and other must be two or more pairs; got {len(arm)} and {len(other)}"
        )
    pairs = zip(arm, other, strict=True)
    gains = np.array([_parts(a, targets) - _parts(b, targets) for a, b in pairs])
    groups = _groups(arm[0], targets)
    of_pairs = sum(gains[:, group].mean(1) for group in groups) / len(groups)
    of_items = sum(gains[:, group].mean(0).var(ddof=1) / group.sum() for group in groups)
    n = len(gains)
    error = math.sqrt(of_pairs.var(ddof=1) / n + of_items)
    reach = quantile(level, n - 1) * error
    mean = float(of_pairs.mean())
    return Interval(mean, mean - reach, mean + reach, n)


def over_items(one: Comparison, kept: Mapping[str, ItemOutputs]) -> Interval | None:
    """Give the two-way interval of a comparison's gain; None where it cannot be known.

    Args:
        one: a comparison whose runs share a test set.
        kept: outputs and targets of runs, by id.
    """
    pairs = one.paired_ids
    known = all(id in kept for pair in pairs for id in pair)
    if one.arm.config(FIXED_BY) is None or len(pairs) < 2 or not known:
        return None
    arm, other = ([kept[pair[side]].outputs for pair in pairs] for side in (0, 1))
    return two_way_interval(arm, other, kept[pairs[0][0]].targets)


def _parts(outputs: Outputs, targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give what each item contributes: 1 or 0 for a class, its placement value for a score."""
    if outputs.dtype.kind != "f":
        return (outputs == targets).astype(float)
    positive = targets == 1
    parts = np.empty(len(targets))
    ranks = rankdata(outputs)
    for group, others in ((positive, ~positive), (~positive, positive)):
        parts[group] = (ranks[group] - rankdata(outputs[group])) / others.sum()
    parts[~positive] = 1 - parts[~positive]
    return parts


def _groups(outputs: Outputs, targets: NDArray[np.int64]) -> tuple[NDArray[np.bool_], ...]:
    """Give the items over whose mean each: all, or, of an AUC, positives and negatives."""
    if outputs.dtype.kind != "f":
        return (np.ones(len(targets), dtype=bool),)
    return targets == 1, targets != 1
