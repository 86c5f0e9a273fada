"""Reading: cells decoded, arms joined to runs, what is declared typed."""

import json
import math

import pandas as pd
import pytest

from scripts.read.declared import Metric
from scripts.read.naming import key_in_words, settings_in_words
from scripts.read.preset import read_preset, share
from scripts.read.tables import config_columns, numbers, read_runs
from tests.made_runs import TINY, made, run, write_preset


def written(tmp_path, **columns):
    table = pd.DataFrame({"id": ["b", "a"], "status": "finished", "error": "", **columns})
    table.to_csv(tmp_path / "runs.csv", index=False)
    return tmp_path / "runs.csv"


def test_cells_of_the_configuration_are_decoded(tmp_path):
    cells = {"config.seed": ["1", "2"], "config.a": ["[1, [2.5]]", ""], "config.m": ["{}", "null"]}
    runs = read_runs(written(tmp_path, **cells, **{"final.test.error": ["0.5", ""]}))
    assert runs["id"].tolist() == ["a", "b"]
    assert runs["config.a"].tolist() == [None, (1, (2.5,))]
    assert runs["config.m"].tolist() == [None, None]
    assert math.isnan(runs["final.test.error"][0])


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({}, "lacks the columns config.seed"),
        ({"config.seed": "1", "id": ["a", "a"]}, "run a more than once"),
        ({"config.seed": "1", "config.x": "nonsense"}, "config.x holds a cell that is not JSON"),
    ],
)
def test_a_table_that_cannot_be_read_is_named_with_what_is_wrong(tmp_path, columns, said):
    with pytest.raises(ValueError, match=said):
        read_runs(written(tmp_path, **columns))


def test_seeds_and_what_a_machine_decides_set_no_runs_apart(tmp_path):
    names = ["config.seed", "config.dataset.seed", "config.device", "config.precision", "config.p"]
    assert config_columns(pd.DataFrame(columns=names)) == ["config.p"]


@pytest.mark.parametrize("name", ["arms.csv", "experiments.json", "runs.csv"])
def test_a_preset_that_was_not_collected_says_how_to_collect_it(tmp_path, name):
    folder = write_preset(tmp_path / "mine", {"a/b": ({}, [run("no masks", 0, 0.5)])})
    (folder / name).unlink()
    with pytest.raises(ValueError, match=rf"{name} is not there: make collect PRESET=mine"):
        read_preset(folder)


def test_arms_stand_by_setting_then_kind_as_declared_then_their_numbers(tmp_path):
    names = ["of 400", "of 80", "no masks", "other 1"]
    kinds = {"other 1": "other"}
    runs = [
        run(name, seed, 0.5, kinds.get(name, ""), setting)
        for setting in ("10 images", "9 images")
        for name in names
        for seed in (10, 9)
    ]
    frame = made(tmp_path, {"a/b": ({"kinds": ["other", "no masks", "masks"]}, runs)}).frames["a/b"]
    assert frame["setting"].unique().tolist() == ["9 images", "10 images"]
    assert frame["arm"][:8].unique().tolist() == ["other 1", "no masks", "of 80", "of 400"]
    assert frame["config.seed"][:2].tolist() == [9, 10]


def test_a_run_stands_in_every_experiment_that_asks_for_it(tmp_path):
    one = run("no masks", 0, 0.5)
    preset = made(tmp_path, {"a/b": ({}, [one]), "a/c": ({}, [one])})
    assert [len(frame) for frame in preset.frames.values()] == [1, 1]
    assert len(preset.runs) == 1


def test_two_runs_of_one_arm_and_seed_are_refused(tmp_path):
    again = run("no masks", 0, 0.5, id="again")
    with pytest.raises(ValueError, match="arm 'no masks' twice at one seed"):
        made(tmp_path, {"a/b": ({}, [run("no masks", 0, 0.5), again])})


def test_an_experiment_takes_the_smallest_effect_of_its_chapter_unless_it_has_its_own(tmp_path):
    runs = [run("no masks", 0, 0.5)]
    blocks = {"textures/a": {"smallest_effect": None}, "textures/b": {"smallest_effect": 0.2}}
    found = made(tmp_path, {name: (block, runs) for name, block in blocks.items()})
    effects = [one.smallest_effect for one in found.declared.experiments.values()]
    assert effects == [0.05, 0.2]
    with pytest.raises(ValueError, match=r"a/c: report\.smallest_effect is needed"):
        made(tmp_path, {"a/c": ({"smallest_effect": None}, runs)})


def test_the_share_left_out_is_that_of_batches_or_of_sample_masks():
    runs = pd.DataFrame(
        {
            "config.batch_size": [80, None, None, 80],
            "config.dataset.train": [800, 800, 800, None],
            "config.masks.samples.p": [None, 0.9, None, None],
        }
    )
    found = share(runs).tolist()
    assert found[:3] == [0.9, 0.9, 0.0]
    assert math.isnan(found[3])


def test_settings_have_numbers_and_names():
    values = pd.Series([0.5, (64, 64), None], name="config.x")
    assert numbers(values).tolist() == [0.5, 64, 0]
    with pytest.raises(ValueError, match="x must be a number; got 'adam'"):
        numbers(pd.Series(["adam"], name="config.x"))
    assert key_in_words("model._target_") == "model"
    assert settings_in_words({"masks.fine.p": 0.5}) == "p of the fine mask 0.5"


def test_a_metric_knows_its_direction_and_its_columns():
    error, auc = Metric("test.error"), Metric("validation.auc")
    assert (error.lower_is_better, auc.lower_is_better) == (True, False)
    assert (error.final, auc.train_key) == ("final.test.error", "train.auc")


def test_the_fixture_holds_what_collecting_writes():
    written = json.loads((TINY / "experiments.json").read_text())
    assert set(read_preset(TINY).frames) == set(written["experiments"])
