"""Searches: the same number of configurations for every arm, evenly spread, from a seed."""

import math
from collections import Counter

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from experiments.arms import arm_runs, chosen_for, read_chosen
from experiments.chosen import Unfinished, choose, chosen_text
from experiments.configurations import Configurations
from experiments.identity import question_id, run_id
from experiments.plan import Job, Place, plan
from experiments.schema import CONF
from experiments.search import Range, combinations, configurations

SPACE = {"lr": {"log": [1e-4, 1e-1]}, "warmup": {"uniform": [0, 0.5]}, "size": {"choice": [2, 4]}}


def config(**nodes):
    with initialize_config_dir(CONF, version_base="1.3"):
        base = compose("train")
    OmegaConf.set_struct(base, False)
    return OmegaConf.merge(base, nodes)


def test_configurations_are_the_same_each_time_and_more_do_not_change_the_first():
    few, many = (configurations(SPACE, count, 0) for count in (4, 16))
    assert configurations(SPACE, 4, 0) == few == many[:4]


def test_streams_draw_apart():
    assert configurations(SPACE, 4, 1) != configurations(SPACE, 4, 0)


def test_arms_try_the_same_values_of_what_they_share():
    more = configurations({**SPACE, "p": {"uniform": [0, 1]}}, 8, 0)
    assert [{key: each[key] for key in SPACE} for each in more] == configurations(SPACE, 8, 0)


def test_configurations_cover_each_range_evenly():
    found = configurations(SPACE, 16, 0)
    quarters = Counter(int(4 * (math.log10(each["lr"]) + 4) / 3) for each in found)
    assert all(3 <= quarters[i] <= 5 for i in range(4))
    assert all(7 <= count <= 9 for count in Counter(each["size"] for each in found).values())
    warmups = sorted(each["warmup"] for each in found)
    assert np.diff([0, *warmups, 0.5]).max() < 0.1


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"log": [0, 1]}, r"space.lr.log must be \[low, high\] above 0"),
        ({"log": [1, 0.1]}, "space.lr.log"),
        ({"uniform": [1]}, r"space.lr.uniform must be \[low, high\]"),
        ({"uniform": [0, 1, 2]}, "space.lr.uniform"),
        ({"uniform": ["a", "b"]}, "space.lr.uniform"),
        ({"uniform": [0, math.nan]}, "space.lr.uniform"),
        ({"choice": []}, "space.lr.choice must hold at least one"),
        ({"normal": [0, 1]}, "space.lr must be one of uniform, log, choice; got 'normal'"),
        ({"log": [1, 2], "uniform": [0, 1]}, "space.lr must be one of"),
        (0.1, "space.lr must be one of"),
    ],
)
def test_a_range_that_cannot_be_read_is_refused_by_its_key(node, words):
    with pytest.raises(ValueError, match=words):
        Range.of("lr", node)


def test_an_empty_space_is_refused():
    with pytest.raises(ValueError, match="nothing to search"):
        configurations({}, 4, 0)


ARMS = {
    "plain": {"set": {"masks": "none"}},
    "masked": {"set": {"masks": "two_scale"}, "space": {"masks.fine.p": {"uniform": [0, 1]}}},
}
SEARCH = {"configurations": 3, "seeds": [7, 8], "space": {"epochs": {"choice": [1, 2, 3]}}}


def test_every_arm_tries_as_many_configurations_and_seeds_vary_slowest():
    runs = arm_runs(config(arms=ARMS, search=SEARCH))
    assert Counter(run.name for run in runs) == {"plain": 6, "masked": 6}
    assert [run.name for run in runs[:4]] == ["plain", "masked", "plain", "masked"]
    assert [run.sets["seed"] for run in runs] == [7] * 6 + [8] * 6
    assert all((len(run.tried) == 2) == (run.name == "masked") for run in runs)
    assert runs[0].tried == runs[6].tried


def test_a_grid_tries_every_combination_of_choices():
    space = {"lr": {"choice": [1, 2]}, "p": {"choice": [{"a": 3, "b": 4}, {"a": 5, "b": 6}]}}
    assert combinations(space) == [
        {"lr": lr, **p} for lr in (1, 2) for p in ({"a": 3, "b": 4}, {"a": 5, "b": 6})
    ]
    assert combinations({}) == [{}]
    with pytest.raises(ValueError, match=r"search\.space\.lr must be a choice in a grid; got log"):
        combinations({"lr": {"log": [1, 2]}})


def test_an_arm_with_nothing_to_try_stands_once_in_a_grid():
    arms = {"plain": {}, "masked": {"space": {"masks.fine.p": {"choice": [0.1, 0.2]}}}}
    runs = arm_runs(config(arms=arms, search={"grid": True, "seeds": [7]}))
    assert Counter(run.name for run in runs) == {"plain": 1, "masked": 2}


def test_an_arm_stands_once_for_every_combination_that_it_names():
    arms = {"batches of {batch_size}": {"set": {"epochs": 3}, "each": {"batch_size": [4, 8]}}}
    runs = arm_runs(config(arms=arms))
    assert [run.sets for run in runs] == [{"epochs": 3, "batch_size": size} for size in (4, 8)]
    assert {run.kind for run in runs} == {"batches"}
    assert [run.name for run in arm_runs(config())] == [""]


def test_what_was_chosen_is_found_by_arm_and_setting():
    found = {"masks (equal passes)": {"p": 0.5}, "plain": {}}
    assert chosen_for("masks", "1 % positive, equal passes", found) == {"p": 0.5}
    assert chosen_for("plain", "equal passes", found) == {}
    with pytest.raises(ValueError, match="nothing for the arm 'masks', equal updates"):
        chosen_for("masks", "equal updates", found)


def test_a_search_that_has_chosen_nothing_yet_is_named(tmp_path):
    with pytest.raises(ValueError, match="chosen_by: auc/x has chosen nothing yet"):
        read_chosen(Configurations((tmp_path,)), "auc/x")


def job(arm, tried, seed, metric="error"):
    settings = {"arm": arm, **tried, "seed": seed, "metric": metric}
    return Job(run_id(settings), (Place("made", arm, tried=tried),), "", settings)


def made(values, metric="error"):
    """Give jobs and finished rows: values by arm, configuration and seed."""
    jobs, rows = [], {}
    for arm, tried, of_seeds in values:
        for seed, value in enumerate(of_seeds):
            jobs.append(job(arm, tried, seed, metric))
            rows[question_id(jobs[-1].settings)] = {f"final.validation.{metric}": value}
    return jobs, rows


TRIED = [{"lr": 0.1}, {"lr": 0.2}, {"lr": 0.3}]


def test_the_best_median_is_chosen_not_the_best_mean():
    values = zip(["a"] * 3, TRIED, [[0.3, 0.3, 0.3], [0.1, 0.2, 0.9], [0.5, 0.5, 0.5]], strict=True)
    found = choose("made", *made(values))["a"]
    assert (found.configuration, found.value, found.edges) == ({"lr": 0.2}, 0.2, ())


def test_higher_scores_are_better_and_edges_are_named():
    values = zip(["a"] * 3, TRIED, [[0.7], [0.8], [0.9]], strict=True)
    found = choose("made", *made(values, "auc"))["a"]
    assert (found.configuration, found.value, found.edges) == ({"lr": 0.3}, 0.9, ("lr",))


def test_what_was_chosen_can_be_read_again(tmp_path):
    values = [("full batch", {"optimizer.lr": 0.1, "epochs": 5}, [0.2, 0.4])]
    text = chosen_text("auc/x", choose("made", *made(values)), "error", 2)
    assert "over 2 seeds (auc/x)" in text
    path = tmp_path / "chosen" / "auc" / "x.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert read_chosen(Configurations((tmp_path,)), "auc/x") == {
        "full batch": {"optimizer.lr": 0.1, "epochs": 5}
    }


def test_nothing_is_chosen_from_an_unfinished_search():
    jobs, rows = made([("a", TRIED[0], [0.1, 0.2])])
    rows.popitem()
    with pytest.raises(Unfinished, match="1 of 2 runs of made"):
        choose("made", jobs, rows)


@pytest.mark.parametrize("given", [{}, {"arms": ARMS}])
def test_a_search_without_arms_or_seeds_is_refused(given):
    with pytest.raises(ValueError, match=r"search needs arms, and search\.seeds"):
        arm_runs(config(search={**SEARCH, "seeds": []} if given else SEARCH, **given))


def test_a_planned_search_has_a_run_of_each_and_says_its_arm():
    jobs = plan(["textures/original_search"])
    assert len({job.id for job in jobs}) == len(jobs) == 32
    arms = {job.id: job.places[0].arm for job in jobs}
    assert Counter(arms.values()) == {"no masks": 16, "two-scale masks": 16}
    assert all(bool(job.settings["masks"]) == (arms[job.id] != "no masks") for job in jobs)
    assert {job.settings["seed"] for job in jobs} == {100, 101}
    one = jobs[0].settings
    assert run_id(one) == jobs[0].id
    assert "search" not in one
    assert "arms" not in one
