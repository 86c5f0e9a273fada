"""ChannelDropBack on layers whose weight is computed from other parameters."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize
from torch.optim import SGD

from backdrop import ChannelDropBack


class Halved(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight / 2


def old_weight_norm(layer: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(layer)


def halved(layer: nn.Module) -> nn.Module:
    parametrize.register_parametrization(layer, "bias", Halved())
    return parametrize.register_parametrization(layer, "weight", Halved())


ROWS = [parametrizations.weight_norm, old_weight_norm, halved]


@pytest.mark.parametrize("make", ROWS)
@pytest.mark.parametrize("layer", [lambda: nn.Linear(4, 10), lambda: nn.Conv1d(4, 10, 1)])
def test_weights_computed_channel_by_channel_keep_channels_bit_for_bit(layer, make):
    torch.manual_seed(0)
    model = make(layer())
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    ChannelDropBack(model, optimizer, fraction=0.7)
    x = torch.randn(8, 4, *[1] * (model.weight.ndim - 2))
    for _ in range(3):
        model(x)
        before = model.weight.detach().flatten(1).clone(), model.bias.detach().clone()
        model(x).square().sum().backward()
        optimizer.step()
        model(x)
        kept = (model.weight.detach().flatten(1) == before[0]).all(1)
        assert kept.sum() == 3
        assert torch.equal(model.bias.detach() == before[1], kept)


def test_parametrised_and_plain_layers_are_picked_alike():
    torch.manual_seed(0)
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 4)), nn.Linear(4, 4))
    optimizer = SGD(model.parameters(), lr=0.1)
    ChannelDropBack(model, optimizer, fraction=0.5, generator=torch.Generator().manual_seed(0))
    picked = []
    for _ in range(200):
        before = model[0].bias.detach().clone()
        optimizer.zero_grad()
        model(torch.randn(3, 4)).square().sum().backward()
        optimizer.step()
        picked.append((model[0].bias.detach() == before).any().item())
    assert abs(sum(picked) - 100) < 5 * 50**0.5


def test_the_parameters_of_coupled_channels_are_kept():
    torch.manual_seed(0)
    model = parametrizations.spectral_norm(nn.Linear(4, 10))
    optimizer = SGD(model.parameters(), lr=0.1)
    ChannelDropBack(model, optimizer, fraction=0.7)
    before = model.parametrizations.weight.original.detach().clone()
    model(torch.randn(8, 4)).square().sum().backward()
    optimizer.step()
    assert (model.parametrizations.weight.original == before).all(1).sum() == 3


def test_the_code_form_drops_input_channels_of_the_parameters():
    model = parametrizations.weight_norm(nn.Linear(30, 4))
    optimizer = SGD(model.parameters(), lr=0.0)
    ChannelDropBack(model, optimizer, "code", skip=-1, rate_layer=1.0, rate_channel=0.5)
    model(torch.randn(5, 30)).square().sum().backward()
    optimizer.step()
    length, direction = model.parametrizations.weight.parameters()
    assert (direction.grad == 0).all(0).any()
    assert not (length.grad == 0).any()


@pytest.mark.parametrize("dim", [1, None])
def test_weights_normalised_otherwise_than_by_output_channels_are_refused_by_name(dim):
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 10), dim=dim), nn.Linear(10, 3))
    optimizer = SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="layer '0' has no 10 output channels along dim 0 of its"):
        ChannelDropBack(model, optimizer)
    assert not optimizer._optimizer_step_pre_hooks
    ChannelDropBack(model, optimizer, layers=["1"])
