"""One rule for every kind of torch operation: from what its inputs see to what its outputs see.

Operations are those of ATen, below autograd, to which all layers and functions come down.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from backdrop.positions import (
    NoRuleError,
    Shape,
    View,
    concatenate,
    contract,
    couple,
    crop,
    join,
    multiply,
    plain,
    regroup,
    slide,
)

Arguments = Mapping[str, Any]
Views = View | list[View]
Rule = Callable[[View, Arguments, Sequence[Shape]], Views]


def follow(
    operation: OpOverload,
    arguments: Arguments,
    view_of: Callable[[Any], View | None],
    shapes: Sequence[Shape],
) -> Views | None:
    """Give the views of an operation's outputs, None where they do not depend on the input.

    Args:
        operation: what is called.
        arguments: its arguments by the names in its schema.
        view_of: gives the view of a tensor that depends on the model's input, None for the rest.
        shapes: the shapes of its outputs.

    Raises:
        NoRuleError: if the operation, or this use of it, has no rule.
    """
    name = operation._schema.name.removeprefix("aten::").removesuffix("_")
    listed = arguments.get("tensors", ())
    seen = [view for value in (*arguments.values(), *listed) if (view := view_of(value))]
    if not seen or not shapes or name in VALUE_FREE:
        return None
    if name in POINTWISE or torch.Tag.pointwise in operation.tags:
        return join(seen, shapes[0], gates=name in ("mul", "div"))
    if name in ("cat", "stack"):
        if name == "stack":
            seen = [_unsqueeze(view, arguments, shapes) for view in seen]
        return concatenate(seen, arguments.get("dim", 0), shapes[0])
    if name in ("mm", "bmm", "addmm", "baddbmm"):
        left, right = [value for value in arguments.values() if isinstance(value, Tensor)][-2:]
        return multiply(view_of(left), view_of(right), shapes[0])
    first = view_of(next(iter(arguments.values())))
    if name not in RULES or first is None or len(seen) > 1:
        raise NoRuleError("there is no rule for it" if name not in RULES else "of its arguments")
    return RULES[name](first, arguments, shapes)


def _per_dim(value: int | Sequence[int], count: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * count if len(values) == 1 else values


def _convolve(view: View, a: Arguments, shapes: Sequence[Shape]) -> View:
    if a["transposed"]:
        raise NoRuleError("the strides of a transposed convolution are fractions")
    kernel = a["weight"].shape[2:]
    channel = -1 - len(kernel)
    view = contract(view, [channel]).with_dim(channel, plain(shapes[0][channel]))
    settings = (_per_dim(a[key], len(kernel)) for key in ("stride", "padding", "dilation"))
    return slide(view, shapes[0], list(zip(kernel, *settings, strict=True)))


def _pool_windows(view: View, shape: Shape, windows: Sequence[tuple[int, int, int, int]]) -> View:
    view = slide(view, shape, windows)
    for back in range(-len(windows), 0):
        if shape[back] == 1:  # Pooled to a single value: no positions are left.
            view = view.with_dim(back, ())
    return view


def _pool(spatial: int) -> Rule:
    def rule(view: View, a: Arguments, shapes: Sequence[Shape]) -> View:
        kernel = _per_dim(a["kernel_size"], spatial)
        stride = _per_dim(a["stride"] or kernel, spatial)
        padding, dilation = _per_dim(a["padding"], spatial), _per_dim(a.get("dilation", 1), spatial)
        windows = list(zip(kernel, stride, padding, dilation, strict=True))
        return _pool_windows(view, shapes[0], windows)

    return rule


def _adaptive_pool(spatial: int) -> Rule:
    def rule(view: View, a: Arguments, shapes: Sequence[Shape]) -> View:
        windows = []
        for back in range(-spatial, 0):
            before, after = view.size(back), shapes[0][back]
            if before % after:
                raise NoRuleError(f"it pools {before} positions to {after}, unevenly")
            windows.append((before // after, before // after, 0, 1))
        return _pool_windows(view, shapes[0], windows)

    return rule


def _reduce(view: View, a: Arguments, shapes: Sequence[Shape]) -> View:
    dims = a.get("dim")
    listed = [dims] if isinstance(dims, int) else dims or range(len(view.dims))
    gone = {dim % len(view.dims) for dim in listed}
    view = contract(view, gone)
    if a.get("keepdim"):
        return view
    return view.with_dims(dim for number, dim in enumerate(view.dims) if number not in gone)


def _slice(view: View, a: Arguments, shapes: Sequence[Shape]) -> View:
    size, start = view.size(a["dim"]), a["start"] or 0
    start = min(max(start + size if start < 0 else start, 0), size)
    return crop(view, a["dim"], start, shapes[0][a["dim"]], a["step"])


def _select(view: View, a: Arguments, shapes: Sequence[Shape]) -> View:
    index = a["index"] % view.size(a["dim"])
    return crop(view, a["dim"], index, 1).with_dim(a["dim"])


def _split(view: View, a: Arguments, shapes: Sequence[Shape]) -> list[View]:
    sizes = [shape[a["dim"]] for shape in shapes]
    starts = accumulate(sizes, initial=0)
    return [crop(view, a["dim"], start, size) for start, size in zip(starts, sizes, strict=False)]


def _pad(view: View, a: Arguments, shapes: Sequence[Shape]) -> View:
    before = (a["pad"] if "pad" in a else a["padding"])[::2]
    for back, padding in enumerate(before, start=1):
        view = crop(view, -back, -padding, shapes[0][-back])
    return view


def _transpose(view: View, a: Arguments, shapes: Sequence[Shape]) -> View:
    dims = list(view.dims)
    i, j = a.get("dim0", 0), a.get("dim1", -1)
    dims[i], dims[j] = dims[j], dims[i]
    return view.with_dims(dims)


def _unsqueeze(view: View, a: Arguments, shapes: Sequence[Shape]) -> View:
    dim = a["dim"] % len(shapes[0])
    return view.with_dims((*view.dims[:dim], (), *view.dims[dim:]))


def _squeeze(view: View, a: Arguments, shapes: Sequence[Shape]) -> View:
    dims = a.get("dim", range(len(view.dims)))
    asked = {dim % len(view.dims) for dim in ([dims] if isinstance(dims, int) else dims)}
    return view.with_dims(
        dim for i, dim in enumerate(view.dims) if i not in asked or view.size(i) > 1
    )


def _restride(view: View, a: Arguments, shapes: Sequence[Shape]) -> View:
    if tuple(shapes[0]) != tuple(view.size(dim) for dim in range(len(view.dims))):
        raise NoRuleError("it reads memory in another order")
    return view


# Outputs of these have the shape of the input and none of its values.
VALUE_FREE = {f"{kind}_like" for kind in ("empty", "zeros", "ones", "full", "rand", "randn")} | {
    f"new_{kind}" for kind in ("empty", "zeros", "ones", "full")
}

# Pointwise operations that torch does not tag as such.
POINTWISE = {
    "_prelu_kernel",
    "_to_copy",
    "alias",
    "copy",
    "detach",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "lift_fresh",
    "log_sigmoid_forward",
}
POINTWISE |= {"native_dropout", "rrelu_with_noise", "threshold"}

NORMALISATION = {"native_batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm"}
NORMALISATION |= {"_native_batch_norm_legit_no_training", "_batch_norm_with_update"}
NORMALISATION |= {"native_layer_norm", "native_group_norm", "_fused_rms_norm"}

REDUCTIONS = {"mean", "sum", "amax", "amin", "max", "min", "var", "std", "linalg_vector_norm"}

RULES: dict[str, Rule] = {
    "convolution": _convolve,
    **{f"max_pool{n}d_with_indices": _pool(n) for n in (2, 3)},
    **{f"avg_pool{n}d": _pool(n) for n in (1, 2, 3)},
    **{f"_adaptive_avg_pool{n}d": _adaptive_pool(n) for n in (2, 3)},
    **{f"adaptive_max_pool{n}d": _adaptive_pool(n) for n in (2, 3)},
    **{f"{kind}_pad{n}d": _pad for kind in ("reflection", "replication") for n in (1, 2, 3)},
    "constant_pad_nd": _pad,
    **dict.fromkeys({*NORMALISATION, "channel_shuffle"}, lambda view, a, shapes: view),
    **dict.fromkeys(REDUCTIONS, _reduce),
    **dict.fromkeys(("_softmax", "_log_softmax"), lambda view, a, shapes: couple(view, a["dim"])),
    **dict.fromkeys(("view", "_unsafe_view"), lambda view, a, shapes: regroup(view, shapes[0])),
    "as_strided": _restride,
    "expand": lambda view, a, shapes: join([view], shapes[0]),
    "permute": lambda view, a, shapes: view.with_dims(view.dims[dim] for dim in a["dims"]),
    **dict.fromkeys(("transpose", "t"), _transpose),
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "slice": _slice,
    "select": _select,
    **dict.fromkeys(("split", "split_with_sizes"), _split),
}
