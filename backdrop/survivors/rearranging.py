"""Elementwise operations, sums and changes of layout."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor

from backdrop.survivors.operation import Operation, RefusedError, coupled
from backdrop.survivors.recorded import Axes, Recorded

Rule = Callable[..., Operation]


def pointwise(func: Any, input: Recorded, *args: Any, **kwargs: Any) -> Operation:
    """Give the rule of an operation that acts on every element alone."""
    if any(isinstance(value, Tensor) for value in (*args, *kwargs.values())):
        raise RefusedError("it takes further tensors")
    return Operation((input,), lambda x: func(x, *args, **kwargs), input.axes)


def steep(func: Any, input: Recorded, *args: Any, **kwargs: Any) -> Operation:
    """Give the rule of one whose derivative is infinite at 0; outside the map it finds 1."""
    return replace(pointwise(func, input, *args, **kwargs), fill=1.0)


def alias(func: Any, input: Recorded, *args: Any, **kwargs: Any) -> Operation:
    """Give the rule of one that may return its input itself, as ``contiguous`` does."""
    return replace(pointwise(func, input, *args, **kwargs), aliases=True)


def binary(func: Any, input: Any, other: Any, **kwargs: Any) -> Operation:
    """Give the rule of an operation on two tensors element by element, or a tensor and a number."""
    if any(isinstance(value, Tensor) for value in kwargs.values()):
        raise RefusedError("it takes further tensors")
    operands = tuple(value for value in (input, other) if isinstance(value, Tensor))
    if len(operands) == 1:
        first = isinstance(input, Tensor)

        def run(*tensors: Tensor) -> Any:
            return func(*tensors, other, **kwargs) if first else func(input, *tensors, **kwargs)
    else:

        def run(*tensors: Tensor) -> Any:
            return func(*tensors, **kwargs)

    maps = [value for value in operands if isinstance(value, Recorded)]
    ndim = maps[0].ndim
    for value in operands:
        if value.ndim > ndim or (len(maps) == 2 and value.ndim < ndim):
            raise RefusedError("tensors with different numbers of dims meet in it")
        if not isinstance(value, Recorded) and value.ndim == ndim and len(value) > 1:
            raise RefusedError("a tensor with values of its own for every sample meets it")
    axes = next((value.axes for value in maps if value.axes is not None), None)
    if axes is None:
        return Operation(operands, run, None)
    sizes = {_sizes(value, axes, ndim) for value in maps}
    if len({value.axes for value in maps}) > 1 or len(sizes) > 1:
        return replace(coupled("one value meets many positions in it", operands, run), axes=axes)
    constants = [value for value in operands if not isinstance(value, Recorded)]
    if any(max(_sizes(value, axes, ndim), default=1) > 1 for value in constants):
        why = "a tensor with values of its own for every position meets it"
        return replace(coupled(why, operands, run), axes=axes)
    return Operation(operands, run, axes)


def _sizes(tensor: Tensor, axes: Axes, ndim: int) -> tuple[int, ...]:
    """Give the sizes along positions of a tensor that is broadcast to ``ndim`` dims."""
    aligned = (1,) * (ndim - tensor.ndim) + tuple(tensor.shape)
    return tuple(aligned[axis] for axis in axes)


def division(func: Any, input: Any, other: Any, **kwargs: Any) -> Operation:
    """Give the rule of a division; outside the map, a map is 1 where it is divided by."""
    fill = 1.0 if isinstance(other, Recorded) else 0.0
    return replace(binary(func, input, other, **kwargs), fill=fill)


def reversed_binary(func: Any, input: Any, other: Any) -> Operation:
    """Give the rule of ``other - self`` and ``other / self``."""
    if func is Tensor.__rsub__:
        return binary(torch.sub, other, input)
    return division(torch.div, other, input)


def concatenate(tensors: Sequence[Any], dim: int = 0) -> Operation:
    """Give the rule of ``torch.cat``."""
    if not all(isinstance(tensor, Recorded) for tensor in tensors):
        raise RefusedError("other tensors join the feature maps of the stage in it")
    dim %= tensors[0].ndim
    if dim == 0:
        raise RefusedError("it concatenates samples")

    def run(*parts: Tensor) -> Tensor:
        return torch.cat(parts, dim)

    axes = {tensor.axes for tensor in tensors}
    if len(axes) > 1 or dim in (tensors[0].axes or ()):
        return coupled("it concatenates positions", tuple(tensors), run)
    return Operation(tuple(tensors), run, axes.pop())


def move(func: Any, input: Recorded, *args: Any, **kwargs: Any) -> Operation:
    """Give the rule of an operation that permutes dims; a probe tells where each went."""
    run = partial(_call, func, args, kwargs)
    order = run(torch.empty(tuple(range(2, 2 + input.ndim)), device="meta")).shape
    source = [size - 2 for size in order]
    if source[0] != 0:
        raise RefusedError("it moves the dim of the samples")
    axes = input.axes and tuple(source.index(axis) for axis in input.axes)
    return Operation((input,), run, axes, aliases=True)


def _call(func: Any, args: Any, kwargs: Any, x: Tensor) -> Any:
    return func(x, *args, **kwargs)


def reduce(func: Any, input: Recorded, dim: Any = None, keepdim: bool = False) -> Operation:
    """Give the rule of a sum, mean or the like over dims."""
    dims = {d % input.ndim for d in ((dim,) if isinstance(dim, int) else dim or ())}
    if not dims or 0 in dims:
        raise RefusedError("it couples samples")

    def run(x: Tensor) -> Any:
        return func(x, tuple(dims), keepdim=keepdim)

    if input.axes is None or dims & set(input.axes):
        return coupled("it combines positions", (input,), run)
    axes = tuple(a if keepdim else a - sum(d < a for d in dims) for a in input.axes)
    return Operation((input,), run, axes)


def reshape(input: Recorded, *shape: Any) -> Operation:
    """Give the rule of ``view`` and ``reshape`` where they leave the samples as they are."""
    sizes = list(shape[0] if isinstance(shape[0], list | tuple | torch.Size) else shape)
    per_sample = prod(input.shape[1:])
    if sizes[0] == -1:
        sizes[0] = input.shape[0] if prod(sizes[1:]) == per_sample else 0
    if -1 in sizes[1:]:
        sizes[sizes.index(-1)] = per_sample // max(1, prod(s for s in sizes[1:] if s != -1))
    if sizes[0] != input.shape[0] or prod(sizes[1:]) != per_sample:
        raise RefusedError("it merges samples with other dims")
    tail = tuple(sizes[1:])

    def run(x: Tensor) -> Tensor:
        return x.reshape(len(x), *tail)

    if input.axes is not None and tail == tuple(input.shape[1:]):
        return Operation((input,), run, input.axes, aliases=True)
    return replace(coupled("it merges positions with other dims", (input,), run), aliases=True)


def flatten(input: Recorded, start_dim: int = 0, end_dim: int = -1) -> Operation:
    """Give the rule of ``flatten``."""
    start, end = start_dim % input.ndim, end_dim % input.ndim
    merged = prod(input.shape[start : end + 1])
    return reshape(input, *input.shape[:start], merged, *input.shape[end + 1 :])


def squeeze(input: Recorded, dim: int) -> Operation:
    """Give the rule of ``squeeze``."""
    dim %= input.ndim
    if dim == 0:
        raise RefusedError("it removes the dim of the samples")
    if input.shape[dim] != 1:
        return Operation((input,), lambda x: x, input.axes, aliases=True)
    return reshape(input, *input.shape[:dim], *input.shape[dim + 1 :])


# fmt: off
POINTWISE = (
    "relu", "relu6", "elu", "selu", "celu", "leaky_relu", "gelu", "silu", "mish", "softplus",
    "softsign", "hardtanh", "hardswish", "hardsigmoid", "hardshrink", "softshrink", "tanhshrink",
    "logsigmoid", "tanh", "sigmoid", "clamp", "abs", "neg", "exp", "square", "sin", "cos", "erf",
    "clone",
)
STEEP = ("sqrt", "log")
ALIASES = ("contiguous", "to", "float", "double", "half", "bfloat16", "type")
BINARY = (
    "add", "sub", "subtract", "mul", "multiply", "maximum", "minimum", "__add__", "__radd__",
    "__sub__", "__mul__", "__rmul__",
)
# fmt: on
DIVISIONS = ("div", "divide", "true_divide", "__truediv__")
REVERSED = ("__rsub__", "__rtruediv__")
CONCATENATIONS = ("cat", "concat", "concatenate")

# Operations in which several feature maps may meet; others take one, as their first argument.
JOINING = {*BINARY, *DIVISIONS, *REVERSED, *CONCATENATIONS}

# Rules that need the function that was called.
OF_FUNCTION: dict[str, Rule] = {
    **dict.fromkeys(POINTWISE, pointwise),
    **dict.fromkeys(STEEP, steep),
    **dict.fromkeys(ALIASES, alias),
    **dict.fromkeys(BINARY, binary),
    **dict.fromkeys(DIVISIONS, division),
    **dict.fromkeys(REVERSED, reversed_binary),
    **dict.fromkeys(("movedim", "moveaxis", "permute", "transpose", "swapaxes"), move),
    **dict.fromkeys(("mean", "sum", "amax", "amin"), reduce),
}
REARRANGING: dict[str, Rule] = {
    **dict.fromkeys(CONCATENATIONS, concatenate),
    **dict.fromkeys(("view", "reshape"), reshape),
    "flatten": flatten,
    "squeeze": squeeze,
}
