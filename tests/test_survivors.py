"""Putting survivors on a model: what it leaves as it was, when it acts, and what it saves."""

import copy
import pickle
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from backdrop import Backdrop, place, survivors, why_inexact
from backdrop.models import SmallConvNet, TextureNet
from backdrop.survivors import active_masks, handle, would_use
from experiments.bench.memory import saved_bytes
from tests.gradients import difference, gradients


def net(p_fine: float = 0.9, p_coarse: float = 0.8, **options) -> nn.Module:
    torch.manual_seed(0)
    model = TextureNet(channels=4, norm="none", **options).double()
    place(model, {"fine": Backdrop(p_fine), "coarse": Backdrop(p_coarse)})
    return model


@pytest.fixture
def x() -> Tensor:
    return torch.randn(3, 1, 64, 64, generator=torch.Generator().manual_seed(1)).double()


def test_masks_draw_what_they_draw_in_the_dense_backward_pass(x):
    drawn = []
    for on in (False, True):
        model = net()
        layers = [hook.layer for hook in model.fine._forward_hooks.values()]
        torch.manual_seed(5)
        if on:
            survivors(model, always=True)
        with layers[0].recorded() as masks:
            model(x)
        drawn.append((masks[0], torch.get_rng_state()))
    for dense, sparse in zip(*drawn, strict=True):
        assert torch.equal(dense, sparse)


def test_own_generators_are_drawn_from_as_often(x):
    states = []
    for on in (False, True):
        generator = torch.Generator().manual_seed(3)
        model = TextureNet(channels=4, norm="none").double()
        place(model, {"coarse": Backdrop(0.5, generator=generator)})
        if on:
            survivors(model, always=True)
        model(x)
        states.append(generator.get_state())
    assert torch.equal(*states)


def test_state_dict_and_outputs_stay_and_removal_restores_the_dense_pass(x):
    model = net()
    before = copy.deepcopy(model.state_dict())
    _, dense = gradients(model, x)
    with survivors(model, always=True) as skip:
        gradients(model, x)
        assert skip.used == {"fine": "survivors", "coarse": "survivors"}
        assert model.state_dict().keys() == before.keys()
    skip.remove()
    skip.used = {}
    assert torch.equal(gradients(model, x)[1], dense)
    assert skip.used == {}


def test_where_it_does_not_pay_it_is_dense_bit_for_bit(x):
    model = net(0.1, 0.1)
    _, dense = gradients(model, x)
    skip = survivors(model)
    assert torch.equal(gradients(model, x)[1], dense)
    assert skip.used == {"fine": "dense", "coarse": "dense"}


def test_a_count_of_operations_chooses_by_p_and_by_the_masks_above():
    x = torch.randn(8, 1, 256, 256)
    used = {}
    for p_fine, p_coarse in [(0.5, 0), (0.97, 0), (0.5, 0.99)]:
        model = TextureNet(channels=16, norm="none")
        place(model, {"fine": Backdrop(p_fine), "coarse": Backdrop(p_coarse)})
        skip = survivors(model)
        model(x)
        used[p_fine, p_coarse] = skip.used["fine"]
    assert used == {(0.5, 0): "dense", (0.97, 0): "survivors", (0.5, 0.99): "survivors"}


def test_in_half_precision_patches_are_dearer():
    x, model = torch.randn(8, 1, 256, 256), TextureNet(channels=16, norm="none")
    place(model, {"fine": Backdrop(0.9)})
    skip = survivors(model)
    for use, on in [("survivors", False), ("dense", True), ("survivors", False)]:
        with torch.autocast("cpu", torch.bfloat16, enabled=on):
            assert would_use(model, x.shape) == {"fine": use}
            model(x)
        assert skip.used == {"fine": use}


@pytest.mark.parametrize("always", [False, True])
@pytest.mark.parametrize("p", [(0.1, 0.1), (0.97, 0.9), (0.5, 0)])
def test_what_it_would_use_is_what_it_uses(p, always):
    x, model = torch.randn(8, 1, 256, 256), TextureNet(channels=16, norm="none")
    place(model, {"fine": Backdrop(p[0]), "coarse": Backdrop(p[1])})
    expected = would_use(model, x.shape, always)
    assert set(expected) == set(active_masks(model)) == ({"fine", "coarse"} if p[1] else {"fine"})
    assert not always or set(expected.values()) == {"survivors"}
    skip = survivors(model, always)
    model(x)
    assert skip.used == expected


def test_freezing_parameters_changes_what_a_handle_uses():
    model, x = nn.Sequential(nn.Conv2d(3, 32, 3, 2), nn.ReLU()), torch.randn(32, 3, 128, 128)
    place(model, {"1": Backdrop(0.95)})
    skip = survivors(model)
    for frozen, use in [(False, "survivors"), (True, "dense"), (False, "survivors")]:
        model.requires_grad_(not frozen)
        model(x)
        assert skip.used == would_use(model, x.shape) == {"1": use}


def test_stages_are_remembered_for_the_latest_kinds_of_input(x):
    model = net()
    with patch.object(handle, "_trial", wraps=handle._trial) as trial, survivors(model) as skip:
        for size in range(handle.KNOWN + 1):
            model(x.new_ones(1, 1, 64, 64 + size))
            model(x[:1])
        assert trial.call_count == handle.KNOWN + 1
        assert len(skip._stages) == handle.KNOWN
        model(x.new_ones(1, 1, 64, 65))
        assert trial.call_count == handle.KNOWN + 2


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_run_always_it_is_exact_where_it_does_not_pay(x, p):
    model = net(p, p)
    assert set(would_use(model, x.shape).values()) == {"dense"}
    assert difference(model, x) < 1e-12


def test_inert_masks_leave_the_model_alone(x):
    model = net()
    skip = survivors(model, always=True)
    with torch.no_grad():
        model(x)
    model.eval()
    gradients(model, x)
    assert skip.used == {}


def test_fixed_masks_are_followed_in_eval_mode(x):
    model = net().eval()
    model.coarse._forward_hooks.popitem()
    (hook,) = model.fine._forward_hooks.values()
    hook.layer.fixed_mask = torch.zeros(8, 8).index_fill(0, torch.tensor([3]), 2.0)
    assert difference(model, x) < 1e-12


def test_no_survivors_give_zero_gradients(x):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), Backdrop(0.5)).double()
    model[1].fixed_mask = torch.zeros(3, 1, 1, 1)
    with survivors(model, always=True):
        _, gradient = gradients(model, x)
    assert len(gradient) == x.numel() + 20
    assert not gradient.any()


def test_masks_may_be_modules_of_the_model_and_lie_inside_sequences(x):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 5, 2),
        nn.Sequential(nn.ReLU(), Backdrop(0.8), nn.Conv2d(3, 3, 3)),
        nn.Tanh(),
    ).double()
    place(model, {"1.2": Backdrop(0.8)})
    assert difference(model, x) < 1e-12


def test_copies_and_pickles_skip_as_well(x):
    model = net()
    skip = survivors(model, always=True)
    expected = gradients(model, x)[1]
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        skip.used = {}
        assert torch.equal(gradients(copied, x)[1], expected)
        assert skip.used == {}


def test_several_passes_may_run_before_their_backward_passes(x):
    model = net()
    with survivors(model, always=True):
        torch.manual_seed(0)
        (model(x).sum() + 2 * model(x[:2]).sum()).backward()
    sparse = model.fine[0][0].weight.grad.clone()
    model.zero_grad()
    torch.manual_seed(0)
    (model(x).sum() + 2 * model(x[:2]).sum()).backward()
    torch.testing.assert_close(sparse, model.fine[0][0].weight.grad, rtol=1e-11, atol=1e-12)


def test_autocast_is_entered_again_and_sums_are_float32(x):
    model = net(kernel_size=2).float()
    grads = []
    for on in (False, True):
        skip = survivors(model, always=True) if on else None
        model.zero_grad()
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16):
            y = model(x.float())
        y.float().square().sum().backward()
        assert skip is None or "survivors" in skip.used.values()
        grads.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert grads[1].dtype == torch.float32
    assert (grads[1] - grads[0]).norm() < 0.02 * grads[0].norm()


def test_activation_checkpointing_sees_the_same_masks(x):
    model = net()
    with survivors(model, always=True):
        plain = gradients(model, x)[1]
        again = gradients(nn.Sequential(Checkpointed(model)), x)[1]
    torch.testing.assert_close(again, plain, rtol=1e-11, atol=1e-12)


class Checkpointed(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.model, x, use_reentrant=False)


def test_a_masked_stage_keeps_only_its_input():
    x = torch.randn(2, 1, 256, 256)
    model = TextureNet(channels=16, norm="none")
    place(model, {"fine": Backdrop(0.5), "coarse": Backdrop(0.5)})
    dense = saved_bytes(lambda: model(x))
    with survivors(model, always=True):
        assert saved_bytes(lambda: model(x)) < 0.3 * dense


def test_masked_samples_are_not_kept():
    torch.manual_seed(0)
    model, x = SmallConvNet(channels=16), torch.randn(500, 3, 32, 32)
    place(model, {"": Backdrop(0.95, "sample")})
    dense = saved_bytes(lambda: model(x))
    with survivors(model) as skip:
        assert saved_bytes(lambda: model(x)) < 0.2 * dense
    assert skip.used == {"": "survivors"}


class Keeping(nn.Module):
    """Keeps its last output, which is part of a graph."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.last = model, torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        self.last = self.model(x)
        return self.last


def test_models_that_hold_results_are_looked_ahead_in(x):
    model = Keeping(net())
    normed = model.model.fine[0][0]
    nn.utils.weight_norm(normed)  # its weight is computed before every pass
    for size in (3, 2):  # another size looks ahead again
        assert difference(model, x[:size]) < 1e-12
    assert model.last.shape[0] == 2


def test_asking_whether_it_is_exact_changes_nothing(x):
    model = net()
    generator = torch.Generator().manual_seed(3)
    place(model, {"fine.0": Backdrop(0.5, generator=generator)})
    states = torch.get_rng_state(), generator.get_state()
    assert why_inexact(model, x.shape) is None
    assert torch.equal(torch.get_rng_state(), states[0])
    assert torch.equal(generator.get_state(), states[1])
    model = TextureNet(channels=4)
    place(model, {"fine": Backdrop(0.5)})
    before = copy.deepcopy(model.state_dict())
    assert "'fine.0.1'" in why_inexact(model, x.shape)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
