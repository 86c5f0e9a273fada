"""Rules of what moves dims and merges or splits them, and leaves values as they are."""

from collections.abc import Sequence
from math import prod

from torch import Tensor

from backdrop.operations.layout import (
    SAMPLES,
    Factor,
    Layout,
    NoRuleError,
    axes_in,
    plain,
    regroup,
    replaced,
    size_of,
    without_positions,
)
from backdrop.operations.operation import Call, Operation, Rule


def _reshaped(x: Tensor, shape: Sequence[int]) -> Tensor:
    # Not view(): the stage's own tensors may lie in memory in another order.
    return x.reshape(shape)


def view(call: Call) -> Operation:
    """Give the rule of a new shape for the same elements."""
    layout, shape = call.first, list(call["size"])
    if -1 in shape:
        total = prod(size_of(dim) for dim in layout)
        rest = prod(size for size in shape if size != -1)
        shape[shape.index(-1)] = total // max(1, rest)
    try:
        return Operation(regroup(layout, shape), run=_reshaped, shaped=True, work=0)
    except NoRuleError as error:
        after, why = _regrouped_within_samples(layout, shape), str(error)
    if after is None:
        why, after = "it merges samples with other dims", tuple(plain(size) for size in shape)
        return Operation(after, mixes=why, untraced=True)
    return Operation(after, couples=why, untraced=True, run=_reshaped, shaped=True, work=0)


def _regrouped_within_samples(layout: Layout, shape: Sequence[int]) -> Layout | None:
    """Give a new shape up without knowing of positions; None if samples were split as well."""
    try:
        return regroup(without_positions(layout), shape)
    except NoRuleError:
        pass
    samples = layout[0] if layout else ()
    if axes_in([samples]) == {SAMPLES} and shape and shape[0] == size_of(samples):
        return (samples, *(plain(size) for size in shape[1:]))
    return None


def permuted(call: Call) -> Operation:
    """Give the rule of ``permute``."""
    return Operation(tuple(call.first[dim] for dim in call["dims"]))


def transposed(call: Call) -> Operation:
    """Give the rule of ``transpose`` and ``t``."""
    dims = list(call.first)
    if len(dims) > 1:
        i, j = call.get("dim0", 0), call.get("dim1", -1)
        dims[i], dims[j] = dims[j], dims[i]
    return Operation(tuple(dims))


def unsqueezed(call: Call) -> Operation:
    """Give the rule of a new dim of size 1."""
    dim = call["dim"] % (len(call.first) + 1)
    return Operation((*call.first[:dim], (), *call.first[dim:]))


def squeezed(call: Call) -> Operation:
    """Give the rule of dims of size 1 that go."""
    layout = call.first
    asked = call.get("dim", range(len(layout)))
    dims = {dim % len(layout) for dim in ([asked] if isinstance(asked, int) else asked)}
    gone = [dim for dim in dims if size_of(layout[dim]) == 1]
    axes = axes_in(layout[dim] for dim in gone)
    return Operation(
        tuple(dim for i, dim in enumerate(layout) if i not in gone),
        couples="it removes positions" if axes else "",
        mixes="it removes the dim of the samples" if SAMPLES in axes else "",
        run=lambda x: x.squeeze(tuple(gone)),
    )


def expanded(call: Call) -> Operation:
    """Give the rule of dims of size 1 that are repeated."""
    layout, shape = call.first, list(call["size"])
    layout = ((),) * (len(shape) - len(layout)) + layout
    couples = mixes = ""
    for dim, size in enumerate(shape):
        if size in (-1, size_of(layout[dim])):
            continue
        axes = axes_in([layout[dim]])
        couples = "it repeats positions" if axes - {SAMPLES} else couples
        mixes = "it repeats samples" if SAMPLES in axes else mixes
        layout = replaced(layout, dim, (Factor(size, None),))
    return Operation(
        layout, couples=couples, mixes=mixes, run=lambda x, size: x.expand(size), shaped=True,
        work=0,
    )  # fmt: skip


def restrided(call: Call) -> Operation:
    """Give the rule of ``as_strided`` where only the memory's order changes."""
    x, layout = next(iter(call.arguments.values())), call.first
    size, stride = list(call["size"]), list(call["stride"])
    same = all(n == 1 or a == b for n, a, b in zip(size, stride, x.stride(), strict=False))
    if size != [size_of(dim) for dim in layout] or not same:
        raise NoRuleError("it reads memory in another order")
    return Operation(layout, run=lambda x: x)


RULES: dict[str, Rule] = {
    **dict.fromkeys(("view", "_unsafe_view"), view),
    "permute": permuted,
    **dict.fromkeys(("transpose", "t"), transposed),
    "unsqueeze": unsqueezed,
    "squeeze": squeezed,
    "expand": expanded,
    "as_strided": restrided,
}
