"""What the directory of a run holds is what was written there, or it is refused or made again."""

import json
from pathlib import Path

import pytest
import torch

from experiments.checksums import Damaged
from experiments.collect import swept_runs
from experiments.identity import run_id
from experiments.run import run
from experiments.run_store import RunStore
from experiments.sweep_log import SweepLog
from tests.test_run import Interrupted, interrupt_after, numbers, store_of


@pytest.fixture
def finished(scored_settings):
    settings = scored_settings("epochs=2")
    run(settings)
    return store_of(settings)


def change_a_digit(path: Path) -> None:
    """Give another digit for the last one of a file."""
    text = path.read_text()
    place = max(i for i, letter in enumerate(text) if letter.isdigit())
    path.write_text(text[:place] + ("1" if text[place] == "0" else "0") + text[place + 1 :])


READERS = {
    "result.json": RunStore.result,
    "metrics.jsonl": RunStore.metrics,
    "config.yaml": RunStore.settings,
    "provenance.json": RunStore.provenance,
}


@pytest.mark.parametrize("name", READERS)
def test_a_changed_digit_in_a_file_of_a_finished_run_is_refused_with_its_path(finished, name):
    READERS[name](finished)
    change_a_digit(finished.path / name)
    with pytest.raises(Damaged, match=rf"{name} is damaged .* delete its folder"):
        READERS[name](finished)


def test_lines_that_were_cut_from_metrics_are_missed(finished):
    path = finished.path / "metrics.jsonl"
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    with pytest.raises(Damaged, match=r"metrics\.jsonl"):
        finished.metrics()


def test_a_result_of_another_configuration_is_refused(finished, scored_settings):
    other = RunStore(finished.path.parent, run_id(scored_settings("epochs=3")))
    finished.path.rename(other.path)
    with pytest.raises(Damaged, match="of another run"):
        other.result()


def test_a_run_made_before_there_were_sums_is_read(finished):
    before = finished.result()
    (finished.path / "SHA256SUMS").unlink()
    assert finished.result() == before
    assert len(finished.metrics()) == 2


@pytest.mark.parametrize("name", ["checkpoint.pt", "metrics.jsonl"])
def test_a_checkpoint_with_a_changed_byte_is_not_used_and_this_is_said(
    scored_settings, tmp_path, capsys, name
):
    settings = scored_settings("epochs=4", "system.checkpoint_seconds=0")
    expected = run(scored_settings("epochs=4", f"system.runs={tmp_path / 'whole'}"))
    size = 0
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(Interrupted):
            run(settings, interrupt_after(2))
        path = store_of(settings).path / name
        content = bytearray(path.read_bytes())
        size = len(content)
        content[int(share * size)] ^= 1
        path.write_bytes(content)
    assert numbers(run(settings)) == numbers(expected)
    said = capsys.readouterr().err
    assert said.count("checkpoint.pt: it or the metrics beside it are damaged; the run starts") == 3


def test_a_run_that_dies_while_it_is_finished_is_finished_by_the_next(
    scored_settings, monkeypatch, tmp_path
):
    settings = scored_settings("epochs=2")
    from experiments import run_store

    write = run_store.write_atomically

    def dies(path, content):
        if path.name == "result.json":
            raise Interrupted
        write(path, content)

    monkeypatch.setattr(run_store, "write_atomically", dies)
    with pytest.raises(Interrupted):
        run(settings)
    monkeypatch.setattr(run_store, "write_atomically", write)
    expected = run(scored_settings("epochs=2", f"system.runs={tmp_path / 'whole'}"))
    assert numbers(run(settings)) == numbers(expected)
    assert store_of(settings).metrics()


def test_leftovers_of_dead_writers_are_removed(scored_settings):
    settings = scored_settings("epochs=1")
    store = store_of(settings)
    store.path.mkdir(parents=True)
    (store.path / "checkpoint.pt.1.tmp").touch()
    run(settings)
    assert not list(store.path.glob("*.tmp"))


def test_the_configuration_of_a_run_in_a_sweep_hashes_to_its_id(scored_settings, tmp_path):
    settings = scored_settings("epochs=2")
    with pytest.raises(Interrupted):
        run(settings, interrupt_after(1))
    log = SweepLog.create(tmp_path / "runs", 1, "multirun")
    log.add(run_id(settings), "one", "ended")
    assert [id for id, _, _ in swept_runs(log)] == [run_id(settings)]
    path = store_of(settings).path / "config.yaml"
    path.write_text(path.read_text().replace("epochs: 2", "epochs: 3"))
    with pytest.raises(Damaged, match=r"config\.yaml is damaged .it hashes to another run"):
        swept_runs(log)


def test_a_failure_that_cannot_be_read_is_still_one(tmp_path):
    store = RunStore(tmp_path, "a")
    store.fail("")
    assert store.failure() == "unknown"
    (store.path / "failure.txt").write_bytes(b"\xff\xfe")
    assert store.failure()


def test_checkpoints_hold_plain_values_only(scored_settings):
    settings = scored_settings("epochs=2", "system.checkpoint_seconds=0")
    with pytest.raises(Interrupted):
        run(settings, interrupt_after(1))
    state = torch.load(store_of(settings).path / "checkpoint.pt", weights_only=True)
    assert state["run"] == run_id(settings)
    assert json.dumps(state["provenance"])
