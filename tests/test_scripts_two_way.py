"""The interval over runs and test items: its mean, and its coverage when both are drawn anew."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from scripts.compare.two_way import two_way_interval


def scores(generator, pairs, targets, shift):
    """Draw scores whose items and runs have effects of their own, positives higher by a shift."""
    items = generator.normal(0, 1, len(targets))
    runs = generator.normal(shift, 0.3, (pairs, 1))
    return items + runs * targets + generator.normal(0, 0.5, (pairs, len(targets)))


def test_the_mean_of_scores_is_the_mean_difference_of_their_auc():
    generator, targets = np.random.default_rng(0), np.repeat([1, 0], [30, 200])
    arm, other = (scores(generator, 5, targets, shift) for shift in (1.2, 1.0))
    means = [np.mean([roc_auc_score(targets, run) for run in side]) for side in (arm, other)]
    assert two_way_interval(arm, other, targets).mean == pytest.approx(means[0] - means[1])


def test_the_mean_of_classes_is_the_mean_fall_of_their_error():
    targets = np.array([0, 1, 2, 1])
    arm = [np.array([0, 1, 2, 1]), np.array([0, 1, 2, 0])]
    other = [np.array([0, 1, 0, 0]), np.array([0, 1, 2, 1])]
    assert two_way_interval(arm, other, targets).mean == pytest.approx((0.5 - 0.25) / 2)


def test_it_covers_the_true_gain_where_items_and_runs_are_drawn_anew():
    generator, pairs, covered = np.random.default_rng(1), 10, []
    for _ in range(400):
        difficulty = generator.normal(0.1, 0.3, 300)  # of each item, to the arm
        drawn = generator.normal(0, 0.05, (pairs, 1)) + difficulty
        arm = (generator.random((pairs, 300)) < np.clip(0.5 + drawn, 0, 1)).astype(int)
        other = (generator.random((pairs, 300)) < 0.5).astype(int)
        true = np.clip(0.5 + generator.normal(0.1, 0.3, 10**4), 0, 1).mean() - 0.5
        found = two_way_interval(list(arm), list(other), np.ones(300, dtype=int))
        covered.append(found.low <= true <= found.high)
    assert np.mean(covered) >= 0.93


def test_one_pair_is_refused():
    with pytest.raises(ValueError, match="two or more pairs; got 1 and 1"):
        two_way_interval([np.zeros(2)], [np.zeros(2)], np.array([0, 1]))
