"""ROC AUC and F-measure as losses: their formulas, limits, cost and refusals."""

import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from sklearn.metrics import fbeta_score, roc_auc_score
from torch import Tensor, nn

from backdrop import Backdrop, pair_sums
from backdrop.losses import AUCLoss, FBetaLoss, auc_loss, f_beta_loss
from experiments.bench.memory import saved_bytes

SURROGATES = {
    "sigmoid": lambda d: torch.sigmoid(-d),
    "logistic": lambda d: torch.logaddexp(torch.zeros_like(d), -d),
    "squared_hinge": lambda d: (1 - d).clamp_min(0).square(),
}
BY_NAME = pytest.mark.parametrize("surrogate", SURROGATES)
LOSSES = pytest.mark.parametrize(
    "loss", [*(AUCLoss(s, 0.7) for s in SURROGATES), FBetaLoss(2)], ids=[*SURROGATES, "f_beta"]
)


def batch(positives: int, negatives: int, *, seed: int = 0, ties: bool = False):
    """Give shuffled float64 scores and targets of so many samples of each class."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(positives + negatives) < positives
    targets = targets[torch.randperm(len(targets), generator=generator)]
    scores = torch.randn(len(targets), generator=generator, dtype=torch.float64) + targets
    return (scores.round() if ties else scores), targets


def brute_force(scores: Tensor, targets: Tensor, surrogate: str, temperature: float) -> Tensor:
    positive, negative = scores[targets], scores[~targets]
    return SURROGATES[surrogate]((positive[:, None] - negative) / temperature).mean()


def value_and_gradient(loss, scores: Tensor, *arguments) -> tuple[Tensor, Tensor]:
    scores = scores.detach().clone().requires_grad_()
    value = loss(scores, *arguments)
    value.backward()
    return value.detach(), scores.grad


@pytest.mark.parametrize("ties", [False, True])
@LOSSES
def test_gradient_is_the_derivative_of_the_value(loss, ties):
    scores, targets = batch(4, 9, ties=ties)
    assert torch.autograd.gradcheck(lambda s: loss(s, targets), scores.requires_grad_())


@pytest.mark.parametrize("temperature", [0.05, 1.0, 30.0])
@pytest.mark.parametrize(
    ("positives", "negatives", "ties"),
    [(1, 1, False), (1, 40, False), (40, 1, True), (17, 23, True), (3, 300, False), (90, 80, True)],
)
@BY_NAME
def test_value_and_gradient_equal_the_sum_over_all_pairs(
    surrogate, positives, negatives, ties, temperature, monkeypatch
):
    monkeypatch.setattr(pair_sums, "_BLOCK", 256)  # several blocks, the last of them smaller
    scores, targets = batch(positives, negatives, ties=ties)
    expected = value_and_gradient(brute_force, scores, targets, surrogate, temperature)
    result = value_and_gradient(auc_loss, scores, targets, surrogate, temperature)
    torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("temperature", [0.3, 70.0])
@BY_NAME
def test_float32_scores_with_a_large_offset_keep_six_digits(surrogate, temperature):
    scores, targets = batch(300, 700)
    scores = (scores + 1e3).float()
    expected = value_and_gradient(brute_force, scores.double(), targets, surrogate, temperature)
    value, gradient = value_and_gradient(auc_loss, scores, targets, surrogate, temperature)
    assert value.dtype == gradient.dtype == torch.float32
    torch.testing.assert_close(value.double(), expected[0], rtol=1e-6, atol=0)
    error = (gradient.double() - expected[1]).norm() / expected[1].norm()
    assert error < 1e-6


def test_float32_slopes_of_the_sigmoid_are_accurate_to_4e_7_of_the_greatest():
    d = torch.linspace(-40, 40, 100_001)
    slope = pair_sums.sigmoid(d)[1].double()
    exact = -d.double().sigmoid() * (-d.double()).sigmoid()
    error = (slope - exact).abs()
    assert error.max() < 4e-7 * exact.abs().max()
    for least, share in ((-8, 4e-4), (-12, 0.02)):
        assert (error / exact.abs())[d >= least].max() < share
    assert not slope[d < -17].any()


def test_squared_hinge_is_exact_where_expanded_squares_would_cancel():
    # Scores spread over 1e8 temperatures and one pair within reach of the margin: powers of the
    # scores sum to 1e18 and leave no digit of a loss of 1e-5.
    scores, targets = batch(100, 100)
    scores = scores * 1e8
    scores[targets] -= scores[targets].min() - 0.5
    scores[~targets] -= scores[~targets].max() - 0.2
    positive, negative = ([*map(Fraction, scores[t].tolist())] for t in (targets, ~targets))
    expected = sum(max(0, 1 - p + n) ** 2 for p in positive for n in negative) / 100**2
    assert 0 < expected < 1e-3
    value = auc_loss(scores, targets, "squared_hinge").item()
    assert value == pytest.approx(float(expected), rel=1e-14)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cold_sigmoid_is_one_minus_auc_with_ties_of_one_half(dtype, ties):
    scores, targets = batch(40, 160, ties=ties)
    expected = 1 - roc_auc_score(targets, scores)
    assert 0.1 < expected < 0.5
    value = auc_loss(scores.to(dtype), targets, temperature=1e-12).item()
    assert value == pytest.approx(expected, abs=1e-6 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize(("sign", "expected"), [(1, 0), (0, 0.5), (-1, 1)])
def test_cold_sigmoid_of_perfect_constant_and_reversed_rankings(sign, expected):
    targets = batch(7, 20)[1]
    value, gradient = value_and_gradient(auc_loss, sign * targets.float(), targets, "sigmoid", 1e-3)
    assert value == expected
    assert bool(gradient.any()) == (sign == 0)


@pytest.mark.parametrize("surrogate", ["logistic", "squared_hinge"])
def test_convex_surrogates_bound_one_minus_auc(surrogate):
    scale = math.log(2) if surrogate == "logistic" else 1
    for seed in range(20):
        scores, targets = batch(20, 30, seed=seed)
        assert auc_loss(scores, targets, surrogate) > scale * (1 - roc_auc_score(targets, scores))


@pytest.mark.parametrize("beta", [0.5, 1, 2])
def test_f_beta_of_hard_probabilities_is_the_score_of_the_decisions(beta):
    generator = np.random.default_rng(0)
    for share in (0.02, 0.3, 0.9):
        targets, decisions = generator.random((2, 200)) < np.array([[share], [0.4]])
        logits = torch.tensor(np.where(decisions, 200.0, -200.0))
        expected = 1 - fbeta_score(targets, decisions, beta=beta)
        value = f_beta_loss(logits, torch.tensor(targets), beta)
        assert value.item() == pytest.approx(expected, abs=1e-12)


def test_f_beta_is_one_minus_the_weighted_harmonic_mean_of_soft_precision_and_recall():
    logits, targets = batch(12, 50)
    hits = logits.sigmoid()[targets].sum()
    precision, recall = hits / logits.sigmoid().sum(), hits / targets.sum()
    for beta in (0.3, 1.0, 4.0):
        mean = (1 + beta**2) / (1 / precision + beta**2 / recall)
        torch.testing.assert_close(f_beta_loss(logits, targets, beta), 1 - mean)


def test_nearly_perfect_f_beta_keeps_its_digits_in_float32():
    targets = torch.tensor([1, 1, 0, 0])
    loss = f_beta_loss(torch.where(targets == 1, 20.0, -20.0), targets)
    # 1 - F computed as a difference would be a multiple of 6e-8.
    assert loss.item() == pytest.approx(1 / (1 + math.exp(20)), rel=1e-6)


@BY_NAME
def test_only_differences_of_scores_count(surrogate):
    scores, targets = batch(20, 70, ties=True)  # small integers, so that shifts are exact
    plain = value_and_gradient(auc_loss, scores, targets, surrogate)
    shifted = value_and_gradient(auc_loss, scores + 2.0**20, targets, surrogate)
    torch.testing.assert_close(shifted, plain, rtol=1e-12, atol=0)
    torch.testing.assert_close(plain[1].sum(), torch.zeros(()).double(), rtol=0, atol=1e-14)
    scaled = auc_loss(4 * scores, targets, surrogate, 4.0)
    torch.testing.assert_close(scaled, plain[0], rtol=1e-12, atol=0)


@LOSSES
def test_order_of_samples_does_not_matter(loss):
    scores, targets = batch(20, 70)
    value, gradient = value_and_gradient(loss, scores, targets)
    order = torch.randperm(90, generator=torch.Generator().manual_seed(1))
    permuted = value_and_gradient(loss, scores[order], targets[order])
    torch.testing.assert_close(permuted, (value, gradient[order]), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32])
@LOSSES
def test_columns_of_scores_and_targets_of_any_dtype_are_the_same(loss, dtype):
    scores, targets = batch(5, 9)
    value, gradient = value_and_gradient(loss, scores, targets)
    column = value_and_gradient(loss, scores[:, None], targets.to(dtype))
    assert torch.equal(column[0], value)
    assert torch.equal(column[1], gradient[:, None])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@LOSSES
def test_half_precision_scores_are_computed_in_float32(loss, dtype):
    scores, targets = batch(30, 50)
    scores = scores.to(dtype)
    value, gradient = value_and_gradient(loss, scores, targets)
    lifted = value_and_gradient(loss, scores.float(), targets)
    assert torch.equal(value, lifted[0])
    assert torch.equal(gradient, lifted[1].to(dtype))


@LOSSES
def test_masks_on_the_scores_weigh_samples_gradients_and_leave_the_loss(loss):
    scores, targets = batch(8, 24)
    layer = Backdrop(0.6, dims="sample")
    plain = value_and_gradient(loss, scores, targets)
    torch.manual_seed(0)
    with layer.recorded() as masks:
        masked = value_and_gradient(lambda s, t: loss(layer(s), t), scores, targets)
    (mask,) = masks
    assert 0 < mask.count_nonzero() < 32
    assert torch.equal(masked[0], plain[0])
    assert torch.equal(masked[1], plain[1] * mask)
    assert not masked[1][mask == 0].any()


@LOSSES
def test_a_classifier_learns_from_the_loss_alone(loss):
    torch.manual_seed(0)
    x, targets = torch.randn(200, 5), torch.arange(200) < 20
    x[targets, 2] += 4
    model = nn.Linear(5, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(50):
        optimizer.zero_grad()
        loss(model(x), targets).backward()
        optimizer.step()
    assert roc_auc_score(targets, model(x).detach()) > 0.98
    assert model.weight.argmax() == 2


@LOSSES
def test_what_is_held_for_the_backward_pass_grows_linearly(loss):
    def held(n: int) -> int:
        scores, targets = batch(n, 9 * n)
        return saved_bytes(lambda: loss(scores.requires_grad_(), targets))

    small, large = held(100), held(400)
    assert 0 < large <= 4.1 * small
    assert large < 400 * 3600 * 8 / 10  # the matrix of pairs


@pytest.mark.slow
@BY_NAME
def test_five_thousand_positives_against_45_000_negatives(surrogate):
    measure = f"""
import resource, time, torch
from backdrop.losses import auc_loss
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
torch.set_num_threads(2)
targets = torch.arange(50_000) < 5_000
scores = (torch.randn(50_000) + targets.float()).requires_grad_()
auc_loss(scores[4_990:5_010], targets[4_990:5_010], {surrogate!r}).backward()
before, start = peak(), time.perf_counter()
auc_loss(scores, targets, {surrogate!r}).backward()
print(peak() - before, time.perf_counter() - start)
"""
    run = subprocess.run([sys.executable, "-c", measure], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    gibibytes, seconds = map(float, run.stdout.split())
    assert gibibytes < 1
    assert seconds < 20


@BY_NAME
def test_second_derivatives_are_refused(surrogate):
    scores, targets = batch(3, 5)
    loss = auc_loss(scores.requires_grad_(), targets, surrogate)
    with pytest.raises(RuntimeError, match="no second derivatives"):
        torch.autograd.grad(loss, scores, create_graph=True)


def test_second_derivatives_of_f_beta_are_right():
    scores, targets = batch(3, 5)
    assert torch.autograd.gradgradcheck(lambda s: f_beta_loss(s, targets), scores.requires_grad_())


def test_modules_are_the_functions_with_their_arguments():
    scores, targets = batch(4, 6)
    loss = AUCLoss(surrogate="logistic", temperature=0.5)
    assert torch.equal(loss(scores, targets), auc_loss(scores, targets, "logistic", 0.5))
    assert repr(loss) == "AUCLoss(surrogate='logistic', temperature=0.5)"
    loss = FBetaLoss(beta=2)
    assert torch.equal(loss(scores, targets), f_beta_loss(scores, targets, 2))
    assert repr(loss) == "FBetaLoss(beta=2.0)"
    assert torch.equal(AUCLoss()(scores, targets), auc_loss(scores, targets, "sigmoid", 1.0))
    assert torch.equal(FBetaLoss()(scores, targets), f_beta_loss(scores, targets, 1.0))
