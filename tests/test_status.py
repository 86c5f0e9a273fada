"""How far the runs of a preset are: a state for each."""

from pathlib import Path

import pytest

from experiments import status as module
from experiments.identity import question_id, run_id
from experiments.plan import Job, Place
from experiments.run import run
from experiments.run_store import RunStore
from experiments.status import State, state_of, status_text


def job(settings):
    return Job(run_id(settings), (Place("tiny"),), "tiny", settings)


def state(each, table=()):
    return state_of(each, Path(each.settings["system"]["runs"]), dict(table))


def store(each):
    return RunStore(Path(each.settings["system"]["runs"]), each.id)


@pytest.fixture
def tiny(settings):
    return job(settings())


def test_a_run_is_missing_then_running_then_finished(tiny):
    assert state(tiny) == State("missing")
    seen = []
    run(tiny.settings, lambda row: seen.append(state(tiny)))
    epochs = tiny.settings["epochs"]
    assert seen == [State("running", f"epoch {n} of {epochs}") for n in range(1, epochs + 1)]
    assert state(tiny) == State("finished")


def test_a_run_that_broke_off_is_interrupted_at_its_epoch(settings):
    each = job(settings("system.checkpoint_seconds=0"))

    class Interrupted(BaseException):
        pass

    def stop(row):
        raise Interrupted

    with pytest.raises(Interrupted):
        run(each.settings, stop)
    assert state(each).name == "interrupted"
    assert state(each).note.startswith("epoch 1 of ")


@pytest.mark.parametrize(
    ("reason", "name"), [("ValueError: no", "failed"), ("FileNotFoundError: no", "not run")]
)
def test_a_failure_is_told_with_its_reason(tiny, reason, name):
    store(tiny).fail(f"Traceback\n{reason}")
    assert state(tiny) == State(name, reason)


def test_a_row_of_the_table_stands_for_a_run_made_elsewhere(tiny):
    assert state(tiny, {question_id(tiny.settings): {}}.items()) == State("in the table")


def test_a_run_of_other_code_is_stale(tiny, monkeypatch):
    run(tiny.settings)
    monkeypatch.setattr(module, "differs", lambda code: True)
    assert state(tiny) == State("finished", stale=True)


def test_experiments_have_a_line_and_runs_with_a_note_one_more(settings):
    jobs = [job(settings(f"seed={seed}")) for seed in range(3)]
    states = [State("finished", stale=True), State("finished"), State("failed", "why")]
    said = status_text(jobs, dict(zip((j.id for j in jobs), states, strict=True)), 120.0)
    assert said.splitlines() == [
        "tiny: 2 finished, 1 failed, 1 of them made with other code",
        f"  failed: {jobs[2].id} tiny: why",
        "about 2 min of one core left",
    ]
