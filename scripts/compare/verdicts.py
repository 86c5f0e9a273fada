"""What a comparison shows, in one of five words that a smallest effect of interest defines."""

import math
from collections.abc import Sequence
from enum import Enum

import numpy as np
from statsmodels.stats.power import TTestPower

from scripts.compare.intervals import Interval, t_interval

LEAST_PAIRS = 10
"""Pairs from which on a comparison is judged: with 5 no exact test goes below p = 0.06."""
EQUIVALENCE_LEVEL = 0.90
"""Level of the interval that must lie within the smallest effect: two one-sided tests at 5 %."""
POWER = 0.8


class Verdict(Enum):
    """What paired gains show of an arm, by its smallest effect of interest."""

    EQUIVALENT = "equivalent"
    GAIN = "gain"
    LOSS = "loss"
    NO_GAIN = "no gain of interest"
    UNDECIDED = "undecided"


def judge(gains: Sequence[float], smallest: float) -> Verdict:
    """Judge an arm by its paired gains over another, above 0 where it is the better one.

    In this order: *equivalent* if the 90 % interval of the mean lies within ± ``smallest``; *gain*
    or *loss* if the 95 % interval excludes 0; *no gain of interest* if it lies below ``smallest``;
    else, and for fewer than 10 pairs, *undecided*. These are t-intervals: where gains are skewed,
    or an arm fails now and then, they err more often than they say.

    >>> judge([0.03, 0.04] * 5, 0.05), judge([0.08, 0.09] * 5, 0.05)
    (<Verdict.EQUIVALENT: 'equivalent'>, <Verdict.GAIN: 'gain'>)
    """
    wide = t_interval(gains)
    if wide.n < LEAST_PAIRS:
        return Verdict.UNDECIDED
    return verdict_of(t_interval(gains, EQUIVALENCE_LEVEL), wide, smallest)


def verdict_of(narrow: Interval, wide: Interval, smallest: float) -> Verdict:
    """Judge by two intervals of the gain: one for equivalence, a wider one for all else."""
    if -smallest <= narrow.low and narrow.high <= smallest:
        return Verdict.EQUIVALENT
    if wide.excludes_zero:
        return Verdict.GAIN if wide.low > 0 else Verdict.LOSS
    return Verdict.NO_GAIN if wide.high < smallest else Verdict.UNDECIDED


def detectable(gains: Sequence[float]) -> float:
    """Give the true mean that as many such pairs would show with 80 % power; NaN below two pairs.

    It takes their standard deviation for the true one (paired t-test, two-sided, at 5 %).
    """
    if len(gains) < 2:
        return math.nan
    deviation = float(np.std(gains, ddof=1))
    effect = TTestPower().solve_power(nobs=len(gains), alpha=0.05, power=POWER)
    return float(effect) * deviation
