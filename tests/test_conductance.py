"""Conductances: against the formula, captum and completeness; what measuring them leaves alone."""

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

from backdrop import Backdrop, conductances, high_conductance_share, place
from backdrop.models import MLP

CLASSES = torch.tensor([2, 0, 1, 1])


def mlp(inplace: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(5, 8), nn.ReLU(inplace), nn.Linear(8, 6), nn.ReLU(inplace), nn.Linear(6, 3)
    )


def conv_net() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(),
        nn.Linear(4 * 9, 7), nn.Sigmoid(), nn.Dropout(0.5), nn.Linear(7, 3),
    )  # fmt: skip


@pytest.fixture
def x() -> Tensor:
    return torch.randn(4, 5, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def images() -> Tensor:
    return torch.randn(4, 2, 5, 5, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("n", [1, 5])
def test_conductances_follow_the_formula(n, x):
    model, baseline = mlp(), torch.full_like(x, 0.3)
    found = conductances(model, ["0", "2"], x, CLASSES, baseline, n)
    heads = {"0": model[1:], "2": model[3:]}
    for name, head in heads.items():
        tail = model[: int(name) + 1]
        for sample, target in enumerate(CLASSES):
            expected = 0
            for i in range(n):
                h, following = (
                    tail(baseline[sample] + (x - baseline)[sample] * k / n).detach()
                    for k in (i, i + 1)
                )
                (gradient,) = torch.autograd.grad(head(h.requires_grad_())[target], h)
                expected = expected + gradient * (following - h.detach())
            torch.testing.assert_close(found[name][sample], expected)


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("n", [1, 5, 20])
@pytest.mark.parametrize("zero", [True, False])
def test_conductances_equal_captums(n, zero, inplace, x):
    attr = pytest.importorskip("captum.attr")
    model = mlp()  # captum is given the plain one: it keeps outputs that are changed in place
    baseline = None if zero else torch.randn(1, 5, generator=torch.Generator().manual_seed(4))
    found = conductances(mlp(inplace), ["0", "2"], x, CLASSES, baseline, n)
    for name, conductance in found.items():
        expected = attr.LayerConductance(model, model.get_submodule(name)).attribute(
            x,
            baselines=0 if zero else baseline.expand_as(x),
            target=CLASSES,
            n_steps=n,
            method="riemann_trapezoid",
        )
        torch.testing.assert_close(conductance, expected)
        assert expected.abs().max() > 0.05


def test_conductances_of_convolutions_equal_captums(images):
    attr = pytest.importorskip("captum.attr")
    model = conv_net()
    model(images)  # statistics other than the initial ones
    found = conductances(model, ["0", "4"], images, CLASSES)
    model.eval()
    for name, conductance in found.items():
        expected = attr.LayerConductance(model, model.get_submodule(name)).attribute(
            images, target=CLASSES, n_steps=5, method="riemann_trapezoid"
        )
        torch.testing.assert_close(conductance, expected)


def test_conductances_of_a_layer_sum_to_the_change_of_the_logit_as_n_grows(images):
    model = conv_net().double().eval()
    images = images.double()
    with torch.no_grad():
        logits, start = model(images), model(torch.zeros_like(images))
    change = (logits - start).gather(1, CLASSES[:, None])[:, 0]
    for name in ("0", "4"):
        errors = []
        for n in (4, 16, 64, 256):
            found = conductances(model, [name], images, CLASSES, n=n)[name]
            errors.append((found.flatten(1).sum(1) - change).abs().max().item())
        # The sum takes the gradient at the left of each step, so its error falls as 1/n.
        assert all(later < earlier / 3 for earlier, later in itertools.pairwise(errors))
        assert errors[-1] < 0.01 < change.abs().min()


def test_the_order_of_layers_and_what_else_is_asked_for_make_no_difference(x):
    model = mlp()
    both = conductances(model, ["2", "0"], x, CLASSES)
    assert list(both) == ["2", "0"]
    for name, conductance in both.items():
        assert torch.equal(conductance, conductances(model, [name], x, CLASSES)[name])


def test_a_score_counts_for_class_1_and_against_class_0(x):
    torch.manual_seed(0)
    single = MLP(5, [8], 1)
    double = MLP(5, [8], 2)
    double.hidden = single.hidden
    with torch.no_grad():
        double.classifier.weight.copy_(torch.cat([-single.classifier.weight] * 2))
        double.classifier.weight[1] *= -1
    for targets in (torch.tensor([0, 1, 1, 0]), torch.tensor([0.0, 1.0, 1.0, 0.0])):
        (found,) = conductances(single, ["hidden.0"], x, targets).values()
        (expected,) = conductances(double, ["hidden.0"], x, targets.long()).values()
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.bool, torch.int8, torch.float16, torch.uint16]
)
@pytest.mark.parametrize("classes", [1, 2])
def test_conductances_do_not_depend_on_the_dtype_of_targets(dtype, classes, x):
    torch.manual_seed(0)
    model, targets = MLP(5, [8], classes), torch.tensor([0, 1, 1, 0])
    (expected,) = conductances(model, ["hidden.0"], x, targets).values()
    (found,) = conductances(model, ["hidden.0"], x, targets.to(dtype)).values()
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("classes", "targets", "message"),
    [
        (1, [-1, 1, 1, 1], "from 0 to 1, got -1"),
        (1, [0, 0, 2, 0], "from 0 to 1, got 2"),
        (1, [0.0, 0.5, 1.0, 1.0], "from 0 to 1, got 0.5"),
        (1, [0.0, float("nan"), 1.0, 1.0], "from 0 to 1, got nan"),
        (3, [0, 3, 1, 1], "from 0 to 2, got 3"),
        (3, [0, -100, 1, 1], "from 0 to 2, got -100"),
        (3, [0, 1.5, 1, 1], "from 0 to 2, got 1.5"),
    ],
)
def test_targets_that_are_no_classes_are_refused(classes, targets, message, x):
    with pytest.raises(ValueError, match=f"targets must be classes {message}$"):
        conductances(MLP(5, [8], classes), ["hidden.0"], x, torch.tensor(targets))


@pytest.mark.parametrize("targets", [[0, 1, 1, 0], [0, 0, 0, 0]])
def test_scores_may_have_a_dim_of_one_class(targets, x):
    torch.manual_seed(0)
    single = MLP(5, [8], 1)
    column, targets = nn.Sequential(single, nn.Unflatten(0, (-1, 1))), torch.tensor(targets)
    (found,) = conductances(column, ["0.hidden.0"], x, targets).values()
    (expected,) = conductances(single, ["hidden.0"], x, targets).values()
    assert torch.equal(found, expected)


def test_a_layer_that_the_logits_do_not_depend_on_has_no_conductance(x):
    class Dead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(5, 3), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            self.unused(x)
            return self.used(x)

    found = conductances(Dead(), ["used", "unused"], x, CLASSES)
    assert torch.equal(found["unused"], torch.zeros(4, 2))
    assert found["used"].abs().sum() > 0


def test_positions_of_a_sequence_have_conductances_of_their_own():
    model = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Flatten(), nn.Linear(30, 3))
    (found,) = conductances(model, ["0"], torch.randn(4, 5, 3), CLASSES).values()
    assert found.shape == (4, 5, 6)


def test_measuring_leaves_the_model_as_it_was(images):
    model = conv_net()
    model[6].eval()
    place(model, {"2": Backdrop(0.5)})
    model(images).sum().backward()
    before, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    gradients, stream = [p.grad.clone() for p in model.parameters()], torch.get_rng_state()
    with torch.no_grad():
        conductances(model, ["0", "4"], images, CLASSES)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes
    assert len(set(modes)) == 2
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients, strict=True))
    assert torch.equal(torch.get_rng_state(), stream)
    assert [len(m._forward_hooks) for m in model.modules()].count(1) == 1  # the placed layer


def test_hooks_and_modes_are_restored_after_an_error(x):
    model = mlp()
    with pytest.raises(RuntimeError, match="shape"):
        conductances(model, ["0"], x[:, :3], CLASSES)
    assert model.training
    assert not any(m._forward_hooks for m in model.modules())


def test_frozen_models_have_the_same_conductances(x):
    model = mlp()
    expected = conductances(model, ["0"], x, CLASSES)["0"]
    model.requires_grad_(False)
    assert torch.equal(conductances(model, ["0"], x, CLASSES)["0"], expected)


@pytest.mark.parametrize("in_place", [False, True])
def test_compiled_models_have_the_same_conductances_and_are_not_compiled_again(in_place, x):
    torch.compiler.reset()
    counter = CompileCounter()
    model = mlp()
    expected = conductances(model, ["0", "2"], x, CLASSES)
    compiled = model
    if in_place:
        model.compile(backend=counter)
    else:
        compiled = torch.compile(model, backend=counter)
    compiled(x)
    frames = counter.frame_count
    for _ in range(3):
        found = conductances(compiled, ["0", "2"], x, CLASSES)
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        compiled(x)
    assert counter.frame_count == frames


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_sums_are_taken_in_float32_or_better(dtype, x):
    (found,) = conductances(mlp().to(dtype), ["0"], x.to(dtype), CLASSES).values()
    assert found.dtype == torch.promote_types(dtype, torch.float32)


def test_autocast_gives_conductances_near_those_in_float32(x):
    model = mlp()
    expected = conductances(model, ["0", "2"], x, CLASSES)
    with torch.autocast("cpu", torch.bfloat16):
        found = conductances(model, ["0", "2"], x, CLASSES)
    for name, conductance in found.items():
        assert conductance.dtype == torch.float32
        error = (conductance - expected[name]).norm() / expected[name].norm()
        assert 0 < error < 0.05


@pytest.mark.parametrize(
    ("error", "changed", "message"),
    [
        (ValueError, {"n": 0}, "n must be at least 1, got 0"),
        (TypeError, {"n": 5.0}, "n must be an int .*got 5.0"),
        (TypeError, {"layers": "0"}, "sequence of module names, got '0'"),
        (ValueError, {"layers": []}, "at least one module name"),
        (KeyError, {"layers": ["7"]}, "no module '7'"),
        (TypeError, {"inputs": torch.zeros(4, 5, dtype=torch.int64)}, "got torch.int64"),
        (ValueError, {"targets": CLASSES[:3]}, r"shape \(4,\), got \(3,\)"),
        (ValueError, {"targets": torch.zeros(4, 3)}, r"got \(4, 3\)"),
        (ValueError, {"baseline": torch.zeros(3, 5)}, r"\(3, 5\) does not broadcast .*\(4, 5\)"),
    ],
)
def test_arguments_are_checked(error, changed, message, x):
    arguments = {"layers": ["0"], "inputs": x, "targets": CLASSES} | changed
    with pytest.raises(error, match=message):
        conductances(mlp(), **arguments)


def test_layers_that_do_not_run_once_are_named(x):
    twice = nn.Linear(5, 5)
    model = nn.Sequential(twice, twice, nn.Linear(5, 3))
    with pytest.raises(ValueError, match="'0' must run once"):
        conductances(model, ["0"], x, CLASSES)
    model.register_module("aside", nn.Linear(1, 1))
    model.forward = lambda x: model[2](x)
    with pytest.raises(ValueError, match="'aside' must run in a forward pass"):
        conductances(model, ["aside"], x, CLASSES)


def test_layers_without_a_row_for_every_sample_are_named(x):
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Linear(2, 3), nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x) + self.table(torch.ones(6, 2)).sum(0)

    with pytest.raises(ValueError, match="'table' must run in a forward pass, and give samples"):
        conductances(Shared(), ["table"], x, CLASSES)


@pytest.mark.parametrize(
    ("head", "got"),
    [
        (nn.Unflatten(1, (3, 1)), r"\(24, 3, 1\)"),
        (nn.Flatten(0), r"\(72,\)"),
        (nn.LSTM(3, 3), "tuple"),
    ],
)
def test_models_without_logits_are_refused(head, got, x):
    with pytest.raises(ValueError, match=rf"logits \(N, C\) or scores \(N,\), N = 24, got {got}"):
        conductances(nn.Sequential(*mlp(), head), ["0"], x, CLASSES)


@pytest.mark.parametrize(
    ("conductance", "threshold", "share"),
    [
        ([1.0, 1.0, 1.0, 1.0], 1.0, 1.0),
        ([8.0, 0.0, -9.0, 0.5], 0.1, 0.25),
        ([8.0, 0.8, 0.9, 0.5], 0.1, 0.75),
        ([8.0, 0.8, 0.9, 0.5], 0.5, 0.25),
        ([0.0, 0.0], 0.1, 0.0),
        ([-1.0, -2.0], 0.1, 0.0),
    ],
)
def test_share_of_units_near_the_highest_conductance(conductance, threshold, share):
    assert high_conductance_share(torch.tensor(conductance), threshold) == share


@pytest.mark.parametrize("threshold", [0, 1.1])
def test_share_refuses_thresholds_out_of_range(threshold):
    with pytest.raises(ValueError, match=rf"threshold must lie in \(0, 1\], got {threshold}"):
        high_conductance_share(torch.ones(3), threshold)


@pytest.mark.parametrize("shape", [(2, 3), (0,), ()])
def test_share_refuses_other_than_one_number_a_unit(shape):
    with pytest.raises(ValueError, match="one number for each unit"):
        high_conductance_share(torch.ones(shape))
