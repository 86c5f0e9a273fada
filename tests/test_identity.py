from pathlib import Path

import pytest
from omegaconf.errors import OmegaConfBaseException

from experiments.collect import questions
from experiments.identity import NEUTRAL, identity, question_id, run_id
from experiments.plan import plan
from experiments.precision import has_fast_bfloat16
from experiments.tables import read, settings_of

RESULTS = Path(__file__).resolve().parent.parent / "results"


def test_the_same_configuration_has_the_same_id(settings):
    assert run_id(settings()) == run_id(settings())


def test_every_value_that_can_change_the_numbers_changes_the_id(settings):
    overrides = ["seed=1", "masks.fine.p=0.6", "optimizer.lr=0.01", "precision=float32", "epochs=7"]
    overrides += ["dataset.evaluation_seed=1", "model.norm=layer", "warmup=0.1", "masks=none"]
    ids = {run_id(settings())} | {run_id(settings(override)) for override in overrides}
    if not has_fast_bfloat16("cpu"):
        assert len(ids) == len(overrides)
    else:
        assert len(ids) == len(overrides) + 1


def test_what_cannot_change_the_numbers_does_not_change_the_id(settings):
    system = ("system.threads=1", "system.progress=false", "system.runs=elsewhere")
    assert run_id(settings(*system)) == run_id(settings())


def test_equal_numbers_written_differently_have_one_id(settings):
    assert run_id(settings("masks.fine.p=0")) == run_id(settings("masks.fine.p=0.0"))


def test_settings_that_came_later_leave_the_id_as_it_was_while_they_are_neutral(settings):
    tiny = settings()
    assert {key: tiny[key] for key in NEUTRAL} == NEUTRAL
    before = {key: value for key, value in tiny.items() if key not in NEUTRAL}
    assert run_id(before) == run_id(tiny)
    assert identity(before) == identity(tiny)


@pytest.mark.parametrize(
    "override",
    [
        "batching=stratified",
        "budget=updates",
        "metric=f1",
        "+measures=conductance",
        "backward=dense",
        "backward=survivors",
    ],
)
def test_settings_that_came_later_change_the_id_once_they_say_something(settings, override):
    assert run_id(settings(override)) != run_id(settings())


def test_what_an_experiment_says_of_itself_is_no_part_of_a_runs_identity(settings):
    said = ("report.question=why", "search.seeds=[1]", "chosen_by=a", "arm=a")
    assert run_id(settings(*said)) == run_id(settings())


@pytest.mark.parametrize("table", sorted(RESULTS.glob("*/runs.csv")), ids=lambda p: p.parent.name)
def test_rows_of_the_committed_tables_hash_to_their_ids(table):
    rows = read(table).to_dict("records")
    assert [run_id(settings_of(row)) for row in rows] == [row["id"] for row in rows]


@pytest.mark.parametrize(
    ("experiment", "preset"),
    [
        ("textures/laptop", "laptop"),
        ("textures/tuning", "tuning"),
        ("textures/tuning_sgd", "tuning"),
    ],
)
def test_experiments_ask_what_their_committed_tables_answer(experiment, preset):
    answered = set(questions(read(RESULTS / preset / "runs.csv")))
    assert {question_id(job.settings) for job in plan([experiment])} <= answered


def test_device_and_precision_are_decided(settings):
    assert settings()["device"] in ("cpu", "cuda")
    assert settings()["precision"] in ("float32", "bfloat16")


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("epochs=many", "epochs"),
        ("epochs=0", "epochs"),
        ("batch_size=-1", "batch_size"),
        ("warmup=1", "warmup"),
        ("+budget={updates: 2, passes: 3}", "budget must hold updates or passes"),
        ("+budget.epochs=2", "budget must hold updates or passes"),
        ("+budget.updates=-1", r"budget\.updates must be a positive number; got -1"),
        ("+budget.updates=0", r"budget\.updates must be a positive number; got 0"),
        ("+budget.updates=2.5", r"budget\.updates must be a whole number; got 2\.5"),
        ("+budget.updates=true", r"budget\.updates must be a positive number; got True"),
        ("+budget.passes=many", r"budget\.passes must be a positive number; got 'many'"),
        ("+budget.passes=nan", r"budget\.passes must be a positive number; got nan"),
        ("+budget.passes=inf", r"budget\.passes must be a positive number; got inf"),
        ("+budget.passes=null", r"budget\.passes must be a positive number; got None"),
        ("batching=sorted", "batching"),
        ("metric=accuracy", "metric"),
        ("report.smallest_effect=little", r"report\.smallest_effect"),
        ("precision=float8", "precision"),
        ("backward=sparse", "backward"),
        ("system.threads=0", "threads"),
        ("epoch=3", "epoch"),
        ("masks.fine.q=0.5", "q"),
        ("optimizer.rate=1", "rate"),
    ],
)
def test_a_bad_key_or_value_is_named_on_composing(settings, override, named):
    with pytest.raises((OmegaConfBaseException, ValueError, Exception), match=named):
        settings(override)
