"""Y-Drop: which units it drops and how often, and what it leaves alone."""

from functools import partial

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2

from backdrop import YDrop, conductances
from backdrop.models import MLP

TARGETS = torch.arange(20) % 3


def net(units: int = 9) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(5, units), nn.ReLU(), nn.Linear(units, 6), nn.Tanh(), nn.Linear(6, 3)
    )


@pytest.fixture
def x() -> Tensor:
    return torch.randn(20, 5, generator=torch.Generator().manual_seed(1))


def hidden(model: nn.Module, name: str, x: Tensor) -> Tensor:
    """Give the output of a layer, with what hooks before this one make of it."""
    found = []
    handle = model.get_submodule(name).register_forward_hook(lambda _, __, y: found.append(y))
    model(x)
    handle.remove()
    return found[0].detach()


def gradient(model: nn.Module, x: Tensor, seed: int = 7) -> Tensor:
    model.zero_grad()
    torch.manual_seed(seed)
    nn.functional.cross_entropy(model(x), TARGETS[: len(x)]).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def test_hidden_linear_layers_are_found_and_the_last_is_not():
    assert YDrop(net()).layers == ["0", "2"]
    assert YDrop(MLP(5, [4, 4], 3)).layers == ["hidden.0", "hidden.1"]
    assert YDrop(net(), ["2"]).layers == ["2"]


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 2), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x).mean(1))


SWIN = partial(torchvision.models.SwinTransformer, [4, 4], 8, [2, 2], [1, 1], [2, 2], num_classes=3)
IMAGES = (4, 3, 32, 32)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (Classifier, (4, 5, 16)),
        (SWIN, IMAGES),
        (partial(torchvision.models.VisionTransformer, 32, 16, 2, 2, 8, 16), IMAGES),
    ],
)
def test_layers_of_attention_by_default_are_those_that_run(make, shape):
    torch.manual_seed(0)
    model, x, targets = make(), torch.randn(shape), TARGETS[:4]
    ydrop = YDrop(model)
    ydrop.update(x, targets)
    nn.functional.cross_entropy(model(x), targets).backward()
    assert list(ydrop.conductances) == ydrop.layers
    assert len(ydrop.layers) > 2


def test_a_layer_that_runs_on_no_samples_is_named_at_the_first_update():
    model = SWIN(block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2)
    with pytest.raises(ValueError, match=r"'features.1.0.attn.cpb_mlp.0' must .* give samples"):
        YDrop(model).update(torch.randn(IMAGES), TARGETS[:4])


def test_a_layer_that_never_runs_is_refused():
    model = Classifier()
    with pytest.raises(ValueError, match="out_proj' would never run"):
        YDrop(model, ["head", "encoder.layers.0.self_attn.out_proj"])
    assert not any(m._forward_hooks for m in model.modules())


def test_upper_half_by_conductance_is_dropped_more_often(x):
    model = net()
    expected = conductances(model, ["0", "2"], x[:12], TARGETS[:12])
    ydrop = YDrop(model)
    ydrop.update(x, TARGETS)
    for name, units in {"0": 9, "2": 6}.items():
        mean = expected[name].mean(0)
        torch.testing.assert_close(ydrop.conductances[name], mean)
        p = ydrop.probabilities[name]
        lower = mean.argsort()[: units // 2]
        upper = mean.argsort()[units // 2 :]
        assert p[lower].unique().numel() == p[upper].unique().numel() == 1
        assert 0.1 <= p[lower[0]] <= 0.5 < 0.6 <= p[upper[0]] <= 0.9


def test_probabilities_are_the_least_plus_a_half_normal_draw(x):
    ydrop = YDrop(net(), ["2"], generator=torch.Generator().manual_seed(3))
    draws = []
    for _ in range(300):
        ydrop.update(x, TARGETS)
        draws.append(torch.stack([f(ydrop.probabilities["2"]) for f in (torch.min, torch.max)]))
    low, high = torch.stack(draws).double().T
    for extra in (low - 0.1, high - 0.6):
        # |N(0, 0.05²)| has mean 0.05 √(2/π) and standard deviation 0.05 √(1 − 2/π).
        assert abs(extra.mean() - 0.03989) < 5 * 0.03014 / 300**0.5
        assert extra.std() == pytest.approx(0.03014, rel=0.2)
        assert extra.min() > -1e-6
    assert abs(torch.corrcoef(torch.stack([low, high]))[0, 1]) < 0.3


def test_probabilities_stop_at_their_greatest_values(x, monkeypatch):
    monkeypatch.setattr(torch, "randn", lambda *shape, **_: torch.full(shape, -100.0))
    ydrop = YDrop(net())
    ydrop.update(x, TARGETS)
    assert sorted(set(ydrop.probabilities["0"].tolist())) == pytest.approx([0.5, 0.9])


def test_probabilities_are_multiplied_by_the_strength(x):
    full, quarter = (
        YDrop(net(), strength=strength, generator=torch.Generator().manual_seed(3))
        for strength in (1, 0.25)
    )
    assert torch.equal(full.probabilities["0"], quarter.probabilities["0"])  # warming up
    for ydrop in (full, quarter):
        ydrop.update(x, TARGETS)
    torch.testing.assert_close(0.25 * full.probabilities["0"], quarter.probabilities["0"])


@pytest.mark.parametrize("scale", ["exact", "ema"])
def test_outputs_are_dropped_by_unit_and_divided_by_the_scale(scale, x):
    model = net()
    plain = hidden(model, "0", x)
    ydrop = YDrop(model, scale=scale, alpha=0.1)
    s = torch.full((9,), 0.5)
    for _ in range(4):
        ydrop.update(x, TARGETS)
        keep = 1 - ydrop.probabilities["0"]
        s = keep if scale == "exact" else 0.9 * s + 0.1 * keep
    draws = torch.stack([hidden(model, "0", x) for _ in range(400)])
    kept = draws != 0
    torch.testing.assert_close(draws[kept], (plain / s).expand_as(draws)[kept])
    # Each sample has a mask of its own, and a unit's frequency is its probability.
    count = kept[:, :, 0].numel()
    error = 5 * (keep * (1 - keep) / count) ** 0.5
    assert torch.all((kept.float().mean((0, 1)) - keep).abs() < error)
    assert (kept[0] != kept[0][0]).any()


def test_mean_output_over_masks_is_the_plain_output_at_the_exact_scale(x):
    model = net()
    plain = hidden(model, "0", x[:2])
    ydrop = YDrop(model)
    ydrop.update(x, TARGETS)
    draws = torch.stack([hidden(model, "0", x[:2]) for _ in range(2000)]).double()
    error = draws.std(0) / len(draws) ** 0.5
    assert torch.all((draws.mean(0) - plain).abs() < 5 * error + 1e-6)
    assert (error > 0).all()


def test_warmup_is_plain_dropout(x):
    model = net()
    plain = hidden(model, "0", x)
    ydrop = YDrop(model, warmup=2)
    for _ in range(2):
        ydrop.update(x, TARGETS)
        assert ydrop.conductances == {}
        draws = torch.stack([hidden(model, "0", x) for _ in range(50)])
        kept = draws != 0
        torch.testing.assert_close(draws[kept], (2 * plain).expand_as(draws)[kept])
        assert abs(kept.float().mean() - 0.5) < 5 * 0.5 / kept.numel() ** 0.5
    ydrop.update(x, TARGETS)
    assert ydrop.probabilities["0"].max() >= 0.6


def test_evaluation_is_the_identity(x):
    model = net()
    plain = model(x)
    ydrop = YDrop(model)
    ydrop.update(x, TARGETS)
    assert not torch.allclose(model(x), plain)
    model.eval()
    assert torch.equal(model(x), plain)


def test_names_and_state_dict_stay_and_removal_restores_the_plain_model(x):
    model = net()
    before, plain = list(model.state_dict()), gradient(model, x)
    ydrop = YDrop(model)
    ydrop.update(x, TARGETS)
    assert list(model.state_dict()) == before
    assert repr(model) == repr(net())
    assert not torch.equal(gradient(model, x), plain)
    ydrop.remove()
    ydrop.remove()
    assert torch.equal(gradient(model, x), plain)
    assert not any(m._forward_hooks for m in model.modules())


def test_the_drop_does_not_disturb_its_own_measurement(x):
    model = net()
    expected = conductances(model, ["0", "2"], x[:12], TARGETS[:12])
    ydrop = YDrop(model)
    for _ in range(3):
        ydrop.update(x, TARGETS)
        for name, mean in ydrop.conductances.items():
            assert torch.equal(mean, expected[name].mean(0))
        assert model.training


def test_updates_between_measurements_draw_probabilities_for_the_same_ranks(x):
    model = net()
    batches = []
    model.register_forward_hook(lambda m, args, _: batches.append((m.training, len(args[0]))))
    ydrop = YDrop(model, warmup=1, every=3, n=4, samples=6)
    probabilities, measured = [], []
    for _ in range(8):
        ydrop.update(x, TARGETS)
        probabilities.append(ydrop.probabilities["0"])
        measured.append(len(batches))
    assert measured == [0, 1, 1, 1, 2, 2, 2, 3]
    assert set(batches) == {(False, 5 * 6)}  # n + 1 points of 6 samples, in eval mode
    assert torch.equal(*(p > 0.55 for p in probabilities[1:3]))
    assert not torch.equal(*probabilities[1:3])


def test_batches_smaller_than_the_part_are_taken_whole(x):
    ydrop = YDrop(net(), samples=12)
    ydrop.update(x[:3], TARGETS[:3])
    assert ydrop.probabilities["0"].max() >= 0.6


def test_positions_of_a_sequence_share_the_units():
    model = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Flatten(), nn.Linear(30, 3))
    ydrop, sequences = YDrop(model), torch.randn(4, 5, 3)
    ydrop.update(sequences, TARGETS[:4])
    found = conductances(model, ["0"], sequences, TARGETS[:4])["0"]
    assert torch.equal(ydrop.conductances["0"], found.flatten(0, 1).mean(0))
    assert (hidden(model, "0", sequences) == 0).any()


def test_probabilities_come_from_the_global_stream_or_the_own_generator(x):
    for generator in (torch.Generator(), None):
        ydrop = YDrop(net(), generator=generator)
        before = torch.get_rng_state()
        ydrop.update(x, TARGETS)
        assert torch.equal(torch.get_rng_state(), before) == (generator is not None)


@pytest.mark.parametrize(
    ("error", "arguments", "message"),
    [
        (ValueError, {"warmup": -1}, "warmup must be at least 0, got -1"),
        (TypeError, {"warmup": 1.5}, "warmup must be an int .*got 1.5"),
        (ValueError, {"every": 0}, "every must be at least 1, got 0"),
        (ValueError, {"n": 0}, "n must be at least 1, got 0"),
        (ValueError, {"samples": 0}, "samples must be at least 1, got 0"),
        (ValueError, {"strength": 0}, r"strength must lie in \(0, 1\], got 0"),
        (ValueError, {"strength": 1.5}, r"strength must lie in \(0, 1\], got 1.5"),
        (ValueError, {"scale": "mean"}, "'exact' or 'ema', got 'mean'"),
        (ValueError, {"alpha": 0}, r"alpha must lie in \(0, 1\], got 0"),
        (TypeError, {"alpha": "1e-2"}, "got '1e-2'"),
        (TypeError, {"generator": 3}, "got 3"),
        (TypeError, {"layers": "0"}, "sequence of module names, got '0'"),
        (ValueError, {"layers": []}, "at least one module name"),
        (KeyError, {"layers": ["00"]}, "no module '00'"),
        (TypeError, {"layers": ["1"]}, "'1' must be an nn.Linear, got ReLU"),
    ],
)
def test_constructor_refuses_and_leaves_the_model_alone(error, arguments, message):
    model = net()
    with pytest.raises(error, match=message):
        YDrop(model, **arguments)
    assert not any(m._forward_hooks for m in model.modules())


def test_models_without_hidden_linear_layer_are_refused():
    with pytest.raises(ValueError, match="MLP has no hidden linear layer"):
        YDrop(MLP(5, [], 3))
