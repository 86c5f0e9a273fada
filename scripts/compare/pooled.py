"""One estimate from several comparisons of a claim, by a random-effects meta-analysis."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from statsmodels.stats.meta_analysis import combine_effects

from scripts.compare.intervals import LEVEL, Interval, quantile

EQUAL = 1e-12
"""Values that differ by less are taken for equal."""


@dataclass(frozen=True)
class Pooled:
    """A mean over comparisons, and where the mean of one more task would lie.

    Attributes:
        mean: with its interval, ``n`` the number of comparisons.
        new_task: the prediction interval; NaN bounds below three comparisons.
        heterogeneity: I², the share of the variance between comparisons that is not their noise.
    """

    mean: Interval
    new_task: Interval
    heterogeneity: float


def pool(gains: Sequence[Sequence[float]]) -> Pooled | None:
    """Pool the paired gains of several comparisons by random effects.

    Variance between comparisons after Paule and Mandel, t-interval with one degree of freedom less
    than comparisons. Comparisons that have no variance of their own (fewer than two pairs, or all
    equal) are left out; None if fewer than two are left. It takes them for independent, which those
    that share seeds, data or a test set are not: the interval is then too narrow.
    """
    known = [np.asarray(values, dtype=float) for values in gains]
    known = [values for values in known if len(values) > 1 and np.ptp(values) > EQUAL]
    if len(known) < 2:
        return None
    means = np.array([values.mean() for values in known])
    variances = np.array([values.var(ddof=1) / len(values) for values in known])
    found = combine_effects(means, variances, method_re="iterated", use_t=True)
    error = float(found.sd_eff_w_re)
    spread = math.sqrt(max(0.0, float(found.tau2)) + error**2)
    mean = float(found.mean_effect_re)
    return Pooled(
        _interval(mean, error, len(known) - 1, len(known)),
        _interval(mean, spread, len(known) - 2, len(known)),
        max(0.0, float(found.i2)),
    )


def _interval(mean: float, error: float, freedom: int, n: int) -> Interval:
    reach = quantile(LEVEL, freedom) * error
    return Interval(mean, mean - reach, mean + reach, n)
