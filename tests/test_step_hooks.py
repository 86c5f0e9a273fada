"""Hooks around the step: on copies of what they act on, and only there."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.optim import SGD

from backdrop import ChannelDropBack, CodeChannelDropBack, PaperChannelDropBack
from tests.test_channel_dropback import MOMENTUM, backward, net, weights


def started(form: str) -> tuple[nn.Module, SGD, PaperChannelDropBack | CodeChannelDropBack]:
    model = net()
    optimizer = SGD(model.parameters(), **MOMENTUM)
    rate = {"rate_layer": 1.0} if form == "code" else {}
    generator = torch.Generator().manual_seed(3)
    return model, optimizer, ChannelDropBack(model, optimizer, form, generator=generator, **rate)


def stepped(model: nn.Module, optimizer: SGD) -> dict[str, torch.Tensor]:
    for seed in range(3):
        optimizer.zero_grad()
        backward(model, seed)
        optimizer.step()
    return weights(model)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("form", ["paper", "code"])
def test_a_copy_with_its_model_and_optimizer_acts_on_these(form, duplicate, order):
    parts = started(form)
    copied = dict(zip(order, duplicate(tuple(parts[i] for i in order)), strict=True))
    untouched = weights(parts[0])
    found = stepped(copied[0], copied[1])
    assert all(torch.equal(p, untouched[name]) for name, p in parts[0].named_parameters())
    expected = stepped(parts[0], parts[1])
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    copied[2].remove()
    assert not copied[1]._optimizer_step_pre_hooks
    assert parts[1]._optimizer_step_pre_hooks


@pytest.mark.parametrize("form", ["paper", "code"])
def test_a_copy_of_removed_hooks_does_not_act(form):
    parts = started(form)
    parts[2].remove()
    _, optimizer, _ = copy.deepcopy(parts)
    assert not optimizer._optimizer_step_pre_hooks
