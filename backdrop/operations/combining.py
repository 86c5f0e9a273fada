"""Rules of what combines the elements along dims: reductions, products, normalisation."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from torch import Tensor

from backdrop.operations.joining import OF_SAMPLES, constants, meeting
from backdrop.operations.layout import (
    SAMPLES,
    Layout,
    NoRuleError,
    axes_in,
    plain,
    replaced,
    size_of,
)
from backdrop.operations.operation import Call, Operation, Rule

OF_SAMPLE = "its statistics couple the positions of a sample"


def combined(layout: Layout, dims: Iterable[int], after: Layout, why: str) -> Operation:
    """Let every output see all elements along ``dims``."""
    axes = axes_in(layout[dim] for dim in dims)
    return Operation(
        after,
        whole=frozenset(axes - {SAMPLES}),
        couples=why if axes - {SAMPLES} else "",
        mixes="it couples samples" if SAMPLES in axes else "",
    )


def reduced(call: Call) -> Operation:
    """Give the rule of a sum, mean or the like."""
    layout, dims = call.first, call.get("dim")
    listed = [dims] if isinstance(dims, int) else dims or range(len(layout))
    gone = {dim % len(layout) for dim in listed}
    after = [() if dim in gone else old for dim, old in enumerate(layout)]
    if not call.get("keepdim"):
        after = [old for dim, old in enumerate(layout) if dim not in gone]
    operation = combined(layout, gone, tuple(after), "it combines positions")
    if call.name == "std" and axes_in(layout) - {SAMPLES}:
        return replace(operation, couples="its derivative is infinite beyond the border")
    return replace(operation, fill=1.0 if call.name == "linalg_vector_norm" else 0.0)


def softmax(call: Call) -> Operation:
    """Give the rule of what lets all elements along a dim see each other."""
    layout = call.first
    return replace(combined(layout, [call["dim"]], layout, "it couples positions"), work=4)


def multiplied(call: Call) -> Operation:
    """Give the rule of a matrix product in which one side depends on the input."""
    left, right = call.tensors[-2:]
    of_left, of_right = call.layout_of(left), call.layout_of(right)
    if of_left is not None and of_right is not None:
        raise NoRuleError("a second feature map meets the first in a product, as in attention")
    layout = of_left or of_right
    if layout is None or len(call.maps) > 1:
        raise NoRuleError("a second feature map of the stage meets it, and might couple samples")
    dim, other = (-1, right) if of_left else (-2, left)
    after = replaced(layout, dim, plain(other.shape[-1 if of_left else -2]))
    operation = combined(layout, [dim], after, "it combines positions")
    mixes = operation.mixes
    batches = [(*other.shape[:-2], 1, 1)]
    added = [t.shape for t in call.tensors[:-2]]
    met = meeting([after], [*batches, *added])
    return replace(
        operation,
        couples=operation.couples or met.couples,
        mixes=mixes or met.mixes,
        work=size_of(layout[dim]),
    )


def batch_norm(call: Call) -> Operation:
    """Give the rule of batch normalisation: frozen, it acts on every element alone."""
    layout = call.first
    training = call.get("training", call.name != "_native_batch_norm_legit_no_training")
    if training or call.get("running_mean") is None:
        why = "batch statistics couple samples and positions"
        return Operation(layout, couples=why, mixes=why)
    if axes_in([layout[1]]):
        return Operation(layout, couples="its statistics belong to positions", mixes=_mixed(call))
    return Operation(layout, work=2)


def _mixed(call: Call) -> str:
    return OF_SAMPLES if SAMPLES in axes_in([call.first[1]]) else ""


def layer_norm(call: Call) -> Operation:
    """Give the rule of layer normalisation: over channels moved to the end, per position."""
    layout = call.first
    if constants(call) != [t.shape for t in call.tensors[1:]]:
        raise NoRuleError("a second feature map of the stage meets it, and might couple samples")
    axes = axes_in(layout[len(layout) - len(call["normalized_shape"]) :])
    couples = OF_SAMPLE if axes - {SAMPLES} else ""
    if call.get("eps") == 0 and axes_in(layout) - {SAMPLES}:
        couples = couples or "without eps it is infinite beyond the border"
    mixes = "it normalises over samples" if SAMPLES in axes else ""
    return Operation(layout, couples=couples, mixes=mixes, work=4)


def group_norm(call: Call) -> Operation:
    """Give the rule of group normalisation, which takes the number of samples as an argument."""
    layout, operation = call.first, call.operation
    rest: tuple[Any, ...] = call["C"], call["HxW"], call["group"], call["eps"]
    given = [call["weight"] is not None, call["bias"] is not None]

    def run(x: Tensor, *tensors: Tensor) -> Any:
        left = iter(tensors)
        weight, bias = (next(left) if there else None for there in given)
        return operation(x.contiguous(), weight, bias, len(x), *rest)

    mixes = "" if layout[0] and layout[0][0].axis == SAMPLES else "it couples samples"
    return Operation(layout, couples=OF_SAMPLE, mixes=mixes, run=run)


def shuffled(call: Call) -> Operation:
    """Give the rule of ``channel_shuffle``."""
    if axes_in([call.first[1]]):
        raise NoRuleError("it shuffles positions")
    return Operation(call.first)


BATCH = (
    "native_batch_norm",
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training",
    "cudnn_batch_norm",
    "miopen_batch_norm",
    "_batch_norm_with_update",
)
REDUCTIONS = (
    "mean", "sum", "prod", "amax", "amin", "max", "min", "var", "std", "linalg_vector_norm",
    "logsumexp", "any", "all",
)  # fmt: skip

RULES: dict[str, Rule] = {
    **dict.fromkeys(REDUCTIONS, reduced),
    **dict.fromkeys(("_softmax", "_log_softmax", "cumsum"), softmax),
    **dict.fromkeys(("mm", "bmm", "addmm", "baddbmm"), multiplied),
    **dict.fromkeys(BATCH, batch_norm),
    **dict.fromkeys(("native_layer_norm", "_fused_rms_norm"), layer_norm),
    "native_group_norm": group_norm,
    "channel_shuffle": shuffled,
}
