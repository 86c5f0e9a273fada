"""Verdicts by definition and on simulated pairs with known truth; pooled estimates."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

from scripts.compare.pooled import pool
from scripts.compare.verdicts import LEAST_PAIRS, Verdict, detectable, judge

SMALLEST = 0.05


def pairs(mean, half_width, n=10):
    """Give pairs whose 95 % interval is mean ± half_width (n = 10)."""
    values = np.linspace(-1, 1, n)
    error = values.std(ddof=1) / math.sqrt(n)
    reach = {10: 2.2622}[n] * error
    return (mean + values * half_width / reach).tolist()


@pytest.mark.parametrize(
    ("mean", "half_width", "verdict"),
    [
        (0.0, 0.01, Verdict.EQUIVALENT),
        (0.03, 0.01, Verdict.EQUIVALENT),  # excludes 0, and matters to nobody
        (-0.03, 0.01, Verdict.EQUIVALENT),
        (0.0, 0.055, Verdict.EQUIVALENT),  # the 90 % interval is ± 0.045
        (0.1, 0.02, Verdict.GAIN),
        (0.06, 0.055, Verdict.GAIN),
        (-0.1, 0.02, Verdict.LOSS),
        (-0.05, 0.06, Verdict.NO_GAIN),
        (0.0, 0.1, Verdict.UNDECIDED),
        (0.05, 0.06, Verdict.UNDECIDED),
    ],
)
def test_each_verdict_follows_from_its_intervals(mean, half_width, verdict):
    assert judge(pairs(mean, half_width), SMALLEST) is verdict


@pytest.mark.parametrize("count", range(LEAST_PAIRS))
def test_few_pairs_decide_nothing_however_clear(count):
    assert judge([0.5 + 0.001 * i for i in range(count)], SMALLEST) is Verdict.UNDECIDED


def test_missing_gains_are_no_pairs():
    assert judge([math.nan] * 8 + [0.30, 0.301], SMALLEST) is Verdict.UNDECIDED


def verdicts(effect, deviation=0.05, trials=2000, n=10):
    draws = np.random.default_rng(0).normal(effect, deviation, (trials, n))
    return [judge(draw, SMALLEST) for draw in draws]


def test_arms_that_do_not_differ_are_told_apart_in_5_percent():
    found = verdicts(0.0, deviation=0.2)  # too wide to be equivalent
    differing = sum(one in (Verdict.GAIN, Verdict.LOSS) for one in found) / len(found)
    assert differing == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize("effect", [SMALLEST, -SMALLEST])
def test_an_effect_of_the_smallest_size_is_called_equivalent_in_at_most_5_percent(effect):
    found = verdicts(effect)
    assert sum(one is Verdict.EQUIVALENT for one in found) / len(found) < 0.065


def test_the_detectable_effect_is_found_with_the_power_that_it_names():
    values = pairs(0.0, 0.1)
    effect, deviation = detectable(values), np.std(values, ddof=1)
    draws = np.random.default_rng(3).normal(effect, deviation, (4000, 10))
    found = (stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05).mean()
    assert found == pytest.approx(0.8, abs=0.03)
    assert math.isnan(detectable([0.1]))


def test_comparisons_are_pooled_by_their_precision():
    """They differ by no more than their noise, so that the weights are those of fixed effects."""
    precise, vague = [0.09, 0.1, 0.11] * 4, [-0.3, 0.2, 0.7] * 4
    found = pool([precise, vague])
    weights = [len(values) / np.var(values, ddof=1) for values in (precise, vague)]
    assert found.mean.mean == pytest.approx(np.average([0.1, 0.2], weights=weights))
    error = sum(weights) ** -0.5
    assert found.mean.half_width == pytest.approx(stats.t.ppf(0.975, 1) * error)
    assert found.heterogeneity == 0


def test_the_variance_between_comparisons_is_that_of_paule_and_mandel():
    """With it, Cochran's Q equals its degrees of freedom."""
    gains = [[0.0, 0.02], [0.3, 0.35], [0.1, 0.14, 0.12]]
    means = np.array([np.mean(g) for g in gains])
    variances = np.array([np.var(g, ddof=1) / len(g) for g in gains])

    def excess(between):
        weights = 1 / (variances + between)
        center = (weights * means).sum() / weights.sum()
        return (weights * (means - center) ** 2).sum() - 2

    weights = 1 / (variances + brentq(excess, 0, 1))
    assert pool(gains).mean.mean == pytest.approx((weights * means).sum() / weights.sum(), rel=1e-4)


def test_what_has_no_variance_of_its_own_is_left_out():
    assert pool([[0.1], [0.2, 0.2], [0.1] * 3, [0.1, 0.3]]) is None
    assert pool([]) is None
    assert pool([[0.1, 0.3], [0.1, 0.2], [5.0]]).mean.n == 2


def test_the_prediction_interval_adds_the_variance_between_comparisons():
    generator = np.random.default_rng(1)
    gains = [generator.normal(shift, 0.001, 10) for shift in (-0.1, 0.0, 0.1, 0.2)]
    found = pool(gains)
    between = np.var([np.mean(values) for values in gains], ddof=1)  # their noise is next to none
    spread = math.sqrt(between + between / 4)
    assert found.new_task.half_width == pytest.approx(stats.t.ppf(0.975, 2) * spread, rel=1e-2)
    assert found.mean.half_width == pytest.approx(
        stats.t.ppf(0.975, 3) * math.sqrt(between / 4), rel=1e-2
    )
    assert not pool(gains[:2]).new_task.defined


@pytest.mark.parametrize(("between", "comparisons"), [(0.0, 8), (0.03, 4), (0.03, 8)])
def test_the_pooled_interval_covers_the_mean_of_independent_comparisons(between, comparisons):
    generator = np.random.default_rng(2)
    hits = 0
    for _ in range(400):
        truths = generator.normal(0.02, between, comparisons)
        mean = pool([generator.normal(truth, 0.05, 10) for truth in truths]).mean
        hits += mean.low <= 0.02 <= mean.high
    assert hits / 400 == pytest.approx(0.95, abs=0.03)
