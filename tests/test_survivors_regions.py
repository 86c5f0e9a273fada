"""Parts of a forward pass that autograd sees otherwise than survivors would are refused by name."""

import re
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from backdrop import Backdrop, InexactError, survivors, why_inexact
from experiments.backward import choose_backward
from tests.gradients import Apply, difference, gradients

SHAPE = (3, 2, 9, 9)
NO_GRAD = "a part of the forward pass under no_grad"


def net(function: Callable[[Tensor, Tensor], Any], dims: str = "sample+spatial") -> nn.Module:
    """Give a net that calls a function of its feature map and a parameter below its mask."""
    torch.manual_seed(0)
    layers = nn.Conv2d(2, 4, 3), Apply(function, 4, 1, 1), nn.Conv2d(4, 4, 3, padding=1)
    return nn.Sequential(*layers, Backdrop(0.8, dims), nn.Conv2d(4, 2, 1)).double()


def batch() -> Tensor:
    return torch.randn(SHAPE, dtype=torch.float64, requires_grad=True)


def assert_refused(model: nn.Module, what: str, where: str = "1") -> None:
    """Check that a model is refused by name, when asked and before it computes anything."""
    wanted = f"^survivors is not exact for {what}.* in module '{where}'"
    assert re.match(wanted, why_inexact(model, SHAPE))
    with survivors(model) as skip, pytest.raises(InexactError, match=wanted):
        model(batch())
    assert skip.used == {}  # known before the pass that computes begins


class Unmet(nn.Module):
    """Has a mask that it never calls, and so one that might come after its last stage."""

    def __init__(self) -> None:
        super().__init__()
        self.below, self.unmet = net(torch.mul), Backdrop(0.5)
        self.above = Apply(under_no_grad, 2, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.above(self.below(x))


def under_no_grad(x: Tensor, p: Tensor) -> Tensor:
    with torch.no_grad():
        return x * p


def under_set_grad_enabled(x: Tensor, p: Tensor) -> Tensor:
    with torch.set_grad_enabled(False):
        return torch.relu(x)


def between_two_calls(x: Tensor, p: Tensor) -> Tensor:
    torch.set_grad_enabled(False)
    y = x.tanh()
    torch.set_grad_enabled(True)
    return y + x


def until_the_end(x: Tensor, p: Tensor) -> Tensor:
    with torch.no_grad():
        with torch.enable_grad():
            x = x * p
        y = x.sin()
    return x - y


def in_place(x: Tensor, p: Tensor) -> Tensor:
    with torch.no_grad():
        x.mul_(2)
    return x


def of_shape_alone(x: Tensor, p: Tensor) -> Tensor:
    with torch.no_grad():
        return x.view(len(x), *x.shape[1:])


@torch.no_grad()
def decorated(x: Tensor, p: Tensor) -> Tensor:
    return x.abs() + p


WITHOUT = [
    under_no_grad, under_set_grad_enabled, between_two_calls, until_the_end, in_place,
    of_shape_alone, decorated,
]  # fmt: skip


@pytest.mark.parametrize("function", WITHOUT)
@pytest.mark.parametrize("dims", ["sample", "sample+spatial"])
def test_parts_without_gradients_are_refused(function, dims):
    assert_refused(net(function, dims), NO_GRAD)


@pytest.mark.parametrize("mode", [nullcontext, torch.enable_grad])
def test_inference_mode_is_refused_also_where_gradients_are_enabled_in_it(mode):
    def function(x: Tensor, p: Tensor) -> Tensor:
        with torch.inference_mode(), mode():
            return x * 2

    assert_refused(net(function), "a part of the forward pass under inference_mode")


def test_a_part_without_gradients_between_masks_is_refused():
    below = nn.Sequential(nn.Conv2d(2, 2, 3), Backdrop(0.5))
    model = nn.Sequential(below, net(under_no_grad))
    assert_refused(model.double(), NO_GRAD, "1.1")


def test_a_part_without_gradients_that_meets_no_mask_is_refused():
    assert_refused(Unmet().double(), NO_GRAD, "above")


def test_a_part_that_changes_later_is_refused_at_its_mask():
    model = net(torch.mul)
    with survivors(model, always=True):
        gradients(model, batch())
        model[1].function = under_no_grad
        with pytest.raises(InexactError, match=NO_GRAD):
            model(batch())


@pytest.mark.parametrize("wanted", ["auto", "dense"])
def test_training_is_dense_where_a_part_has_no_gradients(wanted):
    settings = {"backward": wanted, "compile": False, "device": "cpu", "precision": "float32"}
    used = choose_backward(net(under_no_grad), settings, (64, 2, 128, 128))
    assert used == {"3": "dense"}


class Statistics(nn.Module):
    """Keeps statistics that are no part of its output, some of them of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("scale", torch.ones(4, 1, 1))
        self.mean: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.seen.add_(len(x))
            shift = self.scale.new_zeros(x.shape[1]).view(-1, 1, 1)
            self.mean = x.abs().mean(1)
        return x * self.scale + shift


class Hooked(nn.Module):
    """Halves the gradient of its parameter by a hook."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(4, 1, 1))
        self.factor.register_hook(lambda grad: grad / 2)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def saved_elsewhere(x: Tensor, p: Tensor) -> Tensor:
    with torch.autograd.graph.save_on_cpu():
        return (x * p).tanh()


CONV = nn.Conv2d(4, 4, 3, padding=1).double().requires_grad_(False)
EXACT = [
    lambda x, p: functional_call(CONV, {"weight": p.expand(4, 4, 1, 1).contiguous()}, (x,)),
    lambda x, p: x * p.detach() + p.relu(),
    saved_elsewhere,
]


@pytest.mark.parametrize("function", EXACT)
def test_parts_that_autograd_sees_as_they_are_stay_exact(function):
    model = net(function)
    assert why_inexact(model, SHAPE) is None
    assert difference(model, batch()) < 1e-12


@pytest.mark.parametrize("layer", [Statistics(), Hooked(), nn.BatchNorm2d(4).eval()])
def test_layers_that_use_no_gradients_of_their_own_stay_exact(layer):
    model = net(torch.mul)
    model[1] = layer.double()
    assert difference(model, batch()) < 1e-12


def test_a_mask_without_gradients_ends_a_stage_that_needs_none():
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.below, self.mask = nn.Conv2d(2, 2, 3), Backdrop(0.5)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                return self.mask(self.below(x))

    model = nn.Sequential(Frozen(), net(torch.mul)).double()
    x = batch()
    with survivors(model, always=True) as skip:
        model(x).sum().backward()
    assert skip.used == {"0.mask": "survivors", "1.3": "survivors"}
    assert x.grad is None
    assert model[0].below.weight.grad is None
    assert model[1][0].weight.grad is not None


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_models_may_be_asked_and_evaluated_where_there_are_no_gradients(mode):
    model, x = net(torch.mul), batch()
    with survivors(model, always=True) as skip, mode():
        assert why_inexact(model, SHAPE) is None
        assert "no_grad" in why_inexact(net(under_no_grad), SHAPE)
        torch.testing.assert_close(model(x), model.eval()(x))
    assert skip.used == {}


def test_asking_leaves_gradients_enabled():
    def function(x: Tensor, p: Tensor) -> Tensor:
        torch.set_grad_enabled(False)
        return x * 2

    assert why_inexact(net(function), SHAPE) is None  # the mask has no gradient either
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    "kind",
    ["register_full_backward_hook", "register_full_backward_pre_hook", "register_backward_hook"],
)
def test_hooks_on_the_gradients_of_modules_are_refused(kind):
    model = net(torch.mul)
    getattr(model[1], kind)(lambda *_: None)
    assert "a stage has no graph" in why_inexact(model, SHAPE)
    with survivors(model), pytest.raises(InexactError, match="a stage has no graph"):
        model(batch())


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (lambda x, p: x.register_hook(lambda grad: 2 * grad) and x, "torch.Tensor.register_hook"),
        (lambda x, p: x.retain_grad() or x, "torch.Tensor.retain_grad"),
        (lambda x, p: x * x.detach(), "torch.Tensor.detach"),
        (lambda x, p: x * torch.detach(x), "torch.detach"),
        (lambda x, p: x.detach_(), "torch.Tensor.detach_"),
        (lambda x, p: x * x.data, "torch.Tensor.data"),
        (lambda x, p: torch.autograd.grad(x.square(), x, x), "<function grad"),
        (lambda x, p: torch.func.vmap(torch.sin)(x), "aten.sin"),
        (lambda x, p: torch.func.vjp(torch.sin, x)[0], "aten.sin"),
        (lambda x, p: torch.func.vmap(lambda v: x * v)(p), "aten.mul"),
        (lambda x, p: torch.func.grad(lambda v: (x * v).mean())(p), "aten.mul"),
    ],
)
def test_what_takes_the_graph_apart_is_refused(function, what):
    assert_refused(net(function), what)
