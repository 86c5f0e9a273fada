from pathlib import Path

import pytest
import torch
from hydra.utils import get_object

from backdrop.placement import placed_on
from experiments.build import ConfigurationError, build, construct
from experiments.schema import CONF
from tests.conftest import composed


def options(group):
    return [(f"{group}={path.stem}",) for path in sorted((Path(CONF) / group).glob("*.yaml"))]


@pytest.mark.parametrize(
    "overrides", [*options("dataset"), ("dataset=tabular", "dataset.name=a9a")], ids=" ".join
)
def test_every_data_set_is_built_without_its_files(overrides, tmp_path):
    settings = composed(overrides, tmp_path, "seed=3")
    dataset = build(settings).dataset
    assert type(dataset) is get_object(settings["dataset"]["_target_"])
    assert all(size > 0 for size in dataset.input_shape)
    assert settings["dataset"]["seed"] == 3
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("overrides", options("optimizer"), ids=" ".join)
def test_every_optimizer_is_built_as_configured_and_takes_a_step(settings, overrides):
    tiny = settings(*overrides)
    parts = build(tiny)
    given = parts.optimizer.param_groups[0]
    for key in set(tiny["optimizer"]) - {"_target_"}:
        assert given[key] == pytest.approx(tiny["optimizer"][key]), key
    before = parts.model.classifier.weight.detach().clone()
    parts.model(torch.randn(2, 1, 32, 32)).square().sum().backward()
    parts.optimizer.step()
    assert not torch.equal(parts.model.classifier.weight, before)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("masks.fine.p=1.5", r"masks\.fine: p .*1\.5"),
        ("masks.fine.p=high", r"masks\.fine\.p: .*high"),
        ("masks.fine.after=nowhere", r"masks\.fine: .*nowhere"),
        ("masks.fine.dims=time", r"masks\.fine: .*time"),
        ("model.channels=wide", r"model\.channels: .*wide"),
        ("model.norm=group", r"model: norm must be one of .*group"),
        ("+model.depth=3", r"model\.depth is unknown; allowed are .*channels"),
        ("dataset.size=1", r"dataset: size"),
        ("dataset.weights=[1.0]", r"dataset: weights"),
        ("dataset.test=0", r"dataset: the test set"),
        ("optimizer.lr=fast", r"optimizer\.lr: .*fast"),
        ("model._target_=backdrop.models.Nothing", r"model\._target_: .*Nothing"),
        ("+masks.fine.scale=17", r"masks\.fine needs either after .* or scale"),
    ],
)
def test_what_cannot_be_built_is_named_by_its_key(settings, override, message):
    with pytest.raises(ConfigurationError, match=message):
        build(settings(override))


def test_numbers_are_converted_to_the_annotated_type():
    net = construct("model", {"_target_": "backdrop.models.TextureNet", "channels": "8"})
    assert net.fine[0][0].out_channels == 8


def test_arms_of_one_seed_start_from_the_same_weights(settings):
    plain, masked = build(settings("masks=none")), build(settings("masks=two_scale"))
    for a, b in zip(plain.model.parameters(), masked.model.parameters(), strict=True):
        assert torch.equal(a, b)
    other = build(settings("seed=1"))
    assert not torch.equal(plain.model.classifier.weight, other.model.classifier.weight)


def test_a_mask_is_placed_at_a_scale(settings):
    by_scale = settings("~masks.fine.after", "+masks.fine.scale=9", "~masks.coarse")
    parts = build(by_scale)
    masked = [name for name, module in parts.model.named_modules() if placed_on(module)]
    assert masked == ["fine"]
