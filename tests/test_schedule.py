import itertools

import pytest

from experiments.schedule import evaluation_epochs, learning_rate_factor


@pytest.mark.parametrize("epochs", [50, 60, 80, 160, 1000])
def test_five_evaluations_fall_in_the_last_tenth(epochs):
    points = evaluation_epochs(epochs, 10)
    assert len(points) == 10
    assert points[-1] == epochs
    assert sum(point > 0.9 * epochs for point in points) == 5


@pytest.mark.parametrize("epochs", range(1, 50))
def test_short_runs_are_evaluated_at_their_end_and_never_twice(epochs):
    points = evaluation_epochs(epochs, 10)
    assert points[-1] == epochs
    assert points == sorted(set(points))
    assert points[0] >= 1


def test_one_evaluation_is_at_the_end():
    assert evaluation_epochs(30, 1) == [30]


def test_the_learning_rate_rises_to_one_and_falls_towards_zero():
    factors = [learning_rate_factor(step, 100, 0.1) for step in range(100)]
    assert factors[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert max(factors) == 1
    assert all(a >= b for a, b in itertools.pairwise(factors[10:]))
    assert 0 < factors[-1] < 0.001
