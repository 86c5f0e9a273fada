"""Searches: the same number of configurations for every arm, evenly spread, from a seed."""

import math
from collections import Counter

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from experiments.identity import run_id
from experiments.search import Range, arm_runs, configurations
from experiments.sweep import plan
from experiments.train import CONF

SPACE = {"lr": {"log": [1e-4, 1e-1]}, "warmup": {"uniform": [0, 0.5]}, "size": {"choice": [2, 4]}}


def config(**nodes):
    with initialize_config_dir(CONF, version_base="1.3"):
        base = compose("train")
    OmegaConf.set_struct(base, False)
    return OmegaConf.merge(base, nodes)


def test_configurations_are_the_same_each_time_and_more_do_not_change_the_first():
    few, many = (configurations(SPACE, count, 0, "arm") for count in (4, 16))
    assert configurations(SPACE, 4, 0, "arm") == few == many[:4]


@pytest.mark.parametrize(("stream", "arm"), [(1, "arm"), (0, "other")])
def test_streams_and_arms_draw_apart(stream, arm):
    assert configurations(SPACE, 4, stream, arm) != configurations(SPACE, 4, 0, "arm")


def test_configurations_cover_each_range_evenly():
    found = configurations(SPACE, 16, 0, "arm")
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
    with pytest.raises(ValueError, match="arm 'plain' has nothing to search"):
        configurations({}, 4, 0, "plain")


ARMS = {
    "plain": {"set": {"masks": "none"}},
    "masked": {"set": {"masks": "two_scale"}, "space": {"masks.fine.p": {"uniform": [0, 1]}}},
}
SEARCH = {"configurations": 3, "seeds": [7, 8], "space": {"epochs": {"choice": [1, 2, 3]}}}


def test_every_arm_tries_as_many_configurations_and_seeds_vary_slowest():
    runs = arm_runs(config(arms=ARMS, search=SEARCH))
    assert Counter(arm for arm, _ in runs) == {"plain": 6, "masked": 6}
    assert [arm for arm, _ in runs[:4]] == ["plain", "masked", "plain", "masked"]
    assert [own[-1] for _, own in runs] == ["seed=7"] * 6 + ["seed=8"] * 6
    assert all((len(own) == 4) == (arm == "masked") for arm, own in runs)


def test_arms_without_a_search_are_what_they_set():
    assert arm_runs(config(arms=ARMS)) == [
        ("plain", ["masks=none"]),
        ("masked", ["masks=two_scale"]),
    ]
    assert arm_runs(config()) == [("", [])]


@pytest.mark.parametrize("given", [{}, {"arms": ARMS}])
def test_a_search_without_arms_or_seeds_is_refused(given):
    with pytest.raises(ValueError, match=r"search needs arms, and search\.seeds"):
        arm_runs(config(search={**SEARCH, "seeds": []} if given else SEARCH, **given))


def test_a_planned_search_has_a_run_of_each_and_says_its_arm():
    jobs = plan(["textures/original_search"])
    assert len({job.id for job in jobs}) == len(jobs) == 32
    assert Counter(job.arm for job in jobs) == {"no masks": 16, "two-scale masks": 16}
    assert all(bool(job.settings["masks"]) == (job.arm == "two-scale masks") for job in jobs)
    assert {job.settings["seed"] for job in jobs} == {100, 101}
    one = jobs[0].settings
    assert run_id(one) == jobs[0].id
    assert "search" not in one
    assert "arms" not in one
