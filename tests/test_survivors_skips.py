"""Connections that lead round a mask: exact, with survivors on what lies beside them."""

from collections.abc import Callable
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn

from backdrop import Backdrop, draw_mask, mask_gradient, survivors, why_inexact
from backdrop.models.texture_net import PositionLayerNorm
from backdrop.survivors import forward, would_use
from experiments.backward import choose_backward
from tests.gradients import Apply, difference


class Net(nn.Module):
    """Has three convolutions and two masks, and a function that puts them together."""

    def __init__(self, function: Callable[["Net", Tensor], Tensor], dims: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.function = function
        self.first = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(inplace=True))
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.third = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Tanh())
        self.joined = nn.Conv2d(8, 4, 1)
        self.down, self.up = nn.Conv2d(4, 4, 2, 2), nn.ConvTranspose2d(4, 4, 2, 2)
        self.norm = PositionLayerNorm(4)
        self.a, self.b = Backdrop(0.8, dims), Backdrop(0.7, dims)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def residual(net: Net, x: Tensor) -> Tensor:
    h = net.first(x)
    return net.b(net.third(h + net.a(net.second(h))))


def round_the_last(net: Net, x: Tensor) -> Tensor:
    h = net.norm(net.a(net.first(x)))
    return h + net.b(net.second(h))


def round_both(net: Net, x: Tensor) -> Tensor:
    h = net.first(x)
    return net.b(net.third(net.a(net.second(h)))) * h


def in_place(net: Net, x: Tensor) -> Tensor:
    h = net.first(x)
    y = net.a(net.second(h))
    y += h
    return net.b(net.third(y.relu_()))


def dense_net(net: Net, x: Tensor) -> Tensor:
    h = net.first(x)
    y = net.a(net.second(h))
    z = net.b(net.joined(torch.cat([h, y], 1)))
    return torch.cat([h, y, z], 1)


def u_net(net: Net, x: Tensor) -> Tensor:
    fine = net.first(x)
    coarse = net.a(net.down(fine))
    return net.b(net.joined(torch.cat([fine, net.up(coarse)], 1)))


def masked_and_not(net: Net, x: Tensor) -> Tensor:
    h = net.first(x)
    return net.b(net.third(net.a(h))) + net.second(h)


def round_from_the_input(net: Net, x: Tensor) -> Tensor:
    return torch.cat([net.b(net.third(net.a(net.first(x)))), x], 1)


def several_outputs(net: Net, x: Tensor) -> Tensor:
    h = net.first(x)
    low = net.second(h)
    return torch.cat([net.b(net.third(net.a(low))), h, low], 1)


def called_by_hand(net: Net, x: Tensor) -> Tensor:
    h = net.first(x)
    y = mask_gradient(net.second(h), draw_mask((len(x), 1, 1, 1), 0.5))
    return net.b(net.third(net.a(y) + h))


NETS = [
    residual, round_the_last, round_both, in_place, dense_net, u_net, masked_and_not,
    round_from_the_input, several_outputs, called_by_hand,
]  # fmt: skip


def batch() -> Tensor:
    return torch.randn(3, 2, 10, 10, dtype=torch.float64)


@pytest.mark.parametrize("function", NETS)
@pytest.mark.parametrize("dims", ["sample", "sample+spatial"])
def test_skips_round_masks_are_exact(function, dims):
    model = Net(function, dims).double()
    assert why_inexact(model, (3, 2, 10, 10)) is None
    assert difference(model, batch()) < 1e-12


@pytest.mark.parametrize("function", NETS)
def test_skips_that_the_trial_did_not_see_are_exact_too(function):
    nothing = property(lambda self: [])
    with patch.object(forward.TrialPass, "escapes", nothing):
        assert difference(Net(function, "sample+spatial").double(), batch()) < 1e-12


def test_a_stage_begins_where_the_skip_leaves():
    starts = []
    run = forward.survivors_only

    def noted(stage, *rest):
        starts.append([step.name for step in stage.steps])
        return run(stage, *rest)

    with patch.object(forward, "survivors_only", noted):
        assert difference(Net(residual, "sample+spatial").double(), batch()) < 1e-12
    assert starts == [["aten.convolution"], ["aten.convolution", "aten.tanh"]]


def test_what_couples_samples_may_lie_where_nothing_is_run_again():
    def function(x: Tensor, p: Tensor) -> Tensor:
        return x * p

    model = nn.Sequential(nn.Conv2d(2, 4, 3), Apply(function, 4, 1, 1), Backdrop(0.8)).double()
    assert difference(model, batch()) < 1e-12


def test_a_map_that_is_changed_in_place_behind_a_mask_is_refused_where_it_is_used_again():
    def function(net: Net, x: Tensor) -> Tensor:
        h = net.first(x)
        again = h.movedim(1, -1)
        y = net.a(net.second(h))
        h += y
        return net.b(net.third(h + again.movedim(-1, 1)))

    assert "changed in place under another name" in why_inexact(
        Net(function, "sample").double(), (3, 2, 10, 10)
    )


def test_training_chooses_what_it_then_can_do():
    model = Net(residual, "sample+spatial")
    settings = {"backward": "auto", "compile": False, "device": "cpu", "precision": "float32"}
    shape = (2, 2, 64, 64)
    used = choose_backward(model, settings, shape)
    assert set(used) == {"a", "b"}
    model(torch.randn(shape)).sum().backward()
    with survivors(model, always=True) as skip:
        model(torch.randn(shape)).sum().backward()
    assert skip.used == would_use(model, shape, always=True) == dict.fromkeys("ab", "survivors")
