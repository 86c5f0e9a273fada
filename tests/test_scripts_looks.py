"""The sign-flip interval against the test that it inverts, and decisions on simulated pairs."""

import itertools
import math

import numpy as np
import pytest

from scripts.compare.looks import decide
from scripts.compare.sign_flip import sign_flip_interval
from scripts.compare.verdicts import Verdict

LOOKS = (10, 12, 15, 18, 20)
SMALLEST = 0.05


def p_value(differences, center):
    """Give the two-sided p-value of the sign-flip test of the mean, by enumeration."""
    values = np.asarray(differences) - center
    signs = np.array(list(itertools.product([1, -1], repeat=len(values))))
    return (np.abs(signs @ values) >= abs(values.sum()) - 1e-12).mean()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_interval_holds_what_the_test_does_not_reject(seed, level):
    values = np.random.default_rng(seed).standard_t(2, 9)
    found = sign_flip_interval(values, level)
    for bound, outwards in ((found.low, -1), (found.high, 1)):
        assert p_value(values, bound + outwards * 1e-6) <= 1 - level
        assert p_value(values, bound - outwards * 1e-6) > 1 - level


@pytest.mark.parametrize(("pairs", "level"), [(5, 0.95), (8, 0.995)])
def test_too_few_pairs_bound_nothing(pairs, level):
    assert sign_flip_interval(range(pairs), level).low == -math.inf
    assert math.isfinite(sign_flip_interval(range(pairs + 1), level).low)


def test_drawn_subsets_give_nearly_the_exact_interval(monkeypatch):
    values = np.random.default_rng(0).normal(size=18)
    exact = sign_flip_interval(values)
    monkeypatch.setattr("scripts.compare.sign_flip.EXACT_UP_TO", 10)
    drawn = sign_flip_interval(values)
    assert [drawn.low, drawn.high] == pytest.approx([exact.low, exact.high], abs=0.02)


def test_missing_values_do_not_count():
    assert sign_flip_interval([1.0, math.nan]).n == 1
    assert math.isnan(sign_flip_interval([]).mean)


def symmetric(kind, generator, size):
    """Draw differences that are symmetric about 0."""
    if kind == "normal":
        return generator.normal(0, 1, size)
    if kind == "heavy tails":
        return generator.standard_t(2, size)
    ends = generator.choice([0.05, 0.48], (2, *size)) + generator.normal(0, 0.01, (2, *size))
    return ends[0] - ends[1]  # two exchangeable arms, each of which learns one scale or both


KINDS = ("normal", "heavy tails", "bimodal")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pairs", [10, 15])
def test_the_interval_covers_a_center_of_symmetry_as_often_as_it_says(kind, pairs):
    draws = symmetric(kind, np.random.default_rng(pairs), (1500, pairs))
    intervals = [sign_flip_interval(draw) for draw in draws]
    covered = np.mean([one.low <= 0 <= one.high for one in intervals])
    assert covered == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_exchangeable_arms_gain_falsely_in_at_most_5_percent_over_looks_and_claims(kind):
    """Three claims, so a third of 5 % each; the smallest effect is too small for equivalence."""
    draws = symmetric(kind, np.random.default_rng(1), (1000, 15))
    found = [decide(draw, 1e-6, (10, 12, 15)).verdict for draw in draws]
    gains = np.mean([one is Verdict.GAIN for one in found])
    assert gains < 0.05 / 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_all_five_looks_gain_falsely_in_at_most_5_percent_over_the_claims(kind):
    draws = symmetric(kind, np.random.default_rng(2), (2000, 20))
    found = [decide(draw, 1e-6, LOOKS).verdict for draw in draws]
    assert np.mean([one is Verdict.GAIN for one in found]) < 0.05 / 3


@pytest.mark.slow
@pytest.mark.parametrize("deviation", [0.02, 0.05, 0.1])
def test_an_effect_of_the_smallest_size_is_equivalent_in_at_most_5_percent_of_cases(deviation):
    draws = np.random.default_rng(3).normal(SMALLEST, deviation, (2000, 20))
    found = [decide(draw, SMALLEST, LOOKS).verdict for draw in draws]
    assert np.mean([one is Verdict.EQUIVALENT for one in found]) < 0.05


def said(decision):
    return decision.verdict, decision.interval.n, decision.next_look


def test_a_decision_is_made_at_the_first_look_that_decides_and_stays():
    generator = np.random.default_rng(4)
    clear = generator.normal(0.3, 0.05, 20)
    assert said(decide(clear, SMALLEST, LOOKS)) == (Verdict.GAIN, 10, None)
    late = [*clear[:10], *(-5.0 for _ in range(10))]
    assert said(decide(late, SMALLEST, LOOKS)) == (Verdict.GAIN, 10, None)
    assert decide(-clear, SMALLEST, LOOKS).verdict is Verdict.LOSS
    assert decide(clear / 100, SMALLEST, LOOKS).verdict is Verdict.EQUIVALENT


@pytest.mark.parametrize(
    ("pairs", "decision"),
    [
        (9, (Verdict.UNDECIDED, 0, 10)),
        (10, (Verdict.UNDECIDED, 10, 12)),
        (14, (Verdict.UNDECIDED, 12, 15)),
        (20, (Verdict.UNDECIDED, 20, None)),
    ],
)
def test_an_undecided_comparison_says_how_many_pairs_it_needs_next(pairs, decision):
    values = [0.5 * (-1) ** i for i in range(pairs)]
    assert said(decide(values, SMALLEST, LOOKS)) == decision
