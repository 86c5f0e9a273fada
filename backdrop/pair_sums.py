"""Sums over all pairs of a positive and a negative, with their derivatives, in linear memory."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

# Pairs in a block, 8 MiB in float32. In smaller ones, threads on busy cores mostly wait to meet.
_BLOCK = 2**21

# The sum over pairs and its derivatives by the scores of positives and of negatives.
Sums = tuple[Tensor, Tensor, Tensor]


def blocked_sums(
    f: Callable[[Tensor], tuple[Tensor, Tensor]],
    positive: Tensor,
    negative: Tensor,
    temperature: float,
) -> Sums:
    """Sum f over the differences of positive and negative scores, divided by the temperature.

    ``f`` gives its value and its derivative; pairs are taken in blocks.
    """
    total = positive.new_zeros(())
    by_positive, by_negative = torch.empty_like(positive), torch.zeros_like(negative)
    rows = max(1, _BLOCK // len(negative))
    for start in range(0, len(positive), rows):
        block = slice(start, start + rows)
        # Differences before the division: they are exact for scores close together.
        value, slope = f((positive[block, None] - negative) / temperature)
        total += value.sum()
        by_positive[block] = slope.sum(1)
        by_negative -= slope.sum(0)
    return total, by_positive / temperature, by_negative / temperature


def sigmoid(d: Tensor) -> tuple[Tensor, Tensor]:
    """Give 1 / (1 + exp(d)) and its derivative, which cancels where d is far below 0.

    In float32 the derivative has an error of up to 1e-7, 4e-7 of its greatest absolute value, and
    is 0 below d = -17.
    """
    value = (-d).sigmoid()
    return value, value * (value - 1)


def logistic(d: Tensor) -> tuple[Tensor, Tensor]:
    """Give log(1 + exp(-d)) and its derivative."""
    # F.softplus is linear above a threshold, which shows in float64.
    return -nn.functional.logsigmoid(d), -(-d).sigmoid()


def squared_hinge_sums(positive: Tensor, negative: Tensor, temperature: float) -> Sums:
    """Sum max(0, 1 - d)² over all pairs, by sorting."""
    positive, negative = positive.double(), negative.double()
    excess, square = _sums_above(positive - temperature, negative)
    shortfall, _ = _sums_above(-negative - temperature, -positive)
    total, scale = square.sum() / temperature**2, 2 / temperature**2
    return total, -scale * excess, scale * shortfall


def _sums_above(thresholds: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    r"""Give :math:`\sum_j \max(0, v_j - t)` and :math:`\sum_j \max(0, v_j - t)^2` for each t.

    As t falls, the number of values above it is piecewise constant, the first sum its integral and
    half the second the integral of the first: scans of non-negative terms along sorted points.
    """
    points, order = torch.cat([thresholds, values]).sort(descending=True)
    is_value = (order >= len(thresholds)).to(points.dtype)
    gap = -points.diff(prepend=points[:1])
    count = is_value.cumsum(0) - is_value
    first = (gap * count).cumsum(0)
    second = (gap * (first + first.roll(1))).cumsum(0)  # what rolls to the front meets gap 0
    sums = torch.empty_like(points).repeat(2, 1)
    sums[:, order] = torch.stack([first, second])
    excess, square = sums[:, : len(thresholds)]
    return excess, square
