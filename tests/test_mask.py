"""The Backdrop layer in eager mode: its formula, its randomness, its refusals."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from backdrop import Backdrop, StratifiedBackdrop, draw_mask, mask_gradient

SHAPE = (3, 2, 4, 5)
MASKED = {
    "sample": {0},
    "channel": {1},
    "spatial": {2, 3},
    "sample+spatial": {0, 2, 3},
    "token": {1, 2},
    "sample+token": {0, 1, 2},
    "sample+channel": {0, 1},
    1: {1},
    -1: {3},
    (0, -2): {0, 2},
}


def net(first: nn.Module, second: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.Tanh(), first,
        nn.Conv2d(3, 4, 3), second, nn.ReLU(inplace=True),
        nn.Flatten(), nn.Linear(24, 2), nn.Softplus(),
    )  # fmt: skip


def gradient(model: nn.Module, x: Tensor) -> Tensor:
    """Give the gradient of a loss with respect to all parameters as one vector."""
    model.zero_grad()
    model(x).square().mean().backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def input_gradient(layer: nn.Module, x: Tensor, weights: Tensor) -> Tensor:
    x = x.detach().clone().requires_grad_()
    (layer(x) * weights).sum().backward()
    return x.grad


@pytest.mark.parametrize(
    "inert",
    [Backdrop(0), Backdrop(0.9).eval(), StratifiedBackdrop(0), StratifiedBackdrop(0.9).eval()],
)
def test_inert_layer_leaves_backpropagation_bit_for_bit(inert):
    x = torch.randn(SHAPE)
    plain = gradient(net(nn.Identity(), nn.Identity()), x)
    assert torch.equal(gradient(net(inert, inert), x), plain)
    before = torch.get_rng_state()
    assert inert(x) is x
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("normalisation", ["realised", "expected"])
def test_mean_gradient_over_draws_is_the_plain_gradient(normalisation):
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    plain = gradient(net(nn.Identity(), nn.Identity()), x)
    masks = (
        Backdrop(0.6, dims, normalisation=normalisation) for dims in ("sample+spatial", "spatial")
    )
    model = net(*masks)
    torch.manual_seed(2)
    draws = torch.stack([gradient(model, x) for _ in range(1500)]).double()
    error = draws.std(0) / len(draws) ** 0.5
    assert torch.all((draws.mean(0) - plain).abs() <= 5 * error + 1e-6)
    # All but the last layers' gradients vary, and the error is small enough to tell.
    assert (error > 0).float().mean() > 0.5
    assert error.norm() < 0.2 * plain.norm()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("normalisation", ["realised", "expected"])
@pytest.mark.parametrize("dims", MASKED)
def test_gradient_follows_the_formula(dims, normalisation, dtype):
    x, weights = torch.randn(2, *SHAPE).to(dtype)
    torch.manual_seed(3)
    masked = input_gradient(Backdrop(0.6, dims, normalisation=normalisation), x, weights)

    torch.manual_seed(3)
    shape = [size if dim in MASKED[dims] else 1 for dim, size in enumerate(SHAPE)]
    u = torch.rand(shape)
    if normalisation == "realised":
        keep = (u >= 0.6) | (u == u.max())
        mask = keep.float() / keep.float().mean()
    else:
        share = round((1 - 0.6) * 2**24) / 2**24
        mask = (u >= 1 - share).float() / share
    assert masked.dtype == dtype
    assert torch.equal(masked, (weights * mask).to(dtype))


@pytest.mark.parametrize("shape", [(4, 3, 9), (2, 3, 5, 6), (2, 3, 4, 5, 6)])
def test_sequences_images_and_volumes_are_masked_alike_over_channels(shape):
    x = torch.randn(shape)
    with (layer := Backdrop(0.5)).recorded() as masks:
        grad = input_gradient(layer, x, torch.ones(shape))
    assert masks[0].shape == (shape[0], 1, *shape[2:])
    assert torch.equal(grad, masks[0].expand(shape))


def test_tokens_of_a_sequence_are_masked_alike_over_their_features():
    x = torch.zeros(4, 50, 8, requires_grad=True)
    with (layer := Backdrop(0.5, "sample+token")).recorded() as masks:
        layer(x).sum().backward()
    assert masks[0].shape == (4, 50, 1)
    assert torch.equal(x.grad, masks[0].expand(4, 50, 8))
    with (layer := Backdrop(0.5, "token")).recorded() as masks:
        layer(x)
    assert masks[0].shape == (1, 50, 1)


def test_output_shares_memory_and_layout_without_being_a_view():
    x = torch.randn(SHAPE).to(memory_format=torch.channels_last).requires_grad_()
    y = Backdrop(0.5)(x)
    assert y.data_ptr() == x.data_ptr()
    assert y._base is None
    assert y.is_contiguous(memory_format=torch.channels_last)
    y.sum().backward()
    assert x.grad.is_contiguous(memory_format=torch.channels_last)


def test_in_place_operations_may_follow():
    x, weights = torch.randn(2, *SHAPE)
    gradients = []
    for activation in (nn.ReLU(), nn.ReLU(inplace=True)):
        torch.manual_seed(0)
        # Batch normalisation keeps its input, not its output, so the output may be overwritten.
        layer = nn.Sequential(nn.BatchNorm2d(2), Backdrop(0.5), activation)
        gradients.append(input_gradient(layer, x, weights))
    assert torch.equal(*gradients)


@pytest.mark.parametrize("count", [1, 3, 70_000])
def test_one_survivor_remains_and_carries_the_whole_mean(count):
    torch.manual_seed(0)
    for _ in range(20):
        mask = draw_mask((count,), 1 - 1e-12)
        assert mask.count_nonzero() == 1
        assert mask.sum() == count


def test_the_forced_survivor_is_uniformly_chosen():
    torch.manual_seed(0)
    survivors = [int(draw_mask((5,), 0.999).argmax()) for _ in range(2000)]
    counts = torch.bincount(torch.tensor(survivors), minlength=5)
    # Within five standard deviations of the binomial distribution with mean 400.
    assert torch.all((counts - 400).abs() < 5 * (2000 * 0.2 * 0.8) ** 0.5)


def test_realised_masks_average_one_and_expected_masks_may_vanish():
    torch.manual_seed(0)
    realised = torch.stack([draw_mask((2, 3), 0.9) for _ in range(200)])
    expected = torch.stack([draw_mask((2, 3), 0.9, normalisation="expected") for _ in range(200)])
    torch.testing.assert_close(realised.mean((1, 2)), torch.ones(200))
    assert (expected == 0).all((1, 2)).any()
    assert expected.max() == pytest.approx(10)


@pytest.mark.parametrize("p", [0.3, 1 - 1e-5, 1 - 1e-6, 1 - 1e-7, 1 - 1e-8, 1 - 2**-53, 1e-9])
def test_expected_masks_average_one_over_all_numbers_that_may_be_drawn(p, monkeypatch):
    numbers = torch.arange(2**24) * 2.0**-24
    monkeypatch.setattr(torch, "rand", lambda *_, **__: numbers.clone())
    mask = draw_mask(numbers.shape, p, normalisation="expected")
    assert mask.mean(dtype=torch.float64) == pytest.approx(1, rel=1e-6)


def test_half_precision_gradients_are_scaled_without_overflow():
    x = torch.zeros(70_000, dtype=torch.float16, requires_grad=True)
    (Backdrop(1 - 1e-12, 0)(x) * 1e-3).sum().backward()
    assert x.grad.sum().item() == pytest.approx(70, rel=1e-3)


def test_masks_of_any_dtype_weigh_half_precision_gradients():
    x = torch.zeros(2, dtype=torch.float16, requires_grad=True)
    (mask_gradient(x, torch.tensor([0, 70_000])) * 1e-3).sum().backward()
    assert x.grad.tolist() == pytest.approx([0, 70], rel=1e-3)


def test_autocast_gradients_are_masked():
    linear, layer = nn.Linear(8, 4), Backdrop(0.5, (0, 1))
    x = torch.randn(6, 8, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16), layer.recorded() as masks:
        y = layer(linear(x))
    assert y.dtype == torch.bfloat16
    y.sum().backward()
    torch.testing.assert_close(linear.bias.grad, masks[0].sum(0), rtol=0.01, atol=0)


@pytest.mark.parametrize("training", [True, False])
def test_fixed_mask_is_used_as_given_in_either_mode(training):
    layer = Backdrop(0).train(training)
    layer.fixed_mask = torch.tensor([0, 7, 0, 1, 0])
    grad = input_gradient(layer, torch.randn(SHAPE), torch.ones(SHAPE))
    assert torch.equal(grad, layer.fixed_mask.expand(SHAPE).float())
    layer.fixed_mask = None
    assert torch.equal(input_gradient(layer, grad, torch.ones(SHAPE)), torch.ones(SHAPE))


def test_record_holds_the_masks_of_every_call_within_the_block_only():
    layer, x = Backdrop(0.5), torch.randn(SHAPE)
    layer(x)
    with layer.recorded() as masks:
        grads = [input_gradient(layer, x, torch.ones(SHAPE)) for _ in range(2)]
        copies = copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))
    layer(x)
    assert [torch.equal(g, m.expand(SHAPE)) for g, m in zip(grads, masks, strict=True)] == [
        True,
        True,
    ]
    assert not torch.equal(*masks)
    assert all("_record" in vars(c) and c._record is None for c in copies)


def test_no_state_to_save():
    layer = Backdrop(0.5, generator=torch.Generator())
    layer.fixed_mask = torch.ones(1)
    assert layer.state_dict() == {}
    assert repr(Backdrop(0.25, (0, 2))) == "Backdrop(p=0.25, dims=(0, 2), normalisation=realised)"


def test_random_stream_advances_alike_with_and_without_gradients():
    states = []
    for x in (torch.zeros(SHAPE), torch.zeros(SHAPE, requires_grad=True)):
        torch.manual_seed(0)
        with torch.set_grad_enabled(x.requires_grad):
            Backdrop(0.5)(x)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_own_generator_draws_and_is_carried_over_by_copies():
    layer = Backdrop(0.5, generator=torch.Generator().manual_seed(5))
    pair = nn.ModuleList([layer, Backdrop(0.3, generator=layer.generator)])
    x = torch.randn(SHAPE)
    layer(x)
    pairs = [pair, copy.deepcopy(pair), pickle.loads(pickle.dumps(pair))]
    torch.manual_seed(0)
    before = torch.get_rng_state()
    grads = [[input_gradient(m, x, torch.ones(SHAPE)) for m in copied] for copied in pairs]
    assert torch.equal(torch.get_rng_state(), before)
    for copied, grad in zip(pairs, grads, strict=True):
        assert torch.equal(torch.stack(grad), torch.stack(grads[0]))
        assert copied[0].generator is copied[1].generator


@pytest.mark.parametrize(
    ("error", "arguments", "message"),
    [
        (ValueError, {"p": 1}, r"\[0, 1\), got 1"),
        (ValueError, {"p": -0.1}, "got -0.1"),
        (ValueError, {"p": float("nan")}, "got nan"),
        (TypeError, {"p": "0.5"}, "got '0.5'"),
        (TypeError, {"p": True}, "got True"),
        (TypeError, {"p": None}, "got None"),
        (ValueError, {"dims": "batch"}, "'sample', 'channel', 'spatial'.*got 'batch'"),
        (ValueError, {"dims": "sample+sample"}, "different"),
        (ValueError, {"dims": ""}, "got ''"),
        (ValueError, {"dims": "token+channel"}, "join 'sample' alone, got 'token.channel'"),
        (ValueError, {"dims": "sample+spatial+token"}, "join 'sample' alone"),
        (ValueError, {"dims": ()}, "at least one"),
        (ValueError, {"dims": (1, 1)}, r"once, got \(1, 1\)"),
        (TypeError, {"dims": 1.0}, "got 1.0"),
        (TypeError, {"dims": True}, "got True"),
        (TypeError, {"dims": (0, "spatial")}, "sequence of ints"),
        (ValueError, {"normalisation": "none"}, "'realised' or 'expected', got 'none'"),
        (TypeError, {"generator": 3}, "got 3"),
    ],
)
def test_constructor_refuses(error, arguments, message):
    with pytest.raises(error, match=message):
        Backdrop(**arguments)


@pytest.mark.parametrize(
    ("error", "dims", "x", "message"),
    [
        (ValueError, 4, torch.zeros(SHAPE), "numbers from -4 to 3"),
        (ValueError, -5, torch.zeros(SHAPE), "numbers from -4 to 3"),
        (ValueError, (1, -3), torch.zeros(SHAPE), "one dim twice"),
        (ValueError, "spatial", torch.zeros(2, 3), "2 dims"),
        (ValueError, "sample+spatial", torch.zeros(2, 3), "'spatial' 2 and above"),
        (ValueError, "channel", torch.zeros(2), "'channel' dim 1"),
        (ValueError, "token", torch.zeros(2, 3), "'token' those between the first and the last"),
        (ValueError, "sample+token", torch.zeros(2), "1 dims: .* 'token' those between"),
        (ValueError, "sample", torch.tensor(1.0), "0 dims"),
        (ValueError, "sample", torch.zeros(0, 3), r"empty input of shape \(0, 3\)"),
        (TypeError, "sample", torch.zeros(2, 3, dtype=torch.int64), "torch.int64"),
    ],
)
def test_call_refuses(error, dims, x, message):
    with pytest.raises(error, match=message):
        Backdrop(0.5, dims)(x)


@pytest.mark.parametrize("shape", [(2,), (1, 1, 1, 1, 5), (3, 1, 4, 4)])
def test_masks_that_do_not_broadcast_are_refused(shape):
    with pytest.raises(ValueError, match="does not broadcast"):
        mask_gradient(torch.zeros(SHAPE), torch.ones(shape))


def test_drawing_refuses_what_the_layer_refuses():
    for arguments, message in [(((2,), 1.0), "p must lie in"), (((0, 2), 0.5), "empty shape")]:
        with pytest.raises(ValueError, match=message):
            draw_mask(*arguments)
    with pytest.raises(TypeError, match="number"):
        draw_mask((2,), "0.5")
    with pytest.raises(ValueError, match="normalisation"):
        draw_mask((2,), 0.5, normalisation="mean")
