"""The code form of ChannelDropBack: its formula, what it treats, its schedule."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from backdrop import ChannelDropBack
from backdrop.channel_dropback import code_schedule
from tests.test_channel_dropback import MOMENTUM, backward, net, weights


def sgd_by_hand(
    model: nn.Module, buffers: dict[str, Tensor], rate_layer: float, rate_channel: float
) -> None:
    """Take a step of the code form, with nesterov momentum 0.9 and weight decay 0.1, lr 0.1."""
    for index, (name, p) in enumerate(model.named_parameters()):
        grad = p.grad.clone()
        if index > 3 and p.ndim >= 2 and "bias" not in name and torch.rand(1) < rate_layer:
            dropped = torch.rand(p.shape[1]) < rate_channel
            if not dropped.all():
                grad[:, dropped] = 0
                grad /= (~dropped).float().mean()
        grad += 0.1 * p.detach()
        buffers[name] = 0.9 * buffers[name] + grad if name in buffers else grad
        p.data -= 0.1 * (grad + 0.9 * buffers[name])


@pytest.mark.parametrize("before_step", ["one backward pass", "accumulation", "clipping"])
@pytest.mark.parametrize("rate_layer", [0.5, 1])
def test_code_form_equals_a_step_by_hand(rate_layer, before_step):
    model, by_hand = net(), net()
    start = weights(model)
    optimizer = SGD(model.parameters(), **MOMENTUM, nesterov=True)
    ChannelDropBack(model, optimizer, "code", rate_layer=rate_layer, rate_channel=0.4)
    buffers: dict[str, Tensor] = {}
    for seed in range(5):
        for m in (model, by_hand):
            m.zero_grad()
            backward(m, seed)
            if before_step == "accumulation":
                backward(m, seed + 100)
            if before_step == "clipping":
                nn.utils.clip_grad_norm_(m.parameters(), 0.1)
        torch.manual_seed(seed)
        optimizer.step()
        torch.manual_seed(seed)
        sgd_by_hand(by_hand, buffers, rate_layer, 0.4)
    for name, p in model.named_parameters():
        torch.testing.assert_close(p, by_hand.get_parameter(name), rtol=1e-4, atol=1e-6)
        assert not torch.any(p == start[name])  # weight decay moves dropped channels too


def edited(model: nn.Module, **arguments) -> dict[str, Tensor]:
    """Give the gradients, set to 1, after a step of the code form."""
    optimizer = SGD(model.parameters(), lr=0.0)
    dropback = ChannelDropBack(model, optimizer, "code", rate_layer=1.0, **arguments)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    dropback.remove()
    return {name: p.grad for name, p in model.named_parameters()}


def test_code_form_leaves_biases_norms_depthwise_layers_and_the_first_tensors():
    model = net()
    shares = {name: set[float]() for name in weights(model)}
    for _ in range(10):
        for name, grad in edited(model).items():
            shares[name].add((grad == 0).double().mean().item())
    assert {name for name, found in shares.items() if found != {0.0}} == {
        "5.weight", "8.weight", "10.weight",
    }  # fmt: skip
    assert any(edited(model, skip=-1)["0.weight"].eq(0).any() for _ in range(20))
    assert not any(edited(model, skip=6)["5.weight"].eq(0).any() for _ in range(20))


def test_code_form_skips_by_the_index_counted_from_zero():
    model = nn.Sequential(*[nn.Linear(30, 30, bias=False) for _ in range(6)])
    touched = [grad.eq(0).any().item() for grad in edited(model, rate_channel=0.5).values()]
    assert touched == [False] * 4 + [True] * 2


def test_code_form_leaves_flattened_and_normalised_weights_by_what_they_are():
    model = nn.ModuleDict({"subnet": nn.Linear(30, 4, bias=False), "x": nn.BatchNorm1d(4)})
    model.register_parameter("bias_table", nn.Parameter(torch.ones(4, 30)))
    touched = {
        name for name, g in edited(model, skip=-1, rate_channel=0.5).items() if g.eq(0).any()
    }
    assert touched == {"subnet.weight"}


def test_code_form_drops_none_where_all_would_be_dropped():
    model = nn.Linear(3, 2, bias=False)
    for _ in range(20):
        grad = edited(model, skip=-1, rate_channel=1 - 1e-12)["weight"]
        assert torch.equal(grad, torch.ones(2, 3))


def test_code_form_drops_whatever_a_slice_holds():
    model = nn.Linear(30, 2, bias=False)
    optimizer = SGD(model.parameters(), lr=0.0)
    ChannelDropBack(model, optimizer, "code", skip=-1, rate_layer=1.0, rate_channel=0.5)
    model.weight.grad = torch.full((2, 30), math.inf)
    optimizer.step()
    assert set(model.weight.grad.flatten().tolist()) == {0.0, math.inf}


def test_mean_gradient_over_draws_of_the_code_form_is_the_plain_gradient():
    torch.manual_seed(0)
    model = nn.Linear(5, 1, bias=False)
    draws = torch.stack(
        [edited(model, skip=-1, rate_channel=0.6)["weight"][0] for _ in range(2000)]
    )
    error = draws.std(0) / len(draws) ** 0.5
    assert torch.all((draws.mean(0) - 1).abs() < 5 * error)
    assert torch.all(error > 0.01)


def test_rate_layer_is_the_share_of_treated_weights():
    model, generator = nn.Linear(40, 1, bias=False), torch.Generator().manual_seed(0)
    optimizer = SGD(model.parameters(), lr=0.0)
    ChannelDropBack(model, optimizer, "code", skip=-1, rate_layer=0.15, generator=generator)
    treated = 0
    for _ in range(2000):
        model.weight.grad = torch.ones(1, 40)
        optimizer.step()
        treated += int(model.weight.grad.eq(0).any())
    assert abs(treated - 300) < 5 * (2000 * 0.15 * 0.85) ** 0.5


@pytest.mark.parametrize("epochs", [1, 7, 40, 100, 200])
def test_schedule_is_the_one_of_the_published_script(epochs):
    milestones, rate, rates = [round(epochs * 0.3), round(epochs * 0.6)], 0.03, []
    for epoch in range(epochs):
        rates.append(rate)  # training, then the scheduler's step
        rate = 0.3 if epoch > milestones[1] else 0.15 if epoch > milestones[0] else 0.03
    schedule = code_schedule(epochs)
    assert [schedule(epoch) for epoch in range(epochs)] == rates
    assert epochs < 40 or set(rates) == {0.03, 0.15, 0.3}


def test_scheduled_rate_follows_the_epoch():
    model = nn.Linear(40, 1, bias=False)
    optimizer = SGD(model.parameters(), lr=0.0)
    dropback = ChannelDropBack(
        model, optimizer, "code", skip=-1, rate_channel=0.5, rate_layer=lambda epoch: float(epoch)
    )
    for epoch in (0, 1, 0):
        dropback.set_epoch(epoch)
        model.weight.grad = torch.ones(1, 40)
        optimizer.step()
        assert model.weight.grad.eq(0).any() == bool(epoch)
    with pytest.raises(ValueError, match=r"rate_layer of epoch 2 must lie in \[0, 1\], got 2.0"):
        dropback.set_epoch(2)


def test_only_named_layers_are_treated():
    model = nn.ModuleDict({"a": nn.Sequential(*[nn.Linear(30, 30) for _ in range(2)])})
    model["b"] = nn.Linear(30, 30)
    found = edited(model, layers=["a.1", "b"], skip=-1, rate_channel=0.5)
    assert {name for name, g in found.items() if g.eq(0).any()} == {"a.1.weight", "b.weight"}
    found = edited(model, layers=["a"], skip=-1, rate_channel=0.5)
    assert {name for name, g in found.items() if g.eq(0).any()} == {"a.0.weight", "a.1.weight"}


def test_parameters_without_gradient_or_without_optimizer_are_left():
    model = nn.Sequential(nn.Linear(2, 30), nn.Linear(30, 30), nn.Linear(30, 30))
    optimizer = SGD(model[1:].parameters(), lr=1.0)
    ChannelDropBack(model, optimizer, "code", skip=-1, rate_layer=1.0, rate_channel=0.5)
    model[0].weight.grad, model[1].weight.grad = torch.ones(30, 2), torch.ones(30, 30)
    optimizer.step()
    assert model[0].weight.grad.eq(1).all()
    assert model[1].weight.grad.eq(0).any()
    assert model[2].weight.grad is None


@pytest.mark.parametrize("epochs", [0, -3])
def test_schedule_refuses_a_training_without_epochs(epochs):
    with pytest.raises(ValueError, match=f"at least 1, got {epochs}"):
        code_schedule(epochs)
