"""Activation checkpointing beside, above, within and around what survivors runs again."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from backdrop import InexactError, survivors, why_inexact
from tests.gradients import difference, gradients
from tests.test_survivors_regions import SHAPE, assert_refused, batch, net


class Checkpointed(nn.Module):
    """Runs a part of a net again in the backward pass in place of keeping what it computed."""

    def __init__(self, first: int, end: int) -> None:
        super().__init__()
        net_ = net(torch.mul)
        self.before, self.part, self.after = net_[:first], net_[first:end], net_[end:]

    def forward(self, x: Tensor) -> Tensor:
        return self.after(checkpoint(self.part, self.before(x), use_reentrant=False))


@pytest.mark.parametrize(("first", "end"), [(0, 4), (1, 5), (3, 4), (0, 5)])
def test_masks_in_what_is_checkpointed_are_refused(first, end):
    model = Checkpointed(first, end).double()
    assert_refused(model, "torch.utils.checkpoint", "part.3")


@pytest.mark.parametrize(("first", "end"), [(0, 3), (1, 2), (4, 5)])
def test_checkpoints_on_either_side_of_the_masks_stay_exact(first, end):
    assert difference(Checkpointed(first, end).double(), batch()) < 1e-12


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_model_may_be_checkpointed_as_a_whole(reentrant):
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net(torch.mul)

        def forward(self, x: Tensor) -> Tensor:
            return checkpoint(self.net, x, use_reentrant=reentrant)

    model, x = Whole(), batch()
    _, expected = gradients(model, x)
    with survivors(model.net, always=True) as skip:
        _, found = gradients(model, x)
    assert skip.used == {"3": "survivors"}
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


def test_a_checkpoint_within_a_stage_stays_exact():
    model = net(lambda x, p: checkpoint(lambda x: (x * p).tanh(), x, use_reentrant=False))
    assert difference(model, batch()) < 1e-12


def test_reentrant_checkpoints_are_refused():
    model = net(lambda x, p: checkpoint(torch.tanh, x, use_reentrant=True))
    assert "in module '1'" in why_inexact(model, SHAPE)
    with survivors(model), pytest.raises(InexactError, match="in module '1'"):
        model(batch())
