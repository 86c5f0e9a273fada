"""Autograd functions of a model's own, whose backward pass survivors does not know."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils import parametrize

from backdrop import Backdrop, InexactError, survivors, why_inexact
from tests.gradients import Apply, difference, gradients
from tests.test_survivors_regions import SHAPE, assert_refused, batch, net


class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return -grad / 10


class StraightThrough(torch.autograd.Function):
    """Forward only, without a context."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clamp(-0.5, 0.5)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


class Cast(Reverse):
    """Changes its input's dtype where that is another, before its forward code."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.sin()


class Swap(torch.autograd.Function):
    """Has two inputs and two outputs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        return p * 2, x * 3

    @staticmethod
    def backward(ctx: Any, of_p: Tensor, of_x: Tensor) -> tuple[Tensor, Tensor]:
        return of_x * 2, of_p


class View(Reverse):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view(x.shape)


class Doubled(Reverse):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        return x.mul_(2)


class Marked(Reverse):
    """Changes nothing, but says so, lest it gives a view."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        return x


class Same(Reverse):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x


class Constant(Same):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_non_differentiable(x)
        return x


class Graph(torch.autograd.Function):
    """Has a graph of its own within, of what it is given in a list too."""

    @staticmethod
    def forward(ctx: Any, function: Any, x: Tensor, *more: Any) -> Tensor:
        with torch.enable_grad():
            return function(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return None, -grad, None


class Aside(torch.autograd.Function):
    """Gives what it does not compute from a feature map a gradient by it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: Tensor) -> Tensor:
        ctx.shape = x.shape
        return p.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones(ctx.shape, dtype=grad.dtype), grad


class Kept(torch.autograd.Function):
    """Calls a model in its forward pass and differentiates it in its backward pass."""

    @staticmethod
    def forward(ctx: Any, model: nn.Module, x: Tensor) -> Tensor:
        with torch.enable_grad():
            ctx.x = x.detach().requires_grad_()
            ctx.y = model(ctx.x)
        return ctx.y.detach()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        ctx.y.backward(grad)
        return None, ctx.x.grad


APPLIED = {
    "Reverse": lambda x, p: Reverse.apply(x * p),
    "StraightThrough": lambda x, p: StraightThrough.apply(x),
    "Swap": lambda x, p: Swap.apply(x, p)[1],
    "View": lambda x, p: View.apply(x) + p,
    "Doubled": lambda x, p: Doubled.apply(x * p),
    "Marked": lambda x, p: Marked.apply(x * p),
    "Graph": lambda x, p: Graph.apply(torch.tanh, x, p),
    "Aside": lambda x, p: x + Aside.apply(x, p) * 2,
}
UNNAMED = {
    "Same": lambda x, p: Same.apply(x),
    "Same, with a weight": lambda x, p: Same.apply(x * p),
}


@pytest.mark.parametrize("dims", ["sample", "sample+spatial"])
@pytest.mark.parametrize("name", APPLIED)
def test_functions_are_refused_by_name(name, dims):
    model = net(APPLIED[name], dims)
    gradients(model, batch())
    assert_refused(model, f"the autograd function {name}", "[12]")


@pytest.mark.parametrize("name", UNNAMED)
def test_functions_that_return_their_input_are_refused_by_their_place(name):
    model = net(UNNAMED[name])
    gradients(model, batch())
    assert_refused(model, "an autograd function")


def test_functions_that_return_their_input_as_a_constant_are_refused():
    assert_refused(net(lambda x, p: Constant.apply(x) + x), "aten.detach")


@pytest.mark.parametrize("function", [Reverse, View, Marked, StraightThrough])
def test_functions_right_below_a_mask_are_refused(function):
    model = nn.Sequential(nn.Conv2d(2, 4, 3), Apply(lambda x, _: function.apply(x), 1), Backdrop())
    assert_refused(model.double(), f"the autograd function {function.__name__}", "[12]")


def test_functions_that_change_dtypes_under_autocast_are_refused_by_name():
    model = net(lambda x, p: Cast.apply(x)).float()
    with torch.autocast("cpu", torch.bfloat16):
        assert "the autograd function Cast in module '1'" in why_inexact(model, SHAPE)


def test_functions_within_functions_are_refused():
    model = net(lambda x, p: Graph.apply(Reverse.apply, x, None))
    assert_refused(model, "the autograd function Reverse")


class Within(nn.Module):
    """Calls a part of a net that holds a mask by a function."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.part = nn.Conv2d(2, 2, 3), net(torch.mul)[:4]

    def forward(self, x: Tensor) -> Tensor:
        return Graph.apply(self.part, self.before(x), None)


def test_masks_within_functions_are_refused():
    assert_refused(Within().double(), "the autograd function Graph", "part.3")


@pytest.mark.parametrize("name", ["Reverse", "Same", "View", "StraightThrough", "Graph"])
def test_functions_that_come_later_are_refused_at_their_mask(name):
    model = net(torch.mul)
    with survivors(model, always=True):
        gradients(model, batch())
        model[1].function = (APPLIED | UNNAMED)[name]
        with pytest.raises(InexactError, match="autograd function"):
            model(batch())


@torch.library.custom_op("backdrop_tests::relu", mutates_args=())
def relu(x: Tensor) -> Tensor:
    return x.relu()


@relu.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


relu.register_autograd(lambda ctx, grad: -grad)


@pytest.mark.parametrize("function", [relu, torch.ops.backdrop_tests.relu])
def test_operators_of_others_are_refused_whatever_they_are_called(function):
    assert_refused(net(lambda x, p: function(x)), "backdrop_tests.relu")


class Rounded(nn.Module):
    """Quantises a weight, with the gradient of the identity."""

    def forward(self, weight: Tensor) -> Tensor:
        return Quantised.apply(weight)


class Quantised(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        return (weight * 8).round() / 8

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * 3


def test_functions_of_weights_stay_exact():
    model = net(lambda x, p: x * Reverse.apply(p) + Marked.apply(p * 2) + Same.apply(p))
    for layer in (model[0], model[2]):
        parametrize.register_parametrization(layer, "weight", Rounded())
    assert why_inexact(model, SHAPE) is None
    assert difference(model, batch()) < 1e-12


def test_functions_above_the_last_mask_do_not_matter():
    above = Apply(lambda x, p: Swap.apply(Reverse.apply(x), p)[1], 2, 1, 1)
    assert difference(nn.Sequential(*net(torch.mul), above).double(), batch()) < 1e-12


def test_results_of_functions_that_nothing_is_made_of_do_not_matter():
    def function(x: Tensor, p: Tensor) -> Tensor:
        Reverse.apply(x)
        return x * p

    assert difference(net(function), batch()) < 1e-12


def test_survivors_within_a_function_leave_it_its_gradients():
    model, x = net(torch.mul), batch()
    whole = Apply(lambda x, _: Kept.apply(model, x), 1)
    whole.net = model
    _, expected = gradients(whole, x)
    with survivors(model, always=True):
        torch.testing.assert_close(gradients(whole, x)[1], expected)


@pytest.mark.filterwarnings("ignore")
def test_compiled_functions_are_recorded_as_they_are():
    compiled = torch.compile(lambda x, p: (x * p).tanh(), backend="eager")
    assert difference(net(compiled), batch()) < 1e-12
    assert_refused(net(torch.compile(APPLIED["Reverse"], backend="eager")), "the autograd function")
