"""Means with 95 % t-intervals: of one arm, and of paired differences."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
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
    error = known.std(ddof=1) / math.sqrt(len(known)) if len(known) > 1 else math.nan
    return _around(float(known.mean()), float(error), len(known) - 1, len(known), level)


def per_seed(runs: pd.DataFrame, column: str) -> pd.Series:
    """Give the value of each seed; runs of one seed on several machines are averaged."""
    return runs.dropna(subset=[column]).groupby("config.seed")[column].mean()


def paired_differences(arm: pd.DataFrame, baseline: pd.DataFrame, column: str) -> pd.Series:
    """Give arm − baseline for every seed that both have on the same kind of hardware.

    Runs of unequal ``hardware`` (processor, device, versions) are never paired: they need not
    share initialisation and order to the last bit.
    """
    keys = ["config.seed", "hardware"]
    sides = [side.dropna(subset=[column]).groupby(keys)[column].mean() for side in (arm, baseline)]
    both = pd.concat(sides, axis=1, join="inner", keys=["arm", "baseline"])
    return (both["arm"] - both["baseline"]).groupby(level="config.seed").mean()


def signed(value: float, decimals: int = 3) -> str:
    """Write a difference with its sign, a true minus, and no −0.

    >>> signed(-0.0891), signed(0.02), signed(-0.0001)
    ('−0.089', '+0.020', '0.000')
    """
    text = f"{value:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def _around(
    mean: float, standard_error: float, freedom: float, n: int, level: float = LEVEL
) -> Interval:
    if math.isnan(standard_error):
        return Interval(mean, math.nan, math.nan, n)
    reach = float(stats.t.ppf((1 + level) / 2, freedom)) * standard_error
    return Interval(mean, mean - reach, mean + reach, n)
