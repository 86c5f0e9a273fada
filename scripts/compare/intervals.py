"""Means with t-intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over ``n`` values with its interval (95 %, unless said); NaN bounds below two."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def defined(self) -> bool:
        """Tell whether there are bounds."""
        return not math.isnan(self.low)

    @property
    def half_width(self) -> float:
        """Give half the width: about the smallest true difference that could have been found."""
        return (self.high - self.low) / 2

    @property
    def excludes_zero(self) -> bool:
        """Tell whether 0 lies outside; an undefined interval excludes nothing."""
        return self.low > 0 or self.high < 0


def t_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Give mean ± t · s / √n over the values that are not NaN.

    >>> t_interval([1.0, 2.0, 3.0]).mean
    2.0
    >>> t_interval([1.0]).defined
    False
    """
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    if len(known) == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(known.mean())
    if len(known) == 1:
        return Interval(mean, math.nan, math.nan, 1)
    error = float(known.std(ddof=1)) / math.sqrt(len(known))
    reach = quantile(level, len(known) - 1) * error
    return Interval(mean, mean - reach, mean + reach, len(known))


@cache
def quantile(level: float, freedom: int) -> float:
    """Give how many standard errors an interval reaches; NaN without degrees of freedom."""
    return float(stats.t.ppf((1 + level) / 2, freedom))
