"""One rule for both analyses: patches reach as far as receptive fields, and new operations run."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor, nn
from torch.nn import functional as F

from backdrop import Backdrop, receptive_field, why_inexact
from backdrop.survivors import forward
from tests.gradients import Apply, difference
from tests.test_receptive_field import networks

FUNCTIONS = {
    "power": lambda x, p: x**2 + x.abs() ** 0.5 + x**-2.0,
    "where": lambda x, p: torch.where(x > 0, x, p * x) + torch.where(x > p, x, torch.zeros_like(x)),
    "slice of channels": lambda x, p: x[:, :2] * x[:, 2:],
    "slice of positions": lambda x, p: x[..., 1:-1:2] + x[..., 2::2],
    "one channel": lambda x, p: x[:, 0].unsqueeze(1) * x,
    "chunk": lambda x, p: x.chunk(2, 1)[0].sigmoid() * x.chunk(2, 1)[1],
    "split": lambda x, p: torch.cat(x.split([1, 3], 1)[::-1], 1),
    "unbind": lambda x, p: torch.stack(x.unbind(1)[:3], 1),
    "rms_norm": lambda x, p: F.rms_norm(x.movedim(1, -1), (4,), p.flatten()).movedim(-1, 1),
    "normalize": lambda x, p: F.normalize(x),
    "log1p": lambda x, p: x.abs().log1p(),
    "rsqrt": lambda x, p: (x.square() + 0.1).rsqrt() + x.square().rsqrt(),
    "glu": lambda x, p: F.glu(x, 1),
    "clamp": lambda x, p: x.clamp(min=p),
    "masked fill": lambda x, p: x.masked_fill(x > 0.3, 0.5),
    "channels last": lambda x, p: F.linear(x.movedim(1, -1), p.flatten().diag()).movedim(-1, 1),
    "local response": lambda x, p: F.local_response_norm(x, 3),
    "largest channel": lambda x, p: x - x.max(1, keepdim=True).values,
    "shifted transposed convolution": lambda x, p: F.conv_transpose2d(
        x, p.expand(4, 4, 3, 3), padding=1
    ),
    "unshuffle": lambda x, p: F.pixel_unshuffle(x, 2),
    "view of the same shape": lambda x, p: x.view(x.shape).reshape(len(x), *x.shape[1:]),
    "positions merged and split": lambda x, p: (
        (x.flatten(2).transpose(1, 2) * p.flatten()).transpose(1, 2).unflatten(2, x.shape[2:])
    ),
}
OF_WHOLE_SAMPLES = {
    "nearest": lambda x, p: F.interpolate(x, scale_factor=2),
    "bilinear": lambda x, p: F.interpolate(x, scale_factor=1.5, mode="bilinear"),
    "transposed convolution": lambda x, p: F.conv_transpose2d(x, p.expand(4, 4, 2, 2), stride=2),
    "shuffle": lambda x, p: F.pixel_shuffle(x, 2),
    "circular padding": lambda x, p: F.pad(x, (1, 2, 0, 1), mode="circular"),
    "instance norm": lambda x, p: F.instance_norm(x, weight=p.flatten(), bias=p.flatten()),
    "gate": lambda x, p: x * x.mean((2, 3), keepdim=True).sigmoid(),
    "positions split": lambda x, p: x.reshape(len(x), 4, -1, 4),
    "softmax over positions": lambda x, p: x.flatten(2).softmax(-1),
}


def net(function, dims: str) -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(2, 4, 3, padding=1), Apply(function, 4, 1, 1)
    return nn.Sequential(*layers, Backdrop(0.9, dims)).double()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_operations_that_see_few_positions_run_on_patches(name):
    model = net(FUNCTIONS[name], "sample+spatial")
    # So that what lies beyond the border is met and overwritten.
    width = model[:2](torch.zeros(1, 2, 12, 12).double()).shape[1]
    model.insert(2, nn.Conv2d(width, 3, 5, padding=2).double())
    assert why_inexact(model, (4, 2, 12, 12)) is None
    assert difference(model, torch.randn(4, 2, 12, 12, dtype=torch.float64)) < 1e-11


@pytest.mark.parametrize("name", OF_WHOLE_SAMPLES)
def test_others_run_on_whole_samples_and_are_refused_below_spatial_masks(name):
    shape = (5, 2, 8, 8)
    model = net(OF_WHOLE_SAMPLES[name], "sample")
    assert difference(model, torch.randn(shape, dtype=torch.float64)) < 1e-11
    assert "in module '1'" in why_inexact(net(OF_WHOLE_SAMPLES[name], 2), shape)


@given(networks())
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_patches_reach_as_far_as_receptive_fields(network):
    model, ndim = network
    field = receptive_field(model, (1, 1, *[500] * ndim))[""]
    reaches = []
    found = forward.patches_of

    def noted(stage, mask):
        patches = found(stage, mask)
        reaches.append(patches.reaches[0])
        return patches

    masked = nn.Sequential(model, Backdrop(0.5))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(forward, "patches_of", noted)
        assert why_inexact(masked, (1, 1, *[500] * ndim)) is None
    assert tuple(reach.length for reach in reaches[0]) == field.size
    assert tuple(reach.stride for reach in reaches[0]) == field.stride


def test_a_batch_of_one_keeps_the_dim_of_its_samples():
    def function(x: Tensor, p: Tensor) -> Tensor:
        return x.flatten(1) * p.flatten()[0]

    model = nn.Sequential(nn.Conv2d(2, 4, 3), Apply(function, 4), nn.Linear(16, 3), Backdrop())
    model[3].fixed_mask = torch.ones(1, 1)
    assert difference(model.double(), torch.randn(1, 2, 4, 4, dtype=torch.float64)) < 1e-12
