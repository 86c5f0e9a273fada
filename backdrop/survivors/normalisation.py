"""Normalisation, dropout and layers with weights that do not slide."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from backdrop.survivors.operation import Operation, RefusedError, coupled
from backdrop.survivors.recorded import Recorded

_OF_SAMPLE = "its statistics couple the positions of a sample"


def batch_norm(
    input: Recorded,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Operation:
    """Give the rule of ``F.batch_norm``: frozen, it acts on every element alone."""
    if training or running_mean is None:
        raise RefusedError("batch statistics couple samples and positions")
    operands = (input, running_mean, running_var, weight, bias)

    def run(x: Tensor, mean: Tensor, var: Tensor, w: Tensor | None, b: Tensor | None) -> Tensor:
        return F.batch_norm(x, mean, var, w, b, False, momentum, eps)

    if input.axes and 1 in input.axes:
        return coupled("its statistics belong to positions", operands, run)
    return Operation(operands, run, input.axes, work=2)


def group_norm(
    input: Recorded,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Operation:
    """Give the rule of ``F.group_norm``."""
    operands = (input, weight, bias)
    return coupled(_OF_SAMPLE, operands, lambda x, w, b: F.group_norm(x, num_groups, w, b, eps))


def instance_norm(
    input: Recorded,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Operation:
    """Give the rule of ``F.instance_norm``."""
    if running_mean is not None or not use_input_stats:
        raise RefusedError("running statistics are taken over samples")

    # One group for each channel; unlike instance_norm, it takes a batch without samples.
    return group_norm(input, input.shape[1], weight, bias, eps)


def layer_norm(
    input: Recorded,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Operation:
    """Give the rule of ``F.layer_norm``: over channels moved to the end, per position."""
    first = input.ndim - len(normalized_shape)
    operands = (input, weight, bias)

    def run(x: Tensor, w: Tensor | None, b: Tensor | None) -> Tensor:
        return F.layer_norm(x, normalized_shape, w, b, eps)

    if first == 0:
        raise RefusedError("it normalises over samples")
    if input.axes and max(input.axes) >= first:
        return coupled(_OF_SAMPLE, operands, run)
    if input.axes and eps == 0:
        return coupled("without eps it is infinite beyond the border", operands, run)
    return Operation(operands, run, input.axes, work=4)


def linear(input: Recorded, weight: Tensor, bias: Tensor | None = None) -> Operation:
    """Give the rule of ``F.linear``, which combines the last dim."""
    work = weight.shape[-1]
    if input.axes and input.ndim - 1 in input.axes:
        return coupled("it combines positions", (input, weight, bias), F.linear, work)
    return Operation((input, weight, bias), F.linear, input.axes, work=work)


def prelu(input: Recorded, weight: Tensor) -> Operation:
    """Give the rule of ``F.prelu``, whose slopes belong to dim 1."""
    if input.axes and 1 in input.axes:
        return coupled("its slopes belong to positions", (input, weight), F.prelu)
    return Operation((input, weight), F.prelu, input.axes)


def softmax(function: Any) -> Callable[..., Operation]:
    """Give the rule of a softmax."""

    def rule(
        input: Recorded, dim: int, dtype: torch.dtype | None = None, _stacklevel: int = 3
    ) -> Operation:
        run = partial(function, dim=dim, dtype=dtype)
        if dim % input.ndim == 0:
            raise RefusedError("it couples samples")
        if input.axes and dim % input.ndim in input.axes:
            return coupled("it couples positions", (input,), run)
        return Operation((input,), run, input.axes, work=4)

    return rule


def dropout(
    input: Recorded, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Operation:
    """Give the rule of the dropouts: in eval mode and at p = 0 the identity."""
    if training and p > 0:
        raise RefusedError("run again on the survivors, it would draw other random numbers")
    return Operation((input,), lambda x: x, input.axes, aliases=True)


NORMALISATION: dict[str, Callable[..., Operation]] = {
    "batch_norm": batch_norm,
    "group_norm": group_norm,
    "instance_norm": instance_norm,
    "layer_norm": layer_norm,
    "linear": linear,
    "prelu": prelu,
    "softmax": softmax(F.softmax),
    "log_softmax": softmax(F.log_softmax),
    **dict.fromkeys(("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"), dropout),
    "feature_alpha_dropout": dropout,
}
