"""Intervals against SciPy and by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from scripts.compare.intervals import Interval, t_interval


@pytest.mark.parametrize("n", [2, 3, 10])
def test_t_interval_equals_scipy(n):
    values = np.random.default_rng(n).standard_normal(n)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert t_interval(values).n == n
    np.testing.assert_allclose(
        [t_interval(values).low, t_interval(values).high], [expected.low, expected.high]
    )


def test_a_narrower_interval_has_a_lower_level():
    values = np.random.default_rng(0).standard_normal(8)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert t_interval(values, 0.9).low == pytest.approx(expected.low)


def test_t_interval_of_two_values_by_hand():
    interval = t_interval([1.0, 2.0])
    assert interval.mean == 1.5
    assert interval.half_width == pytest.approx(12.7062 * 0.5, rel=1e-4)


def test_one_value_has_a_mean_but_no_interval():
    interval = t_interval([0.25])
    assert interval.mean == 0.25
    assert not interval.defined
    assert not interval.excludes_zero


def test_missing_values_do_not_count():
    assert t_interval([1.0, math.nan, 3.0]).n == 2
    assert t_interval([math.nan]).n == 0
    assert t_interval([]).n == 0


def test_equal_values_have_an_interval_of_no_width():
    assert t_interval([0.5, 0.5, 0.5]) == Interval(0.5, 0.5, 0.5, 3)
