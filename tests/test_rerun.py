"""What a row of a table is run with when it is run again."""

import pandas as pd
import pytest

from experiments import rerun as module
from experiments.identity import run_id
from experiments.rerun import rerun
from experiments.run_store import RunStore
from experiments.tables import run_row, write

MASKS = ("masks=samples",)


@pytest.fixture
def backward_of_rerun(scored_settings, monkeypatch, tmp_path):
    """Give a function from a run and its record to the backward pass that its rerun asks for."""

    def asked(overrides, record):
        settings = scored_settings(*overrides)
        id = run_id(settings)
        store = RunStore(tmp_path / "runs", id)
        store.path.mkdir(parents=True)
        store.start(settings, {"threads": 1})
        result = {"final": {"test": {"auc": 0.5}}, **record}
        store.finish(result)
        row = run_row(id, ["tiny"], settings, store)
        write(pd.DataFrame([row]), tmp_path / "results" / "tiny" / "runs.csv")
        seen = []
        monkeypatch.setattr(module, "run_alone", lambda given: seen.append(given) or result)
        assert rerun(id, tmp_path / "results") == 0
        return seen[0]["backward"]

    return asked


def test_masks_without_a_record_were_dense(backward_of_rerun):
    assert backward_of_rerun(MASKS, {}) == "dense"


@pytest.mark.parametrize("used", ["dense", "survivors"])
def test_masks_with_a_record_ran_with_what_was_asked_for(backward_of_rerun, used):
    record = {"backward": {"classifier": used}}
    assert backward_of_rerun(MASKS, record) == "auto"
    assert backward_of_rerun((*MASKS, "backward=survivors"), record) == "survivors"


def test_without_masks_and_where_it_was_asked_for_nothing_changes(backward_of_rerun):
    assert backward_of_rerun((), {}) == "auto"
    assert backward_of_rerun((*MASKS, "backward=survivors"), {}) == "survivors"
