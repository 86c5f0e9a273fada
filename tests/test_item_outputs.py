"""What a run keeps of each item of its test set, and what a preset collects of it."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from experiments.identity import run_id
from experiments.item_outputs import FILE, collect_outputs
from experiments.plan import Job, Place
from experiments.run import run
from experiments.run_store import RunStore


def finished(settings) -> tuple[Job, RunStore, Path]:
    run(settings)
    id, runs = run_id(settings), Path(settings["system"]["runs"])
    return Job(id, (Place("primary"),), "tiny", settings), RunStore(runs, id), runs


def test_the_kept_classes_give_the_last_test_error(settings):
    _, store, _ = finished(settings())
    kept = store.outputs()
    wrong = (kept["outputs"] != kept["targets"]).mean()
    assert wrong == pytest.approx(store.metrics()[-1]["test"]["error"])


def test_the_kept_scores_give_the_last_test_auc(scored_settings):
    _, store, _ = finished(scored_settings())
    kept = store.outputs()
    assert roc_auc_score(kept["targets"], kept["outputs"]) == store.metrics()[-1]["test"]["auc"]


def test_outputs_of_primaries_alone_are_collected_and_earlier_ones_stay(scored_settings, tmp_path):
    folder = tmp_path / "preset"
    folder.mkdir()
    job, store, runs = finished(scored_settings())
    collect_outputs([job], {"another"}, runs, folder)
    assert not (folder / FILE).exists()
    np.savez(folder / FILE, **{"earlier.outputs": np.zeros(2)})
    collect_outputs([job], {"primary"}, runs, folder)
    with np.load(folder / FILE) as kept:
        assert set(kept) == {"earlier.outputs", f"{job.id}.outputs", f"{job.id}.targets"}
        assert kept[f"{job.id}.outputs"].dtype == np.float16
        assert kept[f"{job.id}.outputs"] == pytest.approx(store.outputs()["outputs"], rel=1e-3)
