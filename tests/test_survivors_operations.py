"""Operations, as models may write them, in stages that are run on survivors."""

import copy
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backdrop import Backdrop, InexactError, survivors, why_inexact
from backdrop.survivors.bands import BAND
from tests.gradients import Apply, difference, gradients


@pytest.mark.parametrize(
    "first",
    [
        nn.ReLU(True),
        nn.LeakyReLU(0.1, True),
        Apply(lambda x, _: torch.relu_(x), 1),
        Apply(lambda x, _: F.leaky_relu_(x, 0.1), 1),
        Apply(lambda x, _: F.elu_(x), 1),
        Apply(lambda x, _: F.hardtanh_(x, -0.5, 0.5), 1),
        Apply(lambda x, p: x.mul_(2).add_(p), 1),
    ],
)
def test_stages_may_begin_with_an_activation_in_place(first):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), Backdrop(0.5), first, nn.Conv2d(4, 3, 3), Backdrop(0.7)
    )
    assert difference(model.double(), torch.randn(2, 1, 9, 9, dtype=torch.float64)) < 1e-12


def _changes_a_clone(x: Tensor, _: Tensor) -> Tensor:
    y = x.clone()
    y.relu_()
    return y + x


def test_a_clone_may_be_changed_in_place():
    torch.manual_seed(0)
    for layers in ([], [nn.Conv2d(1, 1, 3)]):
        model = nn.Sequential(
            *layers, Apply(_changes_a_clone, 1), nn.Conv2d(1, 4, 3), Backdrop(0.7)
        )
        assert difference(model.double(), torch.randn(2, 1, 9, 9, dtype=torch.float64)) < 1e-12


@pytest.mark.parametrize(
    "function",
    [
        lambda x, p: F.linear(input=x, weight=p.expand(3, 4)),
        lambda x, p: torch.relu_(input=x * p),
        lambda x, p: torch.maximum(input=x, other=x.tanh()),
        lambda x, p: p - x,
        lambda x, p: p.clamp(max=x),
        lambda x, p: 2 - x,
        lambda x, p: 2 / (3 + x.square()),
        lambda x, p: torch.cat(tensors=[x, x.tanh()], dim=1),
    ],
)
def test_arguments_may_be_named_and_maps_may_come_second(function):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), Apply(function, 1, 4), Backdrop(0.5, "sample")).double()
    assert difference(model, torch.randn(6, 5, dtype=torch.float64)) < 1e-12


@pytest.mark.parametrize(
    "function",
    [
        lambda x, _: x / x.square().sum(1, keepdim=True).sqrt(),
        lambda x, _: (x * 1).div_(x.square().sum(1, keepdim=True)),
        lambda x, _: x / x.abs().sum(1, keepdim=True),
        lambda x, _: x.square().sum(1, keepdim=True).sqrt() + x,
        lambda x, _: (2 + x.square()).sqrt() - x.abs().sqrt(),
        lambda x, _: x.abs().log(),
        lambda x, _: 1 / (x.abs() + x.square()),
        lambda x, p: p / x,
    ],
)
@pytest.mark.parametrize("band", [40, 2**24])
def test_derivatives_that_are_infinite_beyond_the_border_spoil_no_gradient(function, band):
    # Without a bias, a convolution gives 0 there.
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        Apply(function, 1, 4, 1, 1),
        nn.Conv2d(4, 2, 5, padding=2),
        Backdrop(0.98),
    ).double()
    x = torch.randn(2, 3, 24, 24, dtype=torch.float64)
    with patch.dict(BAND, {"cpu": band}):
        assert difference(model, x) < 1e-11


def test_parameters_that_meet_the_map_alike_keep_their_own_gradients():
    # autograd may give one tensor as the gradient of both; it is summed over groups of patches.
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        Apply(torch.add, 1, 4, 1, 1),
        Apply(torch.add, 1, 4, 1, 1),
        Backdrop(),
    )
    model[3].fixed_mask = torch.zeros(2, 1, 48, 48)
    model[3].fixed_mask[[0, 1, 1], 0, [10, 0, 0], [10, 0, 5]] = 1  # inside and at the border
    assert difference(model, torch.randn(2, 3, 48, 48)) < 1e-6


class Moving(nn.Module):
    """Takes a buffer from its input and moves it on, before or after."""

    def __init__(self, first: bool) -> None:
        super().__init__()
        self.first = first
        self.register_buffer("mean", torch.ones(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.first:
            self.mean.mul_(0.5)
        x = x - self.mean
        if not self.first:
            self.mean.mul_(0.5)
        return x


@pytest.mark.parametrize("first", [True, False])
def test_tensors_that_change_after_they_are_taken_are_refused(first):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), Moving(first), Backdrop(0.9)).double()
    x, fresh = torch.randn(2, 3, 9, 9, dtype=torch.float64), copy.deepcopy(model)
    y, expected = gradients(fresh, x)
    with survivors(model, always=True):
        if first:
            torch.testing.assert_close(gradients(model, x), (y, expected))
        else:
            with pytest.raises(InexactError, match=r"sub in module '2': .* is changed"):
                model(x)
            assert "is changed" in why_inexact(model, x.shape)
            assert model[1].mean[0] == 1  # before anything was computed


@pytest.mark.parametrize(
    "function",
    [
        lambda x, _: x.softmax(1, torch.float64),
        lambda x, _: torch.log_softmax(x, 1, torch.float64),
        lambda x, _: F.softmax(x, 1, 3, torch.float64),
        lambda x, _: F.log_softmax(x, dim=1, dtype=torch.float64),
    ],
)
def test_softmax_is_taken_in_the_dtype_that_is_asked_for(function):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), Apply(function, 1), Backdrop(0.9))
    x = torch.randn(2, 3, 9, 9)
    assert gradients(model, x)[0].dtype == torch.float64
    assert difference(model, x) < 1e-6
