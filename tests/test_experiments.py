"""Every experiment and preset that is shipped composes, builds and takes two steps."""

from functools import cache
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from experiments.build import build
from experiments.configurations import PROJECT
from experiments.loop import batches_of, train_epoch
from experiments.plan import one_arm, plan
from experiments.report import declarations
from experiments.schema import CONF

FILES = sorted((Path(CONF) / "experiment").rglob("*.yaml"))
EXPERIMENTS = [
    path.relative_to(Path(CONF) / "experiment").with_suffix("").as_posix() for path in FILES
]
PRESETS = sorted(path.stem for path in (Path(CONF) / "preset").glob("*.yaml"))


@cache
def planned(experiment):
    return plan([experiment])


def made_up(parts):
    """Give four samples like the data set's, images cut to 256 x 256, of two classes."""
    first, *pixels = parts.dataset.input_shape
    inputs = torch.randn(4, first, *(min(256, size) for size in pixels))
    layout = torch.channels_last if inputs.dim() == 4 else torch.contiguous_format
    return inputs.to(memory_format=layout), torch.tensor([0, 1, 1, 0])


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_first_and_last_arm_take_two_steps(experiment):
    jobs = planned(experiment)
    for job in (jobs[0], jobs[-1]):
        settings = {**job.settings, "batch_size": 2, "budget": {"updates": 2}}
        parts = build(settings)
        train = made_up(parts)
        if hasattr(parts.model, "fit_to"):
            parts.model.fit_to(train[0])
        before = [p.detach().clone() for p in parts.model.parameters()]
        row = train_epoch(settings, parts, train, batches_of(settings, parts, train[1]), 1)
        assert row["gradient_norm"] > 0
        moved = [
            not torch.equal(a, b) for a, b in zip(before, parts.model.parameters(), strict=True)
        ]
        assert any(moved)


@pytest.mark.parametrize("experiment", ["textures/laptop", "auc/letter_passes", "neighbours/cifar"])
def test_an_arm_by_its_label_is_what_a_plan_holds(experiment):
    for job in planned(experiment)[-3:]:
        overrides = [f"experiment={experiment}", f"seed={job.settings['seed']}", "arm=given"]
        assert one_arm(overrides, job.places[0].arm) == job.settings


def test_an_arms_values_give_way_to_those_of_the_command_line():
    chosen = one_arm(["experiment=auc/letter_updates", "optimizer.lr=0.5"], "sample masks 0.8")
    assert (chosen["optimizer"]["lr"], chosen["masks"]["samples"]["p"]) == (0.5, 0.8)


def test_an_unknown_arm_is_refused_with_those_there_are():
    with pytest.raises(
        ValueError, match=r"arm must be one of 'no masks', 'fine 0\.5, coarse 0\.5'"
    ):
        one_arm(["experiment=textures/laptop"], "masks")


def test_every_experiment_declares_itself():
    for preset in PRESETS:
        names = PROJECT.preset(preset)
        jobs = [job for name in names for job in planned(name)]
        for name, block in declarations(names, jobs)["experiments"].items():
            assert block["title"], name
            assert block["question"], name
            compares = block["baseline"] or block["rivals"]
            assert block["search"] or compares or name == "textures/smoke", name


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_names_experiments_that_exist(preset):
    assert set(PROJECT.preset(preset)) <= set(EXPERIMENTS)


def test_every_experiment_belongs_to_a_preset():
    assert {name for preset in PRESETS for name in PROJECT.preset(preset)} == set(EXPERIMENTS)


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'lapdog'.*laptop"):
        PROJECT.preset("lapdog")


def test_arms_of_an_experiment_share_their_seeds():
    for experiment in EXPERIMENTS:
        arms = {}
        for job in planned(experiment):
            config = {
                key: value for key, value in job.settings.items() if key not in ("seed", "system")
            }
            config["dataset"] = {k: v for k, v in config["dataset"].items() if k != "seed"}
            arms.setdefault(OmegaConf.to_yaml(config), set()).add(job.settings["seed"])
        assert len({frozenset(seeds) for seeds in arms.values()}) == 1, experiment


def test_tuning_seeds_are_used_for_nothing_else():
    tuning = PROJECT.preset("tuning")
    seeds = {name: {job.settings["seed"] for job in planned(name)} for name in EXPERIMENTS}
    chosen = set().union(*(seeds[name] for name in tuning))
    assert all(chosen.isdisjoint(seeds[name]) for name in EXPERIMENTS if name not in tuning)


def test_presets_above_smoke_test_on_a_thousand_images():
    tuning = PROJECT.preset("tuning")
    for name in set(EXPERIMENTS) - {*tuning, "textures/smoke"}:
        for job in planned(name):
            if "Tabular" not in job.settings["dataset"]["_target_"]:
                assert job.settings["dataset"]["test"] >= 1000, job.label
