"""What survivors cannot do exactly raises an error that names the module."""

import threading

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F

from backdrop import Backdrop, InexactError, place, survivors, why_inexact
from backdrop.models.texture_net import PositionLayerNorm
from tests.gradients import Apply, gradients

SHAPE = (2, 4, 8, 8)


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mix(x.mean((2, 3), keepdim=True)).sigmoid()


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(4, 1, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return self.attend(tokens, tokens, tokens)[0].transpose(1, 2).unflatten(2, x.shape[2:])


class Places(nn.Module):
    """Adds a learnt value to every position."""

    def __init__(self) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(4, 8, 8))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.values


class Stale(nn.Module):
    """Uses a view of what it changes in place."""

    def forward(self, x: Tensor) -> Tensor:
        x = x * 2
        moved = x.movedim(1, -1)
        x.relu_()
        return moved.movedim(-1, 1)


COUPLING_POSITIONS = [
    nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.LayerNorm(SHAPE[1:]), nn.AdaptiveAvgPool2d(4),
    nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), nn.Linear(8, 8), nn.Softmax(3), Gate(),
    nn.AvgPool2d(3, 1, 1, count_include_pad=False), nn.Flatten(2), Places(),
    nn.Upsample(scale_factor=2),
    PositionLayerNorm(4, eps=0),
]  # fmt: skip
COUPLING_SAMPLES = [
    nn.BatchNorm2d(4),
    nn.InstanceNorm2d(4, track_running_stats=True),
    nn.Softmax(0),
]
UNKNOWN = [nn.Dropout(), Attention(), Stale()]


def stage(layer: nn.Module, dims: str) -> nn.Module:
    return nn.Sequential(nn.Conv2d(4, 4, 1), layer, nn.Identity(), Backdrop(0.9, dims))


@pytest.mark.parametrize("layer", [*COUPLING_POSITIONS, *COUPLING_SAMPLES, *UNKNOWN])
def test_spatial_masks_refuse_what_is_not_local(layer):
    model = stage(layer, "sample+spatial")
    reason = why_inexact(model, SHAPE)
    assert "in module '1" in reason
    assert "leave survivors off" in reason
    with survivors(model), pytest.raises(InexactError, match="in module '1"):
        model(torch.randn(SHAPE))
    model(torch.randn(SHAPE)).sum().backward()


@pytest.mark.parametrize("layer", [*COUPLING_SAMPLES, *UNKNOWN])
def test_masks_of_samples_refuse_what_couples_samples(layer):
    assert "in module '1" in why_inexact(stage(layer, "sample"), SHAPE)


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x, p: F.linear(x.tanh(), x.sigmoid()), "second feature map"),  # (N, N)
        (lambda x, p: F.linear(x, p.expand(8, 8), x.mean(1)), "second feature map"),
        (lambda x, p: F.layer_norm(x, (8,), x.mean(1)), "second feature map"),
        (lambda x, p: F.linear(p, x), "along its first dim"),
        (lambda x, p: p.clone().add_(x), "changes a tensor"),
        (lambda x, p: torch.add(x, 1, out=x.tanh()), "further tensors"),
        (lambda x, p: torch.add(x, 1, out=torch.empty(8)), "further tensors"),
    ],
)
def test_maps_where_weights_are_expected_are_refused(function, why):
    model = nn.Sequential(nn.Linear(8, 8), Apply(function, 1, 8), Backdrop(0.5, "sample"))
    reason = why_inexact(model, (8, 8))
    assert "in module '1'" in reason
    assert why in reason
    with survivors(model), pytest.raises(InexactError, match=why):
        model(torch.randn(8, 8))


def test_what_lies_above_the_last_active_mask_does_not_matter():
    model = nn.Sequential(
        nn.Conv2d(4, 4, 1), Backdrop(0.9), nn.BatchNorm2d(4), nn.Dropout(), Backdrop(0)
    )
    assert why_inexact(model, SHAPE) is None
    model[4].p = 0.5
    assert "in module '2'" in why_inexact(model, SHAPE)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Tanh())
    place(model, {"1": Backdrop(0.5)})
    survivors(model, always=True)
    return model


def test_second_derivatives_are_refused(model):
    x = torch.randn(SHAPE, requires_grad=True)
    with pytest.raises(RuntimeError, match="no second derivatives"):
        torch.autograd.grad(model(x).square().sum(), x, create_graph=True)


def test_function_transforms_are_refused(model):
    parameters = dict(model.named_parameters())

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(model, parameters, torch.ones(SHAPE)).sum()

    with pytest.raises(RuntimeError, match=r"torch\.func"):
        torch.func.grad(loss)(parameters)


def test_forward_mode_is_refused(model):
    with forward_ad.dual_level(), pytest.raises(RuntimeError, match="jvp"):
        model(forward_ad.make_dual(torch.randn(SHAPE), torch.ones(SHAPE)))


def test_compilation_is_refused(model):
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with pytest.raises(Exception, match="remove"):
        compiled(torch.randn(SHAPE))


def test_compilation_that_may_stay_incomplete_leaves_survivors_as_they_are():
    model, x = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Tanh(), Backdrop(0.5)), torch.randn(SHAPE)
    _, expected = gradients(model, x)
    skip = survivors(model, always=True)
    compiled = torch.compile(model, backend="eager")
    torch.testing.assert_close(gradients(compiled, x)[1], expected)
    assert skip.used == {"2": "survivors"}


def _wrapped(model: nn.Module) -> nn.Module:
    return torch.compile(model, backend="eager")


def _compiled_in_place(model: nn.Module) -> nn.Module:
    model.compile(backend="eager")
    return model


def _with_a_wrapped_module(model: nn.Module) -> nn.Module:
    model[0] = torch.compile(model[0], backend="eager")
    return model


@pytest.mark.parametrize(
    ("compiled", "name"), [(_wrapped, ""), (_compiled_in_place, ""), (_with_a_wrapped_module, "0")]
)
def test_compiled_models_are_refused(compiled, name):
    model = compiled(nn.Sequential(nn.Conv2d(4, 4, 3), Backdrop(0.5)))
    with pytest.raises(RuntimeError, match=f"module '{name}' is compiled"):
        survivors(model)
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


def test_inputs_other_than_one_floating_point_tensor_are_refused(model):
    with pytest.raises(TypeError, match="one tensor"):
        model(input=torch.randn(SHAPE))
    with pytest.raises(TypeError, match="int64"):
        model(torch.zeros(SHAPE, dtype=torch.int64))


def test_a_model_that_cannot_be_copied_is_named():
    model = nn.Sequential(nn.Conv2d(1, 1, 3), Backdrop(0.5))
    model.lock = threading.Lock()
    survivors(model)
    with pytest.raises(InexactError, match="a model that cannot be copied in module 'Sequential'"):
        model(torch.ones(1, 1, 8, 8))
