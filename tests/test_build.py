import pytest
import torch

from experiments.build import ConfigurationError, build, construct


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
    hooked = [name for name, module in parts.model.named_modules() if module._forward_hooks]
    assert hooked == ["fine"]
