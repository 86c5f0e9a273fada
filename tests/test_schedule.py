"""When evaluations fall, and what the learning rate does."""

import itertools

import pytest

from experiments.build import ConfigurationError, build
from experiments.identity import run_id
from experiments.run import run
from experiments.schedule import (
    constant,
    cosine,
    evaluation_epochs,
    learning_rate_factor,
    step_down,
)
from tests.test_run import Interrupted, interrupt_after, numbers, store_of


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


def rates(settings):
    return [row["learning_rate"] for row in store_of(settings).metrics()]


def test_shapes_hold_step_down_and_fall():
    assert [constant()(share) for share in (0.0, 0.9)] == [1.0, 1.0]
    assert [step_down([0.5, 0.75], 0.1)(x) for x in (0.4, 0.5, 0.8)] == pytest.approx(
        [1, 0.1, 0.01]
    )
    assert [cosine(0.2)(share) for share in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.6, 0.2])


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("schedule=constant", [1.0, 1.0, 1.0, 1.0]),
        ("schedule=step", [1.0, 1.0, 0.1, 0.01]),
        ("schedule=exponential", [1.0, 0.95, 0.95**2, 0.95**3]),
    ],
)
def test_the_learning_rate_follows_its_schedule(scored_settings, override, expected):
    settings = scored_settings(override, "epochs=4", "warmup=0", "budget.updates=2")
    run(settings)
    assert rates(settings) == pytest.approx([0.01 * each for each in expected])


def test_the_warm_up_rises_to_what_a_scheduler_says(scored_settings):
    settings = scored_settings("schedule=exponential", "epochs=4", "warmup=0.5", "budget.updates=1")
    run(settings)
    assert rates(settings) == pytest.approx([0.005, 0.0095, 0.01 * 0.95**2, 0.01 * 0.95**3])


@pytest.mark.parametrize("override", ["schedule=step", "schedule=exponential"])
def test_a_run_with_a_schedule_resumes_to_the_same_numbers(scored_settings, tmp_path, override):
    overrides = (override, "epochs=4", "system.checkpoint_seconds=0")
    whole = scored_settings(*overrides, f"system.runs={tmp_path / 'whole'}")
    expected = numbers(run(whole))
    broken = scored_settings(*overrides)
    with pytest.raises(Interrupted):
        run(broken, interrupt_after(2))
    assert numbers(run(broken)) == expected
    assert rates(broken) == rates(whole)


def test_a_schedule_changes_the_id_and_its_absence_does_not(scored_settings):
    plain = scored_settings()
    assert run_id(scored_settings("schedule=constant")) != run_id(plain)
    assert run_id({key: plain[key] for key in plain if key != "schedule"}) == run_id(plain)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["schedule=step", "schedule.at=[2.0]"], "^schedule: at must hold shares"),
        (["schedule=cosine", "schedule.end=1"], "^schedule: end must be in"),
        (["schedule=cosine", "+schedule.nope=1"], r"^schedule\.nope is unknown"),
        (
            ["schedule=constant", "schedule._target_=torch.optim.lr_scheduler.ReduceLROnPlateau"],
            "^schedule: ReduceLROnPlateau",
        ),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(scored_settings, overrides, message):
    with pytest.raises((ConfigurationError, ValueError), match=message):
        build(scored_settings(*overrides))
