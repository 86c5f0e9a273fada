"""One run: finished, interrupted, asked for twice, failed."""

import json
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from experiments import run as module
from experiments.identity import run_id
from experiments.loop import NonFiniteLoss
from experiments.rerun import COSTS
from experiments.run import run
from experiments.run_store import RunStore
from tests.conftest import BY_SAMPLES


def store_of(settings) -> RunStore:
    return RunStore(Path(settings["system"]["runs"]), run_id(settings))


def numbers(result):
    return {key: value for key, value in result.items() if key not in COSTS}


def without_times(rows):
    timed = {"seconds", "images_per_second", "evaluation_seconds"}
    return [{key: value for key, value in row.items() if key not in timed} for row in rows]


class Interrupted(BaseException):
    pass


def interrupt_after(epoch):
    def report(row):
        if row["epoch"] == epoch:
            raise Interrupted

    return report


def test_a_run_leaves_its_configuration_metrics_provenance_and_result(settings):
    tiny = settings()
    result = run(tiny)
    store = store_of(tiny)
    names = {path.name for path in store.path.iterdir()}
    assert {"config.yaml", "metrics.jsonl", "provenance.json", "result.json"} <= names
    assert "checkpoint.pt" not in names
    rows = store.metrics()
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert {"train", "learning_rate", "gradient_norm", "seconds", "images_per_second"} <= set(
        rows[0]
    )
    last = [row["test"]["error"] for row in rows if "test" in row][-5:]
    assert result["final"]["test"]["error"] == pytest.approx(sum(last) / 5)


def test_the_selected_epoch_is_chosen_by_validation_alone(settings):
    tiny = settings()
    selected = run(tiny)["selected"]
    evaluated = [row for row in store_of(tiny).metrics() if "test" in row]
    best = min(row["validation"]["error"] for row in evaluated)
    first = next(row for row in evaluated if row["validation"]["error"] == best)
    assert (selected["epoch"], selected["test"]) == (first["epoch"], first["test"])


def test_the_same_configuration_gives_the_same_bits(settings, tmp_path):
    first, again = settings(), settings(f"system.runs={tmp_path / 'again'}")
    assert numbers(run(first)) == numbers(run(again))
    assert without_times(store_of(first).metrics()) == without_times(store_of(again).metrics())


def test_a_finished_run_is_not_repeated(settings):
    tiny = settings()
    result = run(tiny)

    def report(row):
        raise AssertionError("computed again")

    assert run(tiny, report) == result


@pytest.mark.parametrize("epoch", [1, 4, 6])
def test_an_interrupted_run_resumes_to_the_same_numbers(settings, tmp_path, epoch):
    optimizer = "optimizer=sgd"
    whole = settings(optimizer, f"system.runs={tmp_path / 'whole'}")
    broken = settings(optimizer, "system.checkpoint_seconds=0")
    expected = run(whole)
    with pytest.raises(Interrupted):
        run(broken, interrupt_after(epoch))
    assert store_of(broken).result() is None
    seen = []
    assert numbers(run(broken, lambda row: seen.append(row["epoch"]))) == numbers(expected)
    assert seen == list(range(epoch + 1, 7))
    assert without_times(store_of(broken).metrics()) == without_times(store_of(whole).metrics())


def test_a_run_without_a_checkpoint_starts_again(settings):
    tiny = settings("system.checkpoint_seconds=1000")
    with pytest.raises(Interrupted):
        run(tiny, interrupt_after(3))
    run(tiny)
    assert [row["epoch"] for row in store_of(tiny).metrics()] == [1, 2, 3, 4, 5, 6]


COMMAND = """
import json, sys
from experiments.run import run
run(json.loads(sys.argv[1]))
"""


def start(tiny) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", COMMAND, json.dumps(tiny)])


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.01)


def test_a_killed_process_leaves_a_run_that_resumes_to_the_same_numbers(settings, tmp_path):
    slow = ("epochs=120", "evaluations=5", "system.checkpoint_seconds=0")
    broken, whole = settings(*slow), settings(*slow, f"system.runs={tmp_path / 'whole'}")
    store = store_of(broken)
    process = start(broken)
    wait_for(lambda: len(store.metrics()) >= 5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert store.result() is None
    assert numbers(run(broken)) == numbers(run(whole))  # nor does the dead process's lock block


def test_two_callers_of_one_run_do_not_both_compute_it(settings):
    tiny = settings("epochs=20")
    epochs = []
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(run, tiny, lambda row: epochs.append(row["epoch"])) for _ in range(2)]
        first, second = (job.result() for job in jobs)
    assert first == second
    assert epochs == list(range(1, 21))


def test_two_processes_asking_for_one_run_do_not_both_compute_it(settings):
    tiny = settings("epochs=60", "evaluations=5")
    for process in [start(tiny), start(tiny)]:
        assert process.wait(120) == 0
    assert [row["epoch"] for row in store_of(tiny).metrics()] == list(range(1, 61))


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(settings):
    tiny = settings("optimizer=sgd", "optimizer.lr=1e30", "precision=float32", "model.norm=none")
    with pytest.raises(NonFiniteLoss, match=r"is (nan|inf) at step \d+"):
        run(tiny)
    store = store_of(tiny)
    assert store.result() is None
    assert "NonFiniteLoss" in store.failure()
    assert (store.path / "config.yaml").exists()


def test_a_bad_value_fails_before_any_training(settings):
    tiny = settings("masks.fine.p=2")
    with pytest.raises(ValueError, match=r"masks\.fine"):
        run(tiny)
    assert store_of(tiny).metrics() == []
    assert "masks.fine" in store_of(tiny).failure()


def test_a_line_cut_short_by_a_crash_is_left_out(settings):
    store = store_of(settings())
    store.path.mkdir(parents=True)
    store.append({"epoch": 1})
    with (store.path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "tra')
    assert store.metrics() == [{"epoch": 1}]


@pytest.mark.parametrize("damage", ["truncated checkpoint", "lost metrics", "damaged metrics"])
def test_a_damaged_checkpoint_is_not_used(settings, tmp_path, damage):
    tiny = settings("system.checkpoint_seconds=0")
    with pytest.raises(Interrupted):
        run(tiny, interrupt_after(3))
    path = store_of(tiny).path
    if damage == "lost metrics":
        (path / "metrics.jsonl").write_text("")
    elif damage == "damaged metrics":
        (path / "metrics.jsonl").write_bytes(bytes(20) + b"\n")
    else:
        (path / "checkpoint.pt").write_bytes((path / "checkpoint.pt").read_bytes()[:100])
    result = run(tiny)
    assert [row["epoch"] for row in store_of(tiny).metrics()] == [1, 2, 3, 4, 5, 6]
    assert numbers(result) == numbers(run(settings(f"system.runs={tmp_path / 'whole'}")))


def test_provenance_keeps_where_a_run_was_resumed_from(settings, monkeypatch):
    tiny = settings("system.checkpoint_seconds=0")
    with pytest.raises(Interrupted):
        run(tiny, interrupt_after(3))
    here = module.provenance
    monkeypatch.setattr(module, "provenance", lambda device: here(device) | {"processor": "other"})
    before = here("cpu")["processor"]
    run(tiny)
    assert store_of(tiny).provenance()["resumed_from"] == {"processor": before}


def test_checkpoints_execute_nothing_on_load(settings):
    tiny = settings("system.checkpoint_seconds=0")
    with pytest.raises(Interrupted):
        run(tiny, interrupt_after(2))
    state = torch.load(store_of(tiny).path / "checkpoint.pt", weights_only=True)
    assert state["epoch"] == 2


def test_masks_that_mask_nothing_train_as_no_masks_do_bit_for_bit(settings):
    plain, inert = settings("masks=none"), settings("masks.fine.p=0", "masks.coarse.p=0")
    assert numbers(run(plain)) == numbers(run(inert))
    assert without_times(store_of(plain).metrics()) == without_times(store_of(inert).metrics())


def test_masks_change_training_from_the_first_step_on(settings):
    plain, masked = settings("masks=none"), settings("masks.fine.p=0.9")
    run(plain), run(masked)
    first, second = (store_of(each).metrics() for each in (plain, masked))
    assert first[0]["gradient_norm"] != second[0]["gradient_norm"]
    assert first[-1]["train"] != second[-1]["train"]


def test_a_run_on_scores_is_finished_and_the_same_bits_again(scored_settings, tmp_path):
    first, again = scored_settings(), scored_settings(f"system.runs={tmp_path / 'again'}")
    result = run(first)
    assert numbers(result) == numbers(run(again))
    assert without_times(store_of(first).metrics()) == without_times(store_of(again).metrics())
    rows = store_of(first).metrics()
    assert result["skipped"] == sum(row["skipped"] for row in rows) > 0
    evaluated = [row for row in rows if "test" in row]
    assert set(evaluated[-1]["train"]) == {"loss", "auc", "f1"}
    assert set(result["final"]["test"]) == {"loss", "auc", "f1"}
    best = max(row["validation"]["auc"] for row in evaluated)
    assert result["selected"]["validation"]["auc"] == best


@pytest.mark.parametrize("arm", BY_SAMPLES)
def test_every_arm_on_scores_resumes_to_the_same_numbers(scored_settings, tmp_path, arm):
    overrides = (*BY_SAMPLES[arm], "system.checkpoint_seconds=0")
    whole = scored_settings(*overrides, f"system.runs={tmp_path / 'whole'}")
    broken = scored_settings(*overrides)
    expected = run(whole)
    with pytest.raises(Interrupted):
        run(broken, interrupt_after(3))
    assert numbers(run(broken)) == numbers(expected)
    assert without_times(store_of(broken).metrics()) == without_times(store_of(whole).metrics())
    assert ("skipped" in expected) is (arm != "cross-entropy")
    if arm == "minibatches":
        assert expected["skipped"] > 0


def test_masks_of_samples_change_training_on_scores(scored_settings):
    kinds = {"full batch": [], "sample masks": ["masks.samples.p=0.98"]}
    kinds["stratified masks"] = ["masks.stratified_samples.p=0.98"]
    losses = {
        run(scored_settings(*BY_SAMPLES[kind], *p))["train"]["loss"] for kind, p in kinds.items()
    }
    assert len(losses) == 3


def test_a_run_learns_to_rank(scored_settings):
    assert run(scored_settings("batch_size=null"))["final"]["test"]["auc"] > 0.9


DIVERGES = ("optimizer=sgd", "optimizer.lr=1e38", "~optimizer.fused", "warmup=0")


def test_a_score_that_is_not_a_number_stops_the_run_and_names_the_step(scored_settings):
    tiny = scored_settings(*DIVERGES)
    with pytest.raises(ValueError, match=r"at step \d+ .*: scores must be finite"):
        run(tiny)
    assert store_of(tiny).result() is None
    assert re.search(r"ValueError: at step \d+ .*: scores must be finite", store_of(tiny).failure())


def test_scores_that_cannot_be_evaluated_stop_the_run_and_name_the_epoch(scored_settings):
    tiny = scored_settings(*DIVERGES, "epochs=1", "budget.updates=1")
    with pytest.raises(ValueError, match=r"in the evaluation after epoch 1: .*NaN"):
        run(tiny)
    assert store_of(tiny).result() is None
