import pytest
import torch
from torch import nn

from backdrop import place, receptive_field
from backdrop.models import AllConvNet, SmallConvNet


@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_stages_see_what_the_docstring_says(batch_norm):
    fields = receptive_field(AllConvNet(width=0.05, batch_norm=batch_norm), (1, 3, 32, 32))
    found = {
        name: (fields[name].size, fields[name].stride) for name in ("stage1", "stage2", "stage3")
    }
    assert found == {
        "stage1": ((7, 7), (2, 2)),
        "stage2": ((19, 19), (4, 4)),
        "stage3": ((27, 27), (4, 4)),
    }


def test_the_layers_are_those_of_all_cnn_c():
    net = AllConvNet()
    convolutions = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    assert [
        (c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0]) for c in convolutions
    ] == [
        *((3, 96, 3, 1), (96, 96, 3, 1), (96, 96, 3, 2)),
        *((96, 192, 3, 1), (192, 192, 3, 1), (192, 192, 3, 2)),
        *((192, 192, 3, 1), (192, 192, 1, 1), (192, 10, 1, 1)),
    ]
    with torch.device("meta"):
        maps = AllConvNet()
        x = torch.empty(1, 3, 32, 32)
    sides = [(x := stage(x)).shape[-1] for stage in (maps.stage1, maps.stage2, maps.stage3)]
    assert sides == [16, 8, 6]


def test_the_input_can_be_masked_and_is_no_part_of_the_state():
    net, x = AllConvNet(width=0.05).eval(), torch.randn(2, 3, 32, 32)
    assert not any(key.startswith("input") for key in net.state_dict())
    assert receptive_field(net, (1, 3, 32, 32))["input"].size == (1, 1)
    expected = net(torch.zeros_like(x))
    with place(net, {"input": nn.Threshold(1e9, 0)}):
        assert torch.equal(net(x), expected)


@pytest.mark.parametrize("net", [AllConvNet, SmallConvNet])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_one_class_gives_scores_and_more_give_logits(net, batch_norm):
    small = {"width": 0.05} if net is AllConvNet else {"channels": 4}
    x = torch.randn(2, 1, 32, 32)
    for classes, shape in ((1, (2,)), (4, (2, 4))):
        model = net(classes=classes, batch_norm=batch_norm, in_channels=1, **small)
        assert model(x).shape == shape
        has_norm = any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
        assert has_norm == batch_norm


def test_the_signal_keeps_its_size_through_nine_layers_without_batch_norm():
    torch.manual_seed(0)
    net = AllConvNet(width=0.25, batch_norm=False)
    features = net.stage3(net.stage2(net.stage1(torch.randn(8, 3, 32, 32))))
    assert 0.2 < features.square().mean().sqrt() < 5


def test_every_layer_of_the_small_net_halves_the_map():
    fields = receptive_field(SmallConvNet(channels=2), (1, 3, 32, 32))
    found = [(fields[f"layers.{k}"].size[0], fields[f"layers.{k}"].stride[0]) for k in range(3)]
    assert found == [(3, 2), (7, 4), (15, 8)]


@pytest.mark.parametrize(
    ("net", "arguments", "message"),
    [
        (AllConvNet, {"width": 0.001}, "width must be large enough .*; got 0.001"),
        (AllConvNet, {"classes": 0}, "classes must be at least 1; got 0"),
        (SmallConvNet, {"depth": 0}, "depth must be at least 1; got 0"),
        (SmallConvNet, {"channels": 0}, "channels must be at least 1; got 0"),
    ],
)
def test_a_net_without_layers_or_channels_is_refused(net, arguments, message):
    with pytest.raises(ValueError, match=message):
        net(**arguments)
