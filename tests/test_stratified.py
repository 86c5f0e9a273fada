"""Sample masks with survivors in every group: their formula, their mean, what they refuse."""

import copy
import pickle
from itertools import permutations, product
from math import factorial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from backdrop import Backdrop, StratifiedBackdrop, place
from backdrop import stratified as module
from backdrop.losses import auc_loss

SPLITS = [[0, 1, 1, 1], [0, 0, 1, 1], [2, 0, 1, 2], [0, 1, 2, 3], [7, 7, 7, 7]]


def layer_for(groups, p: float = 0.5, **options) -> StratifiedBackdrop:
    layer = StratifiedBackdrop(p, **options)
    layer.groups = torch.as_tensor(groups)
    return layer


def mask_of(layer: Backdrop, samples: int, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    with layer.recorded() as masks:
        layer(torch.zeros(samples))
    return masks[0]


def by_loop(uniform: Tensor, groups: list[int], p: float) -> Tensor:
    """Give the mask that the formula says, one group at a time."""
    mask = torch.zeros(len(groups))
    for group in set(groups):
        of_group = torch.tensor([g == group for g in groups])
        u = uniform[of_group]
        b = (u >= p) | ((u == u.max()) & (u < p).all())
        mask[of_group] = b.float() / b.float().mean()
    return mask


def outcomes(p: float, samples: int):
    """Give uniform numbers for all that tells masks apart, with the probability of each.

    A sample is dropped or not, and any order of the numbers is as likely as any other.
    """
    for dropped in product((True, False), repeat=samples):
        probability = p ** sum(dropped) * (1 - p) ** (samples - sum(dropped))
        for order in permutations(range(samples)):
            within = (torch.tensor(order) + 0.5) / samples
            below = torch.tensor(dropped)
            yield (
                torch.where(below, p * within, p + (1 - p) * within),
                probability / factorial(samples),
            )


def exact_mean(monkeypatch, groups: list[int], p: float, normalise) -> Tensor:
    layer, mean, total = layer_for(groups, p), torch.zeros(len(groups)).double(), 0.0
    for uniform, probability in outcomes(p, len(groups)):
        monkeypatch.setattr(module, "draw_uniform", lambda *_, uniform=uniform: uniform)
        mean += probability * normalise(mask_of(layer, len(groups))).double()
        total += probability
    assert total == pytest.approx(1)
    return mean


@pytest.mark.parametrize("p", [0.3, 0.9])
@pytest.mark.parametrize("groups", SPLITS, ids=str)
def test_the_mean_weight_over_all_draws_is_exactly_1_for_every_sample(monkeypatch, groups, p):
    mean = exact_mean(monkeypatch, groups, p, lambda mask: mask)
    torch.testing.assert_close(mean, torch.ones(4).double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("p", [0.3, 0.9])
def test_it_would_not_be_1_with_the_share_kept_of_the_whole_batch(monkeypatch, p):
    def whole(mask):
        keep = (mask > 0).float()
        return keep / keep.mean()

    alone, *rest = exact_mean(monkeypatch, SPLITS[0], p, whole).tolist()
    assert alone > 1.1
    assert rest == pytest.approx([(4 - alone) / 3] * 3)


@pytest.mark.parametrize("p", [0.3, 0.9])
def test_samples_survive_with_the_probability_that_is_documented(monkeypatch, p):
    mean = exact_mean(monkeypatch, SPLITS[0], p, lambda mask: (mask > 0).float())
    assert mean.tolist() == pytest.approx([1 - p + p**n / n for n in (1, 3, 3, 3)])


@given(
    groups=st.lists(st.integers(-3, 3), min_size=1, max_size=30),
    p=st.sampled_from([0.1, 0.5, 0.9, 0.999]),
    seed=st.integers(0, 99),
)
def test_masks_follow_the_formula_and_average_1_in_every_group(groups, p, seed):
    mask = mask_of(layer_for(groups, p), len(groups), seed)
    torch.manual_seed(seed)
    assert torch.equal(mask, by_loop(torch.rand(len(groups)), groups, p))
    for group in set(groups):
        of_group = mask[torch.tensor([g == group for g in groups])]
        assert of_group.mean().item() == pytest.approx(1)


@pytest.mark.parametrize("normalisation", ["realised", "expected"])
def test_one_group_is_masked_as_by_the_layer_for_whole_samples_bit_for_bit(normalisation):
    plain = Backdrop(0.9, "sample", normalisation=normalisation)
    layer = layer_for([4] * 7, 0.9, normalisation=normalisation)
    for seed in range(30):
        assert torch.equal(mask_of(layer, 7, seed), mask_of(plain, 7, seed))


def test_expected_masks_are_those_of_the_layer_for_whole_samples_whatever_the_groups():
    plain = Backdrop(0.7, "sample", normalisation="expected")
    layer = layer_for([0, 1] * 4, 0.7, normalisation="expected")
    masks = [mask_of(layer, 8, seed) for seed in range(30)]
    assert any(not mask.any() for mask in masks)
    for seed, mask in enumerate(masks):
        assert torch.equal(mask, mask_of(plain, 8, seed))


def test_of_few_positives_one_always_survives_where_plain_masks_leave_none():
    targets = torch.arange(800) < 8
    layers = [layer_for(targets, 0.98), Backdrop(0.98, "sample")]
    stratified, plain = (
        torch.stack([mask_of(each, 800, seed)[targets] > 0 for seed in range(300)])
        for each in layers
    )
    assert stratified.any(1).all()
    assert not plain.any(1).all()
    assert (~plain.any(1)).float().mean().item() == pytest.approx(0.98**8, abs=0.1)
    assert stratified.any(0).all()  # not the same one every time


@pytest.mark.parametrize("shape", [(6,), (6, 3), (6, 2, 4), (6, 2, 4, 4)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_the_gradient_is_weighted_by_sample_in_inputs_of_any_shape_and_dtype(shape, dtype):
    layer, weights = layer_for([0, 1, 0, 1, 1, 0], 0.6), torch.randn(shape).to(dtype)
    x = torch.randn(shape).to(dtype).requires_grad_()
    with layer.recorded() as masks:
        (layer(x) * weights).sum().backward()
    assert masks[0].shape == (6, *(1 for _ in shape[1:]))
    assert x.grad.dtype == dtype
    assert torch.equal(x.grad, (weights * masks[0]).to(dtype))


def test_autocast_gradients_are_masked():
    linear, layer = nn.Linear(8, 4), layer_for([0, 1, 0, 1, 1, 0], 0.6)
    with torch.autocast("cpu", torch.bfloat16), layer.recorded() as masks:
        y = layer(linear(torch.randn(6, 8)))
    assert y.dtype == torch.bfloat16
    y.sum().backward()
    assert masks[0].dtype == torch.float32
    torch.testing.assert_close(linear.bias.grad, masks[0].sum().expand(4), rtol=0.01, atol=0)


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int8, torch.int32, torch.uint16, torch.uint64]
)
def test_groups_of_any_dtype_and_values_are_the_same(dtype):
    groups = torch.tensor([0, 1, 1, 0, 1, 0, 0])
    expected = mask_of(layer_for(groups), 7)
    assert torch.equal(mask_of(layer_for(groups.to(dtype)), 7), expected)
    assert torch.equal(mask_of(layer_for(9 - 2**62 * groups), 7), expected)
    assert torch.equal(mask_of(layer_for(groups.repeat_interleave(2)[::2]), 7), expected)


def test_the_mean_gradient_over_draws_of_a_loss_that_does_not_decompose_is_the_plain_one():
    torch.manual_seed(0)
    targets, x = torch.arange(30) < 3, torch.randn(30, 4)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Identity(), nn.Linear(6, 1), nn.Flatten(0))

    def gradient() -> Tensor:
        model.zero_grad()
        auc_loss(model(x), targets).backward()
        return torch.cat([p.grad.flatten() for p in model.parameters()])

    plain = gradient()
    place(model, {"2": layer_for(targets, 0.8), "3": layer_for(targets, 0.8)})
    draws = torch.stack([gradient() for _ in range(1500)]).double()
    error = draws.std(0) / len(draws) ** 0.5
    assert torch.all((draws.mean(0) - plain).abs() <= 5 * error + 1e-6)
    assert error.norm() < 0.2 * plain.norm()


@pytest.mark.parametrize("groups", [None, torch.zeros(99), "none"])
@pytest.mark.parametrize("inert", [StratifiedBackdrop(0), StratifiedBackdrop(0.9).eval()])
def test_inert_it_looks_at_no_groups_and_draws_nothing(inert, groups):
    inert.groups = groups
    x, before = torch.randn(4, 2), torch.get_rng_state()
    assert inert(x) is x
    assert torch.equal(torch.get_rng_state(), before)


def test_a_fixed_mask_needs_no_groups():
    layer, x = StratifiedBackdrop(0.5), torch.zeros(3, requires_grad=True)
    layer.fixed_mask = torch.tensor([0.0, 3.0, 0.0])
    layer(x).sum().backward()
    assert torch.equal(x.grad, layer.fixed_mask)


def test_groups_travel_with_copies_but_are_no_state():
    layer = layer_for([0, 1, 1, 0, 1, 1])
    assert layer.state_dict() == {}
    expected = mask_of(layer, 6)
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(mask_of(copied, 6), expected)


def test_an_own_generator_draws_and_leaves_the_global_one_alone():
    first, second = (
        layer_for([0, 1] * 4, generator=torch.Generator().manual_seed(5)) for _ in "ab"
    )
    expected, before = mask_of(first, 8, seed=1), torch.get_rng_state()
    assert torch.equal(mask_of(second, 8, seed=1), expected)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("error", "arguments", "message"),
    [
        (ValueError, {"p": 1}, r"\[0, 1\), got 1"),
        (TypeError, {"p": "0.5"}, "got '0.5'"),
        (ValueError, {"normalisation": "none"}, "'realised' or 'expected', got 'none'"),
        (TypeError, {"generator": 3}, "got 3"),
        (TypeError, {"dims": "spatial"}, "dims"),
    ],
)
def test_constructor_refuses(error, arguments, message):
    with pytest.raises(error, match=message):
        StratifiedBackdrop(**arguments)


@pytest.mark.parametrize("normalisation", ["realised", "expected"])
@pytest.mark.parametrize(
    ("error", "groups", "message"),
    [
        (RuntimeError, None, "needs the groups of the batch in training.*these 3 samples"),
        (TypeError, [0, 1, 1], "a tensor of integers or booleans, got list"),
        (TypeError, torch.zeros(3), "integers or booleans, got torch.float32"),
        (TypeError, torch.zeros(3, dtype=torch.complex64), "got torch.complex64"),
        (ValueError, torch.zeros(4).long(), r"the shape \(3,\), .* got \(4,\)"),
        (ValueError, torch.zeros(3, 1).long(), r"the shape \(3,\), .* got \(3, 1\)"),
        (ValueError, torch.tensor(0), r"the shape \(3,\), .* got \(\)"),
    ],
)
def test_call_refuses_groups(error, groups, message, normalisation):
    layer = StratifiedBackdrop(0.5, normalisation=normalisation)
    layer.groups = groups
    with pytest.raises(error, match=message):
        layer(torch.zeros(3, 2))


@pytest.mark.parametrize(
    ("error", "x", "message"),
    [
        (ValueError, torch.zeros(0, 3), r"empty input of shape \(0, 3\)"),
        (ValueError, torch.tensor(1.0), "0 dims"),
        (TypeError, torch.zeros(2, dtype=torch.int64), "torch.int64"),
    ],
)
def test_call_refuses_inputs(error, x, message):
    with pytest.raises(error, match=message):
        layer_for([0, 1])(x)
