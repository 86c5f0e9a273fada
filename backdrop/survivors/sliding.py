"""Operations that slide windows over a map: convolutions, poolings and padding."""

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from backdrop.survivors.operation import Operation, RefusedError, Run, Window, coupled
from backdrop.survivors.recorded import Recorded


def _slide(
    operands: tuple[Any, ...], run: Run, valid: Run, windows: Sequence[Window], **rest: Any
) -> Operation:
    """Give an operation that slides windows along dims 2 and above."""
    axes = tuple(range(2, 2 + len(windows)))
    if operands[0].ndim != 2 + len(windows):
        raise RefusedError("its input is not a batch (N, C, *spatial)")
    if operands[0].axes != axes:
        return coupled("it slides along other dims than positions", operands, run)
    return Operation(operands, run, axes, tuple(windows), valid, **rest)


def _each(value: Any, n: int) -> Sequence[int]:
    """Give a size for each of ``n`` axes, from a common one or a sequence."""
    sizes = tuple(value) if isinstance(value, list | tuple) else (value,)
    return sizes * n if len(sizes) == 1 else sizes


def convolution(n: int) -> Callable[..., Operation]:
    """Give the rule of ``F.conv<n>d``."""
    function = (F.conv1d, F.conv2d, F.conv3d)[n - 1]

    def rule(
        input: Recorded,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Operation:
        kernel, strides, dilations = weight.shape[2:], _each(stride, n), _each(dilation, n)
        if padding == "same":
            before = [d * (k - 1) // 2 for k, d in zip(kernel, dilations, strict=True)]
        else:
            before = list(_each(0 if padding == "valid" else padding, n))

        def run(x: Tensor, w: Tensor, b: Tensor | None, padding: Any = padding) -> Tensor:
            return function(x, w, b, stride, padding, dilation, groups)

        return _slide(
            (input, weight, bias),
            run,
            partial(run, padding=0),
            [Window(*axis) for axis in zip(kernel, strides, before, dilations, strict=True)],
            work=prod(weight.shape[1:]),
        )

    return rule


def max_pool(n: int) -> Callable[..., Operation]:
    """Give the rule of ``F.max_pool<n>d``."""
    function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[n - 1]

    def rule(
        input: Recorded,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Operation:
        if return_indices:
            raise RefusedError("it returns indices")
        stride = stride or kernel_size
        sizes = (_each(value, n) for value in (kernel_size, stride, padding, dilation))
        return _slide(
            (input,),
            lambda x: function(x, kernel_size, stride, padding, dilation, ceil_mode),
            lambda x: function(x, kernel_size, stride, 0, dilation),
            [Window(*axis) for axis in zip(*sizes, strict=True)],
            fill=-torch.inf,
            work=prod(_each(kernel_size, n)),
        )

    return rule


def average_pool(n: int) -> Callable[..., Operation]:
    """Give the rule of ``F.avg_pool<n>d``."""
    function: Any = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[n - 1]

    def rule(
        input: Recorded,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Operation:
        stride = stride or kernel_size
        sizes = (_each(value, n) for value in (kernel_size, stride, padding, 1))
        windows = [Window(*axis) for axis in zip(*sizes, strict=True)]
        divisor = () if divisor_override is None else (divisor_override,)

        def run(x: Tensor) -> Tensor:
            counts = ceil_mode, count_include_pad
            return function(x, kernel_size, stride, padding, *counts, *divisor)  # type: ignore[no-any-return]

        if ceil_mode or (any(w.padding for w in windows) and not count_include_pad):
            why = "its divisor changes at the border (ceil_mode, count_include_pad=False)"
            return coupled(why, (input,), run)
        return _slide(
            (input,),
            run,
            lambda x: function(x, kernel_size, stride, 0, False, True, *divisor),
            windows,
            work=prod(w.kernel for w in windows),
        )

    return rule


def pad(
    input: Recorded, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Operation:
    """Give the rule of ``F.pad``: zero padding sees one position, shifted."""
    run = partial(F.pad, pad=tuple(pad), mode=mode, value=value)
    # Sides are given from the last dim backwards.
    sides = dict(zip(reversed(range(input.ndim)), zip(pad[::2], pad[1::2], strict=True)))  # noqa: B905
    if any(sides.get(0, (0, 0))):
        raise RefusedError("it pads along the samples")
    if mode != "constant":
        return coupled(f"padding mode {mode!r} repeats positions", (input,), run)
    axes = input.axes
    if axes is None or any(any(side) for dim, side in sides.items() if dim not in axes):
        return coupled("it pads along other dims than positions", (input,), run)
    windows = [Window(1, 1, sides.get(axis, (0, 0))[0], 1) for axis in axes]
    # On patches nothing is left to do: a copy, so that in-place operations may follow.
    return Operation((input,), run, axes, tuple(windows), torch.clone, fill=value or 0.0)


def adaptive_pool(function: Any) -> Callable[..., Operation]:
    """Give the rule of an adaptive pooling, whose windows are no fixed size."""

    def rule(input: Recorded, output_size: Any, return_indices: bool = False) -> Operation:
        if return_indices:
            raise RefusedError("it returns indices")
        return coupled("it pools a share of the map", (input,), lambda x: function(x, output_size))

    return rule


SLIDING: dict[str, Callable[..., Operation]] = {
    "pad": pad,
    **{f"conv{n}d": convolution(n) for n in (1, 2, 3)},
    **{f"max_pool{n}d": max_pool(n) for n in (1, 2, 3)},
    **{f"avg_pool{n}d": average_pool(n) for n in (1, 2, 3)},
    **{
        f"adaptive_{kind}_pool{n}d": adaptive_pool(getattr(F, f"adaptive_{kind}_pool{n}d"))
        for kind in ("avg", "max")
        for n in (1, 2, 3)
    },
}
