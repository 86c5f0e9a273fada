"""Every experiment and preset that is shipped composes, builds and takes two steps."""

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from experiments.build import build
from experiments.loop import batches_of, train_epoch
from experiments.sweep import CONF, plan, preset_experiments

FILES = sorted((Path(CONF) / "experiment").rglob("*.yaml"))
EXPERIMENTS = [
    path.relative_to(Path(CONF) / "experiment").with_suffix("").as_posix() for path in FILES
]
PRESETS = sorted(path.stem for path in (Path(CONF) / "preset").glob("*.yaml"))


def made_up(parts):
    """Give four samples of the data set's shape, and targets of two of its classes."""
    inputs = torch.randn(4, *parts.dataset.input_shape)
    layout = torch.channels_last if inputs.dim() == 4 else torch.contiguous_format
    return inputs.to(memory_format=layout), torch.tensor([0, 1, 1, 0])


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_first_and_last_arm_take_two_steps(experiment):
    jobs = plan([experiment])
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


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_names_experiments_that_exist(preset):
    assert set(preset_experiments(preset)) <= set(EXPERIMENTS)


def test_every_experiment_belongs_to_a_preset():
    assert {name for preset in PRESETS for name in preset_experiments(preset)} == set(EXPERIMENTS)


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'lapdog'.*laptop"):
        preset_experiments("lapdog")


def test_arms_of_an_experiment_share_their_seeds():
    for experiment in EXPERIMENTS:
        arms = {}
        for job in plan([experiment]):
            config = {
                key: value for key, value in job.settings.items() if key not in ("seed", "system")
            }
            config["dataset"] = {k: v for k, v in config["dataset"].items() if k != "seed"}
            arms.setdefault(OmegaConf.to_yaml(config), set()).add(job.settings["seed"])
        assert len({frozenset(seeds) for seeds in arms.values()}) == 1, experiment


def test_tuning_seeds_are_used_for_nothing_else():
    tuning = {job.settings["seed"] for job in plan(preset_experiments("tuning"))}
    others = [name for name in EXPERIMENTS if name not in preset_experiments("tuning")]
    assert tuning.isdisjoint(job.settings["seed"] for job in plan(others))


def test_presets_above_smoke_test_on_a_thousand_images():
    tuning = preset_experiments("tuning")
    for job in plan([name for name in EXPERIMENTS if name not in (*tuning, "textures/smoke")]):
        if "Tabular" not in job.settings["dataset"]["_target_"]:
            assert job.settings["dataset"]["test"] >= 1000, job.label
