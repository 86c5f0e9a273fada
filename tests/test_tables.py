import json
from pathlib import Path

import pandas as pd
import pytest

from experiments.collect import collect, keep_reference, swept_keys
from experiments.identity import run_id
from experiments.run import run
from experiments.run_store import RunStore
from experiments.tables import flatten, read, settings_of, unflatten, write


def planned(*configurations, experiment="textures/tiny"):
    return [(run_id(each), (experiment,), each) for each in configurations]


def runs_of(settings):
    return Path(settings["system"]["runs"])


def test_flattening_is_undone():
    nested = {"a": {"b": [1, {"c": None}], "d": {}}, "e": "x"}
    assert unflatten(flatten(nested)) == nested


def test_a_row_holds_the_whole_configuration(settings, tmp_path):
    tiny = settings("masks=none")
    run(tiny)
    collect(planned(tiny), runs_of(tiny), tmp_path / "tiny")
    (row,) = read(tmp_path / "tiny/runs.csv").to_dict("records")
    assert row["status"] == "finished"
    assert row["provenance.threads"] == "1"
    assert run_id(settings_of(row)) == row["id"]
    assert settings_of(row) == {key: value for key, value in tiny.items() if key != "system"}


def test_numbers_survive_the_table_bit_for_bit(settings, tmp_path):
    tiny = settings()
    result = run(tiny)
    collect(planned(tiny), runs_of(tiny), tmp_path / "tiny")
    (row,) = read(tmp_path / "tiny/runs.csv").to_dict("records")
    assert row["final.test.loss"] == result["final"]["test"]["loss"]
    curves = read(tmp_path / "tiny/curves.csv")
    assert list(curves["epoch"]) == [1, 2, 3, 4, 5, 6]
    assert set(curves["id"]) == {row["id"]}


def test_missing_and_failed_runs_are_rows_too(settings, tmp_path):
    missing, failed = settings("seed=1"), settings("masks.fine.p=2")
    with pytest.raises(ValueError, match="masks"):
        run(failed)
    table = collect(planned(missing, failed), runs_of(missing), tmp_path / "tiny")
    assert list(table["status"]) == ["missing", "failed"]
    assert "masks.fine" in table["error"].iloc[1]
    assert not (tmp_path / "tiny/curves.csv").exists() or not len(
        read(tmp_path / "tiny/curves.csv")
    )


def test_collecting_replaces_rows_of_finished_runs_and_keeps_all_others(settings, tmp_path):
    folder = tmp_path / "tiny"
    here, elsewhere, old = settings("seed=1"), settings("seed=2"), settings("seed=3")
    for each in (here, elsewhere, old):
        run(each)
    collect(planned(here, elsewhere, old), runs_of(here), folder)
    table = read(folder / "runs.csv")
    table["final.test.error"] = 9.0
    write(table, folder / "runs.csv")
    for each in (elsewhere, old):
        (RunStore(runs_of(each), run_id(each)).path / "result.json").unlink()
    collect(planned(here, elsewhere), runs_of(here), folder)
    after = read(folder / "runs.csv").set_index("id")
    assert after.loc[run_id(here), "final.test.error"] != 9.0
    assert after.loc[run_id(elsewhere), "final.test.error"] == 9.0
    assert after.loc[run_id(elsewhere), "experiments"] == "textures/tiny"
    assert after.loc[run_id(old), "final.test.error"] == 9.0
    assert pd.isna(after.loc[run_id(old), "experiments"])
    assert set(read(folder / "curves.csv")["id"]) == set(after.index)


def test_a_run_finished_in_another_precision_stays_and_is_not_missing(settings, tmp_path):
    folder = tmp_path / "tiny"
    elsewhere, here = settings("precision=bfloat16"), settings("precision=float32")
    run(elsewhere)
    collect(planned(elsewhere), runs_of(elsewhere), folder)
    collect(planned(here), tmp_path / "nowhere", folder)
    (row,) = read(folder / "runs.csv").to_dict("records")
    assert (row["id"], row["status"]) == (run_id(elsewhere), "finished")
    assert row["experiments"] == "textures/tiny"
    run(here)
    collect(planned(here), runs_of(here), folder)
    after = read(folder / "runs.csv")
    assert set(after["id"]) == {run_id(elsewhere), run_id(here)}
    assert set(after["experiments"]) == {"textures/tiny"}


def test_collecting_twice_changes_nothing(settings, tmp_path):
    tiny, folder = settings(), tmp_path / "tiny"
    run(tiny)
    collect(planned(tiny, settings("seed=5")), runs_of(tiny), folder)
    before = [(folder / name).read_bytes() for name in ("runs.csv", "curves.csv")]
    collect(planned(tiny, settings("seed=5")), runs_of(tiny), folder)
    assert [(folder / name).read_bytes() for name in ("runs.csv", "curves.csv")] == before


def test_the_reference_is_kept_before_rows_are_replaced(settings, tmp_path):
    folder, runs = tmp_path / "tiny", tmp_path / "runs"
    folder.mkdir()
    (folder / "runs.csv").write_text("first")
    reference = keep_reference(folder, runs)
    (folder / "runs.csv").write_text("second")
    assert keep_reference(folder, runs) == reference
    assert reference.read_text() == "first"


def test_cells_are_json(settings, tmp_path):
    tiny = settings()
    collect(planned(tiny), runs_of(tiny), tmp_path / "tiny")
    table = pd.read_csv(tmp_path / "tiny/runs.csv", dtype=str)
    assert json.loads(table["config.dataset.lengths"][0]) == [[2.375, 2.75], [20.0, 35.0]]
    assert json.loads(table["config.masks.fine.p"][0]) == tiny["masks"]["fine"]["p"]


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"id,a\nx,1,2,3\n", b"a\n1\n", b"id,config.seed\nx,{\n"]
)
def test_a_damaged_table_is_named(tmp_path, content):
    path = tmp_path / "runs.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{path} is damaged .*take it from git again$"):
        read(path)


def test_a_sweep_varied_what_differs_between_its_runs_beside_seeds(settings):
    planned = [
        (f"{p}-{seed}", ["sweep"], settings(f"masks.fine.p={p}", f"seed={seed}"))
        for p in (0.5, 0.9)
        for seed in (0, 1)
    ]
    assert swept_keys(planned) == ["masks.fine.p"]
