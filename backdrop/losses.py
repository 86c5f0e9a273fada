"""Losses that do not decompose over samples: the area under the ROC curve and the F-measure."""

from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from backdrop.pair_sums import Sums, blocked_sums, logistic, sigmoid, squared_hinge_sums

Surrogate = Literal["sigmoid", "logistic", "squared_hinge"]

_SUMS: dict[Surrogate, Callable[[Tensor, Tensor, float], Sums]] = {
    "sigmoid": partial(blocked_sums, sigmoid),
    "logistic": partial(blocked_sums, logistic),
    "squared_hinge": squared_hinge_sums,
}


def auc_loss(
    scores: Tensor, targets: Tensor, surrogate: Surrogate = "sigmoid", temperature: float = 1.0
) -> Tensor:
    r"""Relax 1 − AUC, the share of pairs of a positive and a negative that are ranked wrongly.

    With P positives i and N negatives j, scores s and the temperature :math:`\tau`,

    .. math:: L = \frac{1}{P N} \sum_{i, j} f\!\left(\frac{s_i - s_j}{\tau}\right), \qquad
        f(d) = \begin{cases} \sigma(-d) & \text{sigmoid} \\
        \log(1 + e^{-d}) & \text{logistic} \\
        \max(0, 1 - d)^2 & \text{squared\_hinge} \end{cases}

    As :math:`\tau \to 0` the sigmoid surrogate tends to 1 − AUC, where ties count one half. It is
    bounded; the others are convex bounds on the share of wrong pairs (logistic: times log 2).

    The gradient is computed along with the value, and there are no second derivatives. Time is
    O(P N) for sigmoid and logistic, O((P + N) log(P + N)) for squared_hinge. Pairs are taken in
    blocks, so that memory is O(P + N) and some 80 MiB, twice that in float64. In float32, which
    half-precision scores are lifted to, the relative error is about 1e-6, but for the sigmoid's
    slope at pairs ranked wrongly: its error is up to 4e-7 of the greatest slope, which is 4e-4 of
    its own at 8 temperatures and 2 % at 12, and beyond 17 the slope is 0. squared_hinge is computed
    in float64 by sums of non-negative terms, so that nothing cancels. Values are checked on every
    device: on a GPU this and the separation of the classes synchronise with the host.

    From Herschtal & Raskutti, Optimising area under the ROC curve using gradient descent, ICML
    2004 (sigmoid); the squared hinge by sorting: Rust & Hocking, arXiv:2302.11062.

    Args:
        scores: (N,) or (N, 1), floating-point and finite, higher for samples likelier positive.
        targets: (N,) of 0 and 1 in any dtype, with both among them.
        surrogate: ``"sigmoid"``, ``"logistic"`` or ``"squared_hinge"``.
        temperature: the difference of scores that counts as one, from 1e-15 to 1e15.

    Returns:
        A scalar in the dtype of ``scores``, or in float32 for half precision.

    Raises:
        TypeError: if ``scores`` is no floating-point tensor, ``targets`` no tensor or
            ``temperature`` no number.
        ValueError: if shapes do not match, a class has no samples, a score is infinite or NaN, a
            target neither 0 nor 1, the temperature out of range or the surrogate unknown.
        RuntimeError: in the backward pass, under ``create_graph=True``.

    Example:
        >>> scores = torch.tensor([2.0, 0.0, 1.0], requires_grad=True)
        >>> loss = auc_loss(scores, torch.tensor([1, 1, 0]))
        >>> loss.backward()
        >>> scores.grad
        tensor([-0.0983, -0.0983,  0.1966])
    """
    sums = _SUMS[_checked_surrogate(surrogate)]
    temperature = _checked_positive("temperature", temperature)
    scores, is_positive = _checked_samples("scores", scores, targets)
    positive, negative = scores[is_positive], scores[~is_positive]
    pairs = len(positive) * len(negative)
    with torch.no_grad():
        means = [s.div(pairs).to(scores.dtype) for s in sums(positive, negative, temperature)]
    loss: Tensor = _KnownGradient.apply(positive, negative, *means)
    return loss


class AUCLoss(nn.Module):
    """Relaxes 1 − AUC: :func:`auc_loss` as a module, with its arguments and errors.

    Example:
        >>> loss = AUCLoss(surrogate="squared_hinge", temperature=2.0)
        >>> loss(torch.tensor([[1.0], [0.0]]), torch.tensor([True, False]))
        tensor(0.2500)
    """

    needs_both_classes = True
    """A batch without a positive or without a negative has no loss."""

    def __init__(self, surrogate: Surrogate = "sigmoid", temperature: float = 1.0) -> None:
        super().__init__()
        self.surrogate = _checked_surrogate(surrogate)
        self.temperature = _checked_positive("temperature", temperature)

    def forward(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of ``scores`` (N,) or (N, 1) given ``targets`` (N,) of 0 and 1."""
        return auc_loss(scores, targets, self.surrogate, self.temperature)

    def extra_repr(self) -> str:
        """Show the arguments in the module's printed form."""
        return f"surrogate={self.surrogate!r}, temperature={self.temperature}"


def f_beta_loss(logits: Tensor, targets: Tensor, beta: float = 1.0) -> Tensor:
    r"""Relax 1 − F-beta by replacing counts with sums of probabilities.

    With :math:`p = \sigma(\text{logits})`, summed to the soft counts
    :math:`\mathrm{TP} = \sum_{y = 1} p`, :math:`\mathrm{FN} = \sum_{y = 1} (1 - p)` and
    :math:`\mathrm{FP} = \sum_{y = 0} p`,

    .. math:: L = 1 - F_\beta = \frac{\beta^2\, \mathrm{FN} + \mathrm{FP}}
        {(1 + \beta^2)\, \mathrm{TP} + \beta^2\, \mathrm{FN} + \mathrm{FP}}.

    Time and memory are O(N). Logits in half precision are computed in float32. Values are checked
    on every device: on a GPU this and the separation of the classes synchronise with the host.
    From Jansche, Maximum expected F-measure training of logistic regression models, HLT/EMNLP 2005.

    Args:
        logits: (N,) or (N, 1), floating-point and finite.
        targets: (N,) of 0 and 1 in any dtype, with both among them.
        beta: the weight of recall relative to precision, from 1e-15 to 1e15.

    Returns:
        A scalar in the dtype of ``logits``, or in float32 for half precision.

    Raises:
        TypeError: if ``logits`` is no floating-point tensor, ``targets`` no tensor or ``beta`` no
            number.
        ValueError: if shapes do not match, a class has no samples, a logit is infinite or NaN, a
            target neither 0 nor 1, or beta out of range.

    Example:
        >>> logits = torch.tensor([100.0, -100.0, 100.0, -100.0])
        >>> f_beta_loss(logits, torch.tensor([1, 1, 0, 0]))
        tensor(0.5000)
    """
    beta = _checked_positive("beta", beta)
    logits, is_positive = _checked_samples("logits", logits, targets)
    positive, negative = logits[is_positive], logits[~is_positive]
    # 1 - F as a quotient of sums of non-negative terms: near 0 the difference would cancel.
    misses = beta**2 / (1 + beta**2) * (-positive).sigmoid().sum()
    false_alarms = negative.sigmoid().sum() / (1 + beta**2)
    return (misses + false_alarms) / (positive.sigmoid().sum() + misses + false_alarms)


class FBetaLoss(nn.Module):
    """Relaxes 1 − F-beta: :func:`f_beta_loss` as a module, with its arguments and errors.

    Example:
        >>> FBetaLoss(beta=2.0)(torch.zeros(4), torch.tensor([0, 0, 0, 1]))
        tensor(0.5833)
    """

    needs_both_classes = True
    """A batch without a positive or without a negative has no loss."""

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = _checked_positive("beta", beta)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of ``logits`` (N,) or (N, 1) given ``targets`` (N,) of 0 and 1."""
        return f_beta_loss(logits, targets, self.beta)

    def extra_repr(self) -> str:
        """Show the arguments in the module's printed form."""
        return f"beta={self.beta}"


class _KnownGradient(torch.autograd.Function):
    """A value whose gradient was computed along with it."""

    @staticmethod
    def forward(
        ctx: Any, positive: Tensor, negative: Tensor, value: Tensor, *gradients: Tensor
    ) -> Tensor:
        ctx.save_for_backward(*gradients)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        # The saved gradients know nothing of the scores they came from: differentiating them
        # again would silently give zero.
        if torch.is_grad_enabled():
            raise RuntimeError(
                "auc_loss has no second derivatives: differentiate it without create_graph=True"
            )
        positive, negative = ctx.saved_tensors
        return grad * positive, grad * negative, None, None, None


def _checked_surrogate(surrogate: Surrogate) -> Surrogate:
    if surrogate not in get_args(Surrogate):
        raise ValueError(f"surrogate must be one of {get_args(Surrogate)}, got {surrogate!r}")
    return surrogate


def _checked_positive(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a positive number, got {value!r}")
    # Squares and reciprocals within these bounds do not overflow, in float32 too.
    if not 1e-15 <= value <= 1e15:
        raise ValueError(f"{name} must be a positive number from 1e-15 to 1e15, got {value}")
    return float(value)


def _checked_samples(name: str, scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return scores (N,) in float32 or better and whether each sample is positive (N,)."""
    for label, values in ((name, scores), ("targets", targets)):
        if not isinstance(values, Tensor):
            raise TypeError(f"{label} must be a tensor, got {values!r}")
    if not scores.is_floating_point():
        raise TypeError(f"{name} must be floating-point, got {scores.dtype}")
    if scores.ndim == 0 or scores.shape[1:] not in ((), (1,)):
        raise ValueError(f"{name} must have the shape (N,) or (N, 1), got {tuple(scores.shape)}")
    if targets.shape != scores.shape[:1]:
        raise ValueError(
            f"targets must have the shape ({len(scores)},) for {name} of shape "
            f"{tuple(scores.shape)}, got {tuple(targets.shape)}"
        )
    scores = scores.reshape(-1).to(torch.promote_types(scores.dtype, torch.float32))
    _check_values(name, scores.detach(), targets)
    return scores, targets == 1


def _check_values(name: str, scores: Tensor, targets: Tensor) -> None:
    finite, positive = scores.isfinite(), targets == 1
    binary = positive | (targets == 0)
    # One transfer for all conditions: each synchronises a GPU.
    conditions = torch.stack([finite.all(), binary.all(), positive.any(), ~positive.all()])
    all_finite, all_binary, any_positive, any_negative = conditions.tolist()
    if not all_finite:
        raise ValueError(f"{name} must be finite, got {_first_where(~finite, scores)}")
    if not all_binary:
        raise ValueError(f"targets must be 0 or 1, got {_first_where(~binary, targets)}")
    if not (any_positive and any_negative):
        raise ValueError(f"targets need both 0 and 1, got only {sorted(set(targets.tolist()))}")


def _first_where(condition: Tensor, values: Tensor) -> str:
    index = int(condition.nonzero()[0])
    return f"{values[index].item()} at sample {index}"
