"""Intervals against SciPy and by hand; pairing."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from scripts.intervals import (
    Interval,
    paired_differences,
    per_seed,
    signed,
    t_interval,
)


def runs(*rows):
    return pd.DataFrame(rows, columns=["config.seed", "hardware", "error"])


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


def test_paired_differences_are_arm_minus_baseline_of_equal_seeds():
    arm = runs((0, "A", 0.1), (1, "A", 0.4), (2, "A", 0.3))
    baseline = runs((2, "A", 0.5), (1, "A", 0.2), (7, "A", 0.9))
    assert paired_differences(arm, baseline, "error").to_dict() == pytest.approx({1: 0.2, 2: -0.2})


def test_pairing_refuses_to_mix_hardware():
    arm = runs((0, "A", 0.1), (1, "B", 0.4), (2, "A", 0.3))
    baseline = runs((0, "B", 0.5), (1, "B", 0.2), (2, "A", 0.4))
    assert list(paired_differences(arm, baseline, "error").index) == [1, 2]
    assert paired_differences(arm[:1], baseline[:2], "error").empty


def test_a_seed_run_on_two_machines_makes_one_value_and_one_pair():
    arm = runs((0, "A", 0.1), (0, "B", 0.2), (1, "A", 0.5))
    baseline = runs((0, "A", 0.2), (0, "B", 0.4), (1, "A", 0.5))
    assert per_seed(arm, "error").to_dict() == pytest.approx({0: 0.15, 1: 0.5})
    difference = paired_differences(arm, baseline, "error")
    assert difference.to_dict() == pytest.approx({0: -0.15, 1: 0.0})


def test_runs_without_a_value_make_no_pair():
    arm, baseline = runs((0, "A", math.nan), (1, "A", 0.4)), runs((0, "A", 0.5), (1, "A", 0.2))
    assert list(paired_differences(arm, baseline, "error").index) == [1]


def test_signed_numbers_have_a_true_minus_and_no_negative_zero():
    assert [signed(x) for x in (-0.5, 0.5, -0.0004, 0.0)] == ["−0.500", "+0.500", "0.000", "0.000"]
