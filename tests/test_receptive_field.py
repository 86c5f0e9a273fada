"""Receptive fields by arithmetic, against known numbers and against the reach of gradients."""

from collections.abc import Callable

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from backdrop import ReceptiveField, receptive_field

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOLINGS = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
PADDINGS = {1: nn.ConstantPad1d, 2: nn.ConstantPad2d, 3: nn.ConstantPad3d}


class Function(nn.Module):
    """Wraps a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Sum(nn.ModuleList):
    """Adds the outputs of two branches."""

    def forward(self, x: Tensor) -> Tensor:
        return self[0](x) + self[1](x)


class SideBySide(nn.ModuleList):
    """Puts the outputs of branches next to each other in channels."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self], 1)


class Gate(nn.Module):
    """Squeeze-and-excitation."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x.mean((2, 3), keepdim=True).sigmoid()


def field_of(function: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> ReceptiveField:
    module = function if isinstance(function, nn.Module) else Function(function)
    return receptive_field(module, shape)[""]


@pytest.mark.parametrize(
    ("kernel", "padding", "sizes"),
    [(3, 1, [5, 9, 17, 33, 65, 129, 257, 513]), (2, 0, [5, 7, 11, 19, 35, 67, 131, 259])],
)
def test_eight_strided_convolutions_have_the_published_fields(kernel, padding, sizes):
    layers = [nn.Conv2d(1, 2, 5, 2, 2), *(nn.Conv2d(2, 2, kernel, 2, padding) for _ in sizes[1:])]
    model = nn.Sequential(*(nn.Sequential(layer, nn.ReLU(inplace=True)) for layer in layers))
    fields = receptive_field(model, (1, 1, 512, 512))
    assert [fields[f"{i}.1"].size for i in range(8)] == [(size, size) for size in sizes]
    assert [fields[f"{i}"].stride for i in range(8)] == [(2**i, 2**i) for i in range(1, 9)]


def test_resnet18_is_analysed_whole():
    fields = receptive_field(torchvision.models.resnet18(), (1, 3, 224, 224))
    names = ("bn1", "maxpool", "layer1", "layer2", "layer3", "layer4")
    assert [fields[name].size[0] for name in names] == [7, 11, 43, 99, 211, 435]
    assert fields["layer2.0.downsample"] == ReceptiveField((43, 43), (8, 8))
    for name in ("avgpool", "fc", ""):
        assert fields[name] == ReceptiveField((224, 224), (224, 224), is_map=False)
    assert list(fields)[-2:] == ["fc", ""]


@pytest.mark.parametrize(
    ("name", "module", "size"),
    [("alexnet", "features", 195), ("vgg16", "features", 212), ("mobilenet_v2", "features", 491)],
)
def test_published_fields_of_known_networks(name, module, size):
    # As in Araujo, Norris & Sim, Distill 2019, doi:10.23915/distill.00021.
    with torch.device("meta"):
        model = torchvision.models.get_model(name)
    assert receptive_field(model, (1, 3, 224, 224))[module].size == (size, size)


@st.composite
def layers(draw: st.DrawFn, ndim: int) -> nn.Module:
    """Draw a layer from one channel to one channel with weights one."""

    def per_axis(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(ndim))

    def convolution(
        channels: int, kernel: tuple[int, ...], *settings: tuple[int, ...]
    ) -> nn.Module:
        layer = CONVOLUTIONS[ndim](channels, 1, kernel, *settings, bias=False)
        nn.init.ones_(layer.weight)
        return layer

    def same_size() -> nn.Module:
        """Draw a convolution that is padded on one side, so that its field lies askew."""
        kernel, dilation = per_axis(1, 3), per_axis(1, 2)
        sides = []
        for k, d in zip(reversed(kernel), reversed(dilation), strict=True):
            width = (k - 1) * d
            sides += [width, 0] if draw(st.booleans()) else [0, width]
        padding = PADDINGS[ndim](tuple(sides), 0.0)
        return nn.Sequential(padding, convolution(1, kernel, (1,), (0,), dilation))

    kind = draw(
        st.sampled_from(["convolution", "pooling", "activation", "sum", "channels", "crop"])
    )
    if kind == "convolution":
        return convolution(1, per_axis(1, 4), per_axis(1, 2), per_axis(0, 2), per_axis(1, 2))
    if kind == "pooling":
        return POOLINGS[ndim](per_axis(2, 3), per_axis(1, 3), per_axis(0, 1))
    if kind == "activation":
        return nn.Sequential(nn.ReLU(inplace=True), nn.Softplus())
    if kind == "sum":
        return Sum([nn.Identity() if draw(st.booleans()) else same_size(), same_size()])
    if kind == "channels":
        return nn.Sequential(SideBySide([same_size(), same_size()]), convolution(2, (1,) * ndim))
    start, step = draw(st.integers(0, 3)), draw(st.integers(1, 2))
    return Function(lambda x: x[:, :, start:-1:step])


@st.composite
def networks(draw: st.DrawFn) -> tuple[nn.Module, int]:
    ndim = draw(st.integers(1, 2))
    depth = draw(st.integers(1, 5 if ndim == 1 else 3))
    return nn.Sequential(*(draw(layers(ndim)) for _ in range(depth))), ndim


def reach(model: nn.Module, x: Tensor, position: list[int]) -> list[tuple[int, int]]:
    """Give the first and last input position along each axis with gradient from one output."""
    (grad,) = torch.autograd.grad(model(x + 0)[(0, 0, *position)], x)
    seen = grad[0, 0].nonzero()
    return list(zip(seen.amin(0).tolist(), seen.amax(0).tolist(), strict=True))


@given(networks())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_fields_are_the_reach_of_gradients(network):
    model, ndim = network[0].double(), network[1]
    field = receptive_field(model, (1, 1, *[500] * ndim))[""]
    sides = [3 * k + 24 * s + 30 for k, s in zip(field.size, field.stride, strict=True)]
    x = torch.ones(1, 1, *sides).double().requires_grad_()
    middle = [size // 2 for size in model(x + 0).shape[2:]]
    around = reach(model, x, middle)
    assert tuple(last - first + 1 for first, last in around) == field.size
    for axis in range(ndim):
        beside = [place + (i == axis) for i, place in enumerate(middle)]
        moved = [b[0] - a[0] for a, b in zip(around, reach(model, x, beside), strict=True)]
        assert moved == [field.stride[axis] * (i == axis) for i in range(ndim)]


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_sizes_and_strides_are_counted_per_axis(ndim):
    kernel, stride, dilation = (3, 5, 2)[:ndim], (1, 2, 3)[:ndim], (4, 1, 2)[:ndim]
    model = nn.Sequential(
        CONVOLUTIONS[ndim](1, 4, kernel, stride, dilation=dilation),
        POOLINGS[ndim](2, 1),
        {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}[ndim](3, 2),
    )
    fields = receptive_field(model, (1, 1, *[64] * ndim))
    assert fields["0"] == ReceptiveField((9, 5, 3)[:ndim], stride)
    assert fields["1"] == ReceptiveField((10, 7, 6)[:ndim], stride)
    assert fields["2"] == ReceptiveField((12, 11, 12)[:ndim], (2, 4, 6)[:ndim])


NORMALISATION = [
    nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.LayerNorm((4, 16, 16)),
    nn.LocalResponseNorm(3), nn.BatchNorm2d(4, track_running_stats=False),
]  # fmt: skip
POINTWISE = [
    nn.Identity(), nn.ReLU6(), nn.ELU(), nn.CELU(), nn.GELU(), nn.SiLU(), nn.Mish(), nn.PReLU(),
    nn.Hardswish(), nn.Hardsigmoid(), nn.Hardtanh(), nn.LogSigmoid(), nn.Softplus(), nn.Tanh(),
    nn.Threshold(0, 0), nn.RReLU(), nn.LeakyReLU(0.1, inplace=True), nn.Hardswish(inplace=True),
    nn.Dropout2d(), nn.AlphaDropout(), nn.Softmax(1), nn.LogSoftmax(1), nn.Conv2d(4, 3, 1),
    nn.Conv2d(4, 4, 1, groups=2), nn.ChannelShuffle(2), nn.Unflatten(1, (4, 1)), Gate(),
    torchvision.ops.DropBlock2d(0.5, 3), torchvision.ops.StochasticDepth(0.5, "row"),
    torchvision.ops.Permute([0, 1, 2, 3]),
    Function(lambda x: x.split([1, 3], 1)[1] + x.chunk(4, 1)[0]),
    Function(lambda x: x[:, 0].unsqueeze(1) * x.amax(1, keepdim=True)),
    Function(lambda x: torch.stack([x, x], 1).flatten(1, 2)),
    Function(lambda x: torch.where(x > 0, x, torch.zeros_like(x)).clamp(max=1).contiguous()),
    nn.Sequential(torchvision.ops.Permute([0, 2, 3, 1]), nn.LayerNorm(4), nn.Linear(4, 5),
                  torchvision.ops.Permute([0, 3, 1, 2])),
]  # fmt: skip


@pytest.mark.parametrize("module", NORMALISATION + POINTWISE, ids=lambda m: type(m).__name__)
def test_pointwise_modules_keep_the_field(module):
    model = nn.Sequential(nn.Conv2d(1, 4, 5, 2, 2), module)
    field = receptive_field(model, (1, 1, 32, 32))["1"]
    assert (field.size, field.stride) == ((5, 5), (2, 2))
    assert field.is_map or isinstance(module, nn.Unflatten)


@pytest.mark.parametrize(
    "head",
    [
        nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(1), nn.AvgPool2d(16),
        nn.Sequential(nn.Flatten(), nn.Linear(4 * 256, 3)),
        Function(lambda x: x.mean((2, 3))), Function(lambda x: x.sum()),
        Function(lambda x: x.flatten(2).amax(-1)),
    ],
)  # fmt: skip
def test_global_heads_see_the_whole_input(head):
    model = nn.Sequential(nn.Conv2d(1, 4, 5, 2, 2), head)
    assert receptive_field(model, (1, 1, 32, 32))["1"] == ReceptiveField((32, 32), (32, 32), False)


def test_global_context_that_is_added_is_seen_from_everywhere():
    field = field_of(lambda x: x + x.mean((2, 3), keepdim=True), (1, 1, 16, 8))
    assert all(size >= n for size, n in zip(field.size, (16, 8), strict=True))


def test_an_axis_may_be_pooled_alone():
    assert field_of(lambda x: x.mean(2), (1, 1, 16, 8)) == ReceptiveField((16, 1), (16, 1), False)


def test_flattened_positions_keep_their_field_but_are_no_map():
    assert field_of(nn.Flatten(), (1, 2, 8)) == ReceptiveField((1,), (1,), False)


@pytest.mark.parametrize(("before", "after", "size"), [(12, 4, 3), (12, 12, 1)])
def test_even_adaptive_pooling_is_ordinary_pooling(before, after, size):
    pooled = field_of(nn.AdaptiveAvgPool2d(after), (1, 1, before, before))
    assert pooled == ReceptiveField((size, size), (size, size))


def test_cropping_and_padding_shift_the_field_only():
    shifted = nn.Sequential(nn.ReflectionPad1d((2, 0)), Function(lambda x: x[..., 1:-1]))
    assert field_of(Sum([nn.Identity(), shifted]), (1, 1, 9)) == ReceptiveField((2,), (1,))


def test_modules_come_in_order_of_their_last_call_and_with_its_field():
    relu = nn.ReLU()
    fields = receptive_field(
        nn.Sequential(nn.Conv1d(1, 1, 3), relu, nn.Conv1d(1, 1, 3), relu), (1, 1, 9)
    )
    assert {name: field.size for name, field in fields.items()} == {
        "0": (3,), "2": (5,), "1": (5,), "": (5,)
    }  # fmt: skip
    assert list(fields) == ["0", "2", "1", ""]


class Caching(nn.Module):
    """Keeps a tensor from its forward pass, and leaves its mode to its user."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(1)
        self.kept: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.kept = x
        return self.norm(x)


def test_model_is_left_as_it_was():
    model = Caching()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    receptive_field(model, (2, 1, 8))
    assert model.training
    assert model.norm.training
    assert model.kept is None
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
