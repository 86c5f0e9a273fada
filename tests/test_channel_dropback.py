"""ChannelDropBack: what a step moves and what it leaves, under every optimizer and precaution."""

import copy
import io
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW

from backdrop import ChannelDropBack, CodeChannelDropBack, PaperChannelDropBack

MOMENTUM = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}
OPTIMIZERS = {
    "sgd": (SGD, MOMENTUM | {"nesterov": True}),
    "sgd foreach": (SGD, MOMENTUM | {"foreach": True}),
    "sgd fused": (SGD, MOMENTUM | {"fused": True}),
    "adam": (Adam, {"lr": 0.1, "weight_decay": 0.1, "foreach": False}),
    "adam foreach": (Adam, {"lr": 0.1, "weight_decay": 0.1, "foreach": True}),
    "adam fused": (Adam, {"lr": 0.1, "weight_decay": 0.1, "fused": True}),
    "adamw": (AdamW, {"lr": 0.1, "weight_decay": 0.1, "foreach": False}),
    "adamw foreach": (AdamW, {"lr": 0.1, "weight_decay": 0.1, "foreach": True}),
    "adamw fused": (AdamW, {"lr": 0.1, "weight_decay": 0.1, "fused": True}),
}


def net() -> nn.Sequential:
    """Give a net whose gradients vanish nowhere, with a depthwise layer and batch norm."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 10, 3), nn.BatchNorm2d(10), nn.Tanh(),
        nn.Conv2d(10, 10, 3, groups=10), nn.Tanh(), nn.Conv2d(10, 7, 3, bias=False), nn.Tanh(),
        nn.Flatten(), nn.Linear(28, 20), nn.Tanh(), nn.Linear(20, 3),
    )  # fmt: skip


def backward(model: nn.Module, seed: int = 0, scale: Callable[[Tensor], Tensor] = Tensor.clone):
    x = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    scale(nn.functional.cross_entropy(model(x), torch.arange(6) % 3)).backward()


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_paper_form_leaves_some_channels_of_one_layer_and_all_else_moves_as_usual(kind):
    cls, arguments = OPTIMIZERS[kind]
    model = net()
    optimizer = cls(model.parameters(), **arguments)
    ChannelDropBack(model, optimizer, "paper", fraction=0.7)
    treated = {"0": 3, "3": 3, "5": 2, "8": 6, "10": 1}  # 30 % of the channels of each layer
    left = []
    for seed in range(12):
        backward(model, seed)
        plain, plain_optimizer = copy.deepcopy((model, optimizer))  # without hooks and gradients
        for p, usual in zip(model.parameters(), plain.parameters(), strict=True):
            usual.grad = p.grad.clone()
        before = weights(model)
        plain_optimizer.step()
        optimizer.step()
        kept = {}
        for name, after in weights(model).items():
            usual = plain.get_parameter(name)
            assert not torch.any(usual == before[name])
            rows = (after == before[name]).reshape(len(after), -1).all(1)
            assert torch.equal(after[~rows], usual[~rows])
            if rows.any():
                kept[name] = rows
        (layer,) = {name.rpartition(".")[0] for name in kept}
        assert all(rows.sum() == treated[layer] for rows in kept.values())
        assert list(kept) == [f"{layer}.{own}" for own, _ in model[int(layer)].named_parameters()]
        assert all(torch.equal(rows, kept[f"{layer}.weight"]) for rows in kept.values())
        states = zip(optimizer.state.values(), plain_optimizer.state.values(), strict=True)
        for state, usual in states:  # momentum buffers and the like
            assert all(torch.equal(state[key], usual[key]) for key in state)
        left.append(layer)
        optimizer.zero_grad()
    assert len(set(left)) > 1


def test_paper_form_draws_layers_and_channels_uniformly():
    model = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    optimizer = SGD(model.parameters(), lr=1.0)
    generator = torch.Generator().manual_seed(0)
    ChannelDropBack(model, optimizer, fraction=0.75, generator=generator)
    biases = [layer.bias for layer in model]
    counts, steps = torch.zeros(3, 4), 1200
    for _ in range(steps):
        for bias in biases:
            bias.grad = torch.ones(4)
        before = torch.stack([bias.detach().clone() for bias in biases])
        optimizer.step()
        counts += torch.stack([bias.detach() for bias in biases]) == before
    assert counts.sum() == steps  # one channel of one layer a step
    # Within five standard deviations of the binomial distribution with mean 100.
    assert torch.all((counts - steps / 12).abs() < 5 * (steps / 12 * 11 / 12) ** 0.5)


def test_paper_form_updates_at_least_one_channel_and_all_at_fraction_1():
    for fraction, updated in [(1e-9, 1), (0.5, 2), (1.0, 5)]:
        model = nn.Linear(2, 5)
        before = weights(model)
        optimizer = SGD(model.parameters(), lr=1.0)
        ChannelDropBack(model, optimizer, fraction=fraction)
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        assert (model.bias != before["bias"]).sum() == updated


@pytest.mark.parametrize("form", ["paper", "code"])
@pytest.mark.parametrize("kind", ["sgd", "adamw fused"])
def test_gradient_scaler_changes_nothing(kind, form):
    cls, arguments = OPTIMIZERS[kind]
    rate = {"rate_layer": 1.0} if form == "code" else {}
    results = []
    for scaled in (False, True):
        model = net()
        optimizer = cls(model.parameters(), **arguments)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, enabled=scaled)
        ChannelDropBack(model, optimizer, form, **rate)
        torch.manual_seed(1)
        for seed in range(3):
            optimizer.zero_grad()
            backward(model, seed, scaler.scale)
            scaler.step(optimizer)
            scaler.update()
        results.append(weights(model))
    for name in results[0]:
        torch.testing.assert_close(*(r[name] for r in results), rtol=1e-4, atol=1e-6)

    before = weights(model)
    optimizer.zero_grad()
    backward(model, 0, scaler.scale)
    for p in model.parameters():
        p.grad[...] = math.inf
    scaler.step(optimizer)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_compiled_models_are_treated_as_plain_ones():
    results = []
    for compiled in (False, True):
        torch.compiler.reset()
        model = net()
        run = torch.compile(model, backend="aot_eager") if compiled else model
        optimizer = SGD(run.parameters(), **MOMENTUM)
        ChannelDropBack(run, optimizer, layers=["8", "10"])
        torch.manual_seed(1)
        for seed in range(4):
            optimizer.zero_grad()
            backward(run, seed)
            optimizer.step()
        results.append(weights(model))
    for name in results[0]:
        torch.testing.assert_close(*(r[name] for r in results), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("form", ["paper", "code"])
def test_removal_restores_the_plain_step(form):
    model, plain = net(), net()
    optimizer, plain_optimizer = (SGD(m.parameters(), **MOMENTUM) for m in (model, plain))
    dropback = ChannelDropBack(model, optimizer, form)
    dropback.remove()
    dropback.remove()
    for m, o in ((model, optimizer), (plain, plain_optimizer)):
        backward(m)
        o.step()
    assert all(torch.equal(p, plain.get_parameter(name)) for name, p in model.named_parameters())
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


def test_each_form_is_a_class_that_its_name_gives():
    for form, cls in (("paper", PaperChannelDropBack), ("code", CodeChannelDropBack)):
        results = []
        for make in (lambda m, o, form=form: ChannelDropBack(m, o, form), cls):
            model = net()
            optimizer = SGD(model.parameters(), **MOMENTUM)
            dropback = make(model, optimizer)
            assert type(dropback) is cls
            torch.manual_seed(0)
            for seed in range(30):
                optimizer.zero_grad()
                backward(model, seed)
                optimizer.step()
            results.append(weights(model))
        assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


Parts = tuple[nn.Module, torch.optim.Optimizer, PaperChannelDropBack | CodeChannelDropBack]


def started(form: str, seed: int) -> Parts:
    model = net()
    optimizer = AdamW(model.parameters(), lr=0.01)
    rate = {"rate_layer": lambda epoch: 0.5 + epoch / 2} if form == "code" else {}
    generator = torch.Generator().manual_seed(seed)
    return model, optimizer, ChannelDropBack(model, optimizer, form, generator=generator, **rate)


def trained(form: str, interrupted: bool) -> dict[str, Tensor]:
    """Train for two epochs; if interrupted, save after the first and go on with other objects."""
    parts = started(form, 5)
    for epoch in range(2):
        model, optimizer, dropback = parts
        for seed in range(3):
            optimizer.zero_grad()
            backward(model, seed)
            optimizer.step()
        if epoch == 0:
            dropback.set_epoch(1)
        if interrupted and epoch == 0:
            torch.save([part.state_dict() for part in parts], file := io.BytesIO())
            file.seek(0)
            parts = started(form, 77)
            for part, state in zip(parts, torch.load(file), strict=True):
                part.load_state_dict(state)
    return weights(parts[0])


@pytest.mark.parametrize("form", ["paper", "code"])
def test_resuming_is_exact(form):
    plain, resumed = trained(form, False), trained(form, True)
    assert all(torch.equal(plain[name], resumed[name]) for name in plain)


@pytest.mark.parametrize("form", ["paper", "code"])
def test_draws_come_from_the_global_stream_or_the_own_generator(form):
    model = net()
    optimizer = SGD(model.parameters(), lr=0.1)
    for generator in (torch.Generator(), None):
        dropback = ChannelDropBack(model, optimizer, form, generator=generator)
        backward(model)
        before = torch.get_rng_state()
        optimizer.step()
        assert torch.equal(torch.get_rng_state(), before) == (generator is not None)
        dropback.remove()


def test_states_with_and_without_generator_do_not_mix():
    model = net()
    optimizer = SGD(model.parameters(), lr=0.1)
    own = ChannelDropBack(model, optimizer, generator=torch.Generator())
    none = ChannelDropBack(model, optimizer)
    with pytest.raises(ValueError, match="has none"):
        own.load_state_dict(none.state_dict())
    with pytest.raises(ValueError, match="has one"):
        none.load_state_dict(own.state_dict())


@pytest.mark.parametrize("cls", [SGD, torch.optim.LBFGS])
def test_a_closure_is_taken_by_the_paper_form_and_refused_by_the_code_form(cls):
    model = nn.Linear(3, 10)
    optimizer = cls(model.parameters(), lr=0.1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = model(torch.ones(1, 3)).square().sum()
        loss.backward()
        return loss

    paper, before = ChannelDropBack(model, optimizer), model.bias.detach().clone()
    optimizer.step(closure)
    assert (model.bias == before).sum() == 3
    paper.remove()
    ChannelDropBack(model, optimizer, "code", skip=-1)
    with pytest.raises(ValueError, match="closure"):
        optimizer.step(closure)
    with pytest.raises(ValueError, match="closure"):
        optimizer.step(closure=closure)
