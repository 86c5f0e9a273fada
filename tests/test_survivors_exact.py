"""Survivors give the gradients of the dense backward pass, whatever the stages are made of."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from backdrop import Backdrop, place
from backdrop.models import MLP, AllConvNet, SmallConvNet, TextureNet, WhitenedTextureNet
from backdrop.models.texture_net import PositionLayerNorm
from tests.gradients import difference

CHANNELS = 4


class Residual(nn.Module):
    """Adds a branch with a wide view to a shortcut, both with one stride."""

    def __init__(self, conv: type[nn.Module], stride: int, kernel: int) -> None:
        super().__init__()
        self.first = conv(CHANNELS, CHANNELS, kernel, stride, padding=kernel // 2)
        self.second = conv(CHANNELS, CHANNELS, 3, padding=1)
        self.shortcut = conv(CHANNELS, CHANNELS, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.relu(self.first(x), inplace=True))
        y += self.shortcut(x)
        return F.relu_(y)


class Concatenation(nn.Module):
    """Joins channels with different views."""

    def __init__(self, conv: type[nn.Module], kernel: int) -> None:
        super().__init__()
        self.wide = conv(CHANNELS, 1, 2 * kernel + 1, padding=kernel)
        self.narrow = conv(CHANNELS, CHANNELS - 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return 1 - torch.cat([self.wide(x), -self.narrow(x)], dim=1) / 2


@st.composite
def layers(draw, dims: int) -> nn.Module:
    """Draw a layer from CHANNELS to CHANNELS channels."""
    conv = (nn.Conv1d, nn.Conv2d)[dims - 1]
    kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    within = draw(st.integers(0, kernel // 2))
    activations = (nn.ReLU(), nn.Tanh(), nn.GELU(), nn.LeakyReLU(), nn.PReLU(CHANNELS))
    kind = draw(st.integers(0, 11))
    if kind < 4:
        groups, dilation = draw(st.sampled_from((1, 2, 4))), draw(st.integers(1, 2))
        padding, bias = draw(st.integers(0, kernel + 1)), draw(st.booleans())
        return conv(CHANNELS, CHANNELS, kernel, stride, padding, dilation, groups, bias)
    if kind == 4:
        return conv(CHANNELS, CHANNELS, kernel, padding="same")
    if kind == 5:
        pool = (nn.MaxPool1d, nn.MaxPool2d)[dims - 1]
        return pool(kernel, stride, within, draw(st.integers(1, 2)), ceil_mode=draw(st.booleans()))
    if kind == 6:
        return (nn.AvgPool1d, nn.AvgPool2d)[dims - 1](kernel, stride, within)
    if kind == 7:
        sides = draw(st.tuples(*[st.integers(-1, 2)] * 2 * dims))
        return (nn.ConstantPad1d, nn.ConstantPad2d)[dims - 1](sides, 0.5)
    if kind == 8:
        return Residual(conv, stride, draw(st.sampled_from((1, 3, 5))))
    if kind == 9:
        return Concatenation(conv, draw(st.integers(0, 2)))
    if kind == 10:
        norm = (nn.BatchNorm1d, nn.BatchNorm2d)[dims - 1](CHANNELS)
        return draw(st.sampled_from((PositionLayerNorm(CHANNELS), norm)))
    return draw(st.sampled_from(activations))


@st.composite
def masked_nets(draw) -> tuple[nn.Module, Tensor]:
    """Draw a net of two or three stages with a mask at the end of each, and a batch for it."""
    dims = draw(st.integers(1, 2))
    x = torch.randn(
        draw(st.integers(1, 3)), CHANNELS, *draw(st.tuples(*[st.integers(3, 13)] * dims)),
        dtype=torch.float64,
    )  # fmt: skip
    torch.manual_seed(draw(st.integers(0, 99)))
    stages, sizes = [], x
    for _ in range(draw(st.integers(1, 3))):
        stage = []
        for layer in draw(st.lists(layers(dims), min_size=1, max_size=4)):
            layer = layer.double().eval()
            try:
                following = layer(sizes.clone())
            except RuntimeError:  # the map is too small for it
                continue
            if following.numel():
                sizes = following.detach()
                stage.append(layer.train(not isinstance(layer, nn.modules.batchnorm._BatchNorm)))
        stages.append(nn.Sequential(*stage, nn.Identity()))
    model = nn.Sequential(*stages)
    masked = ("sample+spatial", "sample+spatial", "spatial", "sample", 2)
    for name, _ in model.named_children():
        p = draw(st.sampled_from((0.1, 0.5, 0.8, 0.95)))
        place(model, {name: Backdrop(p, draw(st.sampled_from(masked)))})
    return model, x


@given(masked_nets())
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_random_networks_have_the_gradients_of_the_dense_backward_pass(net):
    assert difference(*net) < 1e-12


@pytest.mark.parametrize("kernel_size", [2, 3])
@pytest.mark.parametrize("norm", ["none", "layer"])
def test_texture_nets_are_exact(norm, kernel_size):
    torch.manual_seed(0)
    model = TextureNet(channels=4, norm=norm, kernel_size=kernel_size).double()
    place(model, {"fine": Backdrop(0.9), "coarse": Backdrop(0.8)})
    assert difference(model, torch.randn(3, 1, 80, 80, dtype=torch.float64)) < 1e-12


def test_float32_agrees_as_far_as_recomputing_does():
    torch.manual_seed(0)
    x = torch.randn(3, 1, 80, 80).to(memory_format=torch.channels_last)
    model = WhitenedTextureNet(channels=4, norm="layer").to(memory_format=torch.channels_last)
    model.fit_to(x)
    place(
        model.to(memory_format=torch.channels_last),
        {"fine": Backdrop(0.9), "coarse": Backdrop(0.5)},
    )
    assert difference(model, x) < 2e-5


@pytest.mark.parametrize(
    ("model", "shape", "masks"),
    [
        (SmallConvNet(channels=4), (30, 3, 16, 16), {"": 0.9}),
        (SmallConvNet(channels=4), (30, 3, 16, 16), {"layers.0": 0.5, "layers": 0.8, "": 0.5}),
        (MLP(6, [5, 4]), (50, 6), {"hidden.0": 0.5, "hidden.1": 0.5, "": 0.9}),
        (MLP(12, [5]), (50, 3, 4), {"": 0.9}),
        (AllConvNet(classes=3, width=0.05, batch_norm=False), (6, 3, 16, 16), {"": 0.6}),
    ],
)
def test_nested_masks_of_samples_are_exact(model, shape, masks):
    torch.manual_seed(0)
    place(model.double(), {name: Backdrop(p, "sample") for name, p in masks.items()})
    assert difference(model, torch.randn(shape, dtype=torch.float64)) < 1e-12


@pytest.mark.parametrize(
    "layer",
    [
        nn.GroupNorm(2, 4),
        nn.InstanceNorm2d(4, affine=True),
        nn.LayerNorm([4, 5, 5]),
        nn.Conv2d(4, 2, 3, padding=1, padding_mode="reflect"),
        nn.AdaptiveMaxPool2d(2),
        nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        nn.Sequential(nn.Flatten(), nn.Linear(100, 3), nn.Softmax(1)),
        nn.Linear(5, 2),
    ],
)
def test_masks_of_samples_are_exact_where_positions_are_coupled(layer):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(True), layer).double()
    place(model, {"": Backdrop(0.7, "sample")})
    assert difference(model, torch.randn(9, 2, 7, 7, dtype=torch.float64)) < 1e-12


def test_padding_that_a_maximum_sees_alone_spoils_no_gradient():
    # The corner's patch holds windows that lie outside the map altogether.
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.MaxPool2d(2, 2, 1), nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 5, padding=2)
    )
    corner = Backdrop()
    corner.fixed_mask = torch.zeros(19, 19)
    corner.fixed_mask[0, 0] = 1
    place(model.double(), {"": corner})
    assert difference(model, torch.randn(2, 1, 42, 42, dtype=torch.float64)) < 1e-12


@pytest.mark.parametrize("shape", [(), (1,), (6, 6), (6, 1, 1), (1, 6, 6), (6, 1, 6, 6)])
def test_fixed_masks_are_aligned_with_the_last_dims(shape):
    # As many samples as channels, rows and columns: sizes do not tell which dim is which.
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), Backdrop(), nn.Conv2d(6, 2, 1)
    ).double()
    model[2].fixed_mask = torch.zeros(shape)
    model[2].fixed_mask.view(-1)[:3] = 2
    assert difference(model, torch.randn(6, 3, 6, 6, dtype=torch.float64)) < 1e-12


@pytest.mark.parametrize("shape", [(), (1, 1), (5, 1, 1, 1)])
def test_fixed_masks_of_whole_samples_are_exact_where_positions_are_coupled(shape):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), Backdrop()).double()
    model[2].fixed_mask = torch.zeros(shape)
    model[2].fixed_mask.view(-1)[0] = 2
    assert difference(model, torch.randn(5, 3, 6, 6, dtype=torch.float64)) < 1e-12
