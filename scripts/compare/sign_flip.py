"""The exact interval of a mean paired difference, from flipping the signs of its pairs."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scripts.compare.intervals import LEVEL, Interval

EXACT_UP_TO = 20
"""Pairs up to which all subsets are taken: a million of them."""
DRAWN = 2**17
SEED = 0


def sign_flip_interval(differences: Sequence[float], level: float = LEVEL) -> Interval:
    """Give the differences that a sign-flip test of their mean does not reject, and their mean.

    If differences are symmetric about δ, the means over all 2ⁿ − 1 subsets of them cut the line
    into 2ⁿ intervals, each of which holds δ with equal probability (Hartigan, JASA 64, 1969): so
    the bounds are order statistics of these means. Above 20 pairs, the means over 131,072 subsets
    that are drawn once and for all. Infinite where n is too small for the level: 95 % takes 6
    pairs, 99.5 % takes 9.

    >>> sign_flip_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    Interval(mean=3.5, low=1.0, high=6.0, n=6)
    """
    values = np.asarray(differences, dtype=float)
    values = values[~np.isnan(values)]
    if not len(values):
        return Interval(math.nan, math.nan, math.nan, 0)
    means = subset_means(values)
    rank = math.floor((1 - level) / 2 * (len(means) + 1))
    low, high = -math.inf, math.inf
    if rank:
        low, high = np.partition(means, [rank - 1, len(means) - rank])[[rank - 1, -rank]]
    return Interval(float(values.mean()), float(low), float(high), len(values))


def subset_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the means over all nonempty subsets of up to 20 values, over drawn ones of more."""
    if len(values) > EXACT_UP_TO:
        chosen = np.random.default_rng(SEED).random((DRAWN, len(values))) < 0.5
        counts = chosen.sum(1)
        means: NDArray[np.float64] = (chosen @ values)[counts > 0] / counts[counts > 0]
        return means
    sums, counts = np.zeros(1), np.zeros(1)
    for value in values:
        sums, counts = np.concatenate([sums, sums + value]), np.concatenate([counts, counts + 1])
    return sums[1:] / counts[1:]
