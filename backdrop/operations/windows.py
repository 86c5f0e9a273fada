"""Rules of what slides windows over maps: convolution, pooling, padding, slicing, enlarging."""

from collections.abc import Sequence
from fractions import Fraction
from math import prod
from typing import Any

from torch import Tensor

from backdrop.operations.layout import (
    SAMPLES,
    Layout,
    NoRuleError,
    axes_in,
    plain,
    replaced,
    resized,
    size_of,
    sole_axis,
)
from backdrop.operations.operation import Call, Operation, Rule, Window

ENLARGES = "it enlarges maps, so that neighbours see different parts of one position's surroundings"


def _each(value: int | Sequence[int], n: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * n if len(values) == 1 else values


def _slide(layout: Layout, shape: Sequence[int], windows: Sequence[Window]) -> Operation:
    """Slide windows along the last dims, whose sizes become those of ``shape``."""
    seen = {}
    for back, window in enumerate(windows, start=-len(windows)):
        axis = sole_axis(layout[back])
        if axis is not None:
            seen[axis] = window
        layout = resized(layout, back, shape[back])
    mixes = "it slides along the samples" if SAMPLES in seen else ""
    return Operation(layout, seen, mixes=mixes)


def _unpadded(layout: Layout, padding: Sequence[int]) -> list[int]:
    """Give the padding that is left on patches: along dims without positions."""
    n = len(padding)
    return [p if sole_axis(layout[i - n]) is None else 0 for i, p in enumerate(padding)]


def _with(operation: Operation, **fields: Any) -> Operation:
    return Operation(**{**vars(operation), **fields})


def convolution(call: Call) -> Operation:
    """Give the rule of convolutions, transposed ones too."""
    weight, layout = call["weight"], call.first
    kernel = weight.shape[2:]
    n, channels = len(kernel), -1 - len(kernel)
    stride, padding, dilation = (_each(call[k], n) for k in ("stride", "padding", "dilation"))
    gone = axes_in([layout[channels]])
    layout = replaced(layout, channels, plain(call.shape[channels]))
    axes = list(zip(kernel, stride, padding, dilation, strict=True))
    couples, work = "", prod(weight.shape[1:])
    if call["transposed"]:
        within = [d * (k - 1) for k, _, _, d in axes]
        windows = [
            Window(Fraction(p - w, s), Fraction(p, s), Fraction(1, s))
            for w, (_, s, p, _) in zip(within, axes, strict=True)
        ]
        couples = ENLARGES if max(stride) > 1 else ""
        left = {"padding": within, "output_padding": [0] * n}
        work = prod(weight.shape) // weight.shape[1] // call["groups"] // prod(stride)
    else:
        windows = [Window.sliding(*axis) for axis in axes]
        left = {"padding": _unpadded(layout, padding)}
    operation = _slide(layout, call.shape, windows)
    return _with(
        operation,
        on_patches=call.bound(**left),
        work=max(1, work),
        whole=frozenset(gone - {SAMPLES}),
        couples=couples or ("its channels are positions" if gone else ""),
        mixes="it couples samples" if SAMPLES in gone else operation.mixes,
    )


def _pooling(call: Call, n: int) -> tuple[list[tuple[int, int, int, int]], list[int]]:
    kernel = _each(call["kernel_size"], n)
    stride = _each(call["stride"] or kernel, n)
    padding, dilation = _each(call["padding"], n), _each(call.get("dilation", 1), n)
    return list(zip(kernel, stride, padding, dilation, strict=True)), padding


def max_pool(n: int) -> Rule:
    """Give the rule of max pooling over ``n`` dims."""

    def rule(call: Call) -> Operation:
        axes, padding = _pooling(call, n)
        return _with(
            _slide(call.first, call.shape, [Window.sliding(*axis) for axis in axes]),
            on_patches=call.bound(padding=_unpadded(call.first, padding), ceil_mode=False),
            fill=float("-inf"),
            work=prod(axis[0] for axis in axes),
            pools=True,
        )

    return rule


def average_pool(n: int) -> Rule:
    """Give the rule of average pooling over ``n`` dims."""

    def rule(call: Call) -> Operation:
        axes, padding = _pooling(call, n)
        ceil, whole = call["ceil_mode"], call["count_include_pad"]
        changes = ceil or (any(padding) and not whole)
        left = {"padding": _unpadded(call.first, padding), "ceil_mode": False}
        return _with(
            _slide(call.first, call.shape, [Window.sliding(*axis) for axis in axes]),
            on_patches=call.bound(count_include_pad=True, **left),
            couples="its divisor changes at the border (ceil_mode, count_include_pad=False)"
            if changes
            else "",
            work=prod(axis[0] for axis in axes),
            pools=True,
        )

    return rule


def adaptive_pool(n: int) -> Rule:
    """Give the rule of pooling to a given size; even shares are ordinary windows."""

    def rule(call: Call) -> Operation:
        layout, why = call.first, "it pools a share of the map"
        windows = []
        for back in range(-n, 0):
            before, after = size_of(layout[back]), call.shape[back]
            if before % after:
                why = f"it pools {before} positions to {after}, unevenly"
                operation = _slide(layout, call.shape, [Window(0, 0, 1)] * n)
                return _with(operation, untraced=True, couples=why)
            windows.append(Window.sliding(before // after, before // after, 0, 1))
        return _with(_slide(layout, call.shape, windows), couples=why, pools=True)

    return rule


def _sides(call: Call) -> dict[int, tuple[int, int]]:
    """Give what is padded before and after by dim, counted from the last one."""
    pad = call.get("pad") or call.get("padding")
    return {-1 - i: (pad[2 * i], pad[2 * i + 1]) for i in range(len(pad) // 2)}


def _padded(call: Call) -> Operation:
    layout, seen, mixes = call.first, {}, ""
    for dim, (before, after) in _sides(call).items():
        if not (before or after):
            continue
        axis = sole_axis(layout[dim])
        if axis == SAMPLES:
            mixes = "it pads along the samples"
        elif axis is not None:
            seen[axis] = Window(-before, -before, 1)
        layout = resized(layout, dim, call.shape[dim])
    return Operation(layout, seen, mixes=mixes)


def constant_pad(call: Call) -> Operation:
    """Give the rule of padding with a value: one position is seen, shifted."""
    layout = call.first
    left = [
        side if sole_axis(layout[dim]) is None else 0
        for dim, sides in _sides(call).items()
        for side in sides
    ]
    return _with(_padded(call), on_patches=call.bound(pad=left), fill=float(call["value"] or 0.0))


def repeating_pad(call: Call) -> Operation:
    """Give the rule of padding by what lies within."""
    return _with(_padded(call), couples="its padding repeats positions")


def sliced(call: Call) -> Operation:
    """Give the rule of a slice along one dim."""
    layout, dim = call.first, call["dim"] % len(call.first)
    size, step = size_of(layout[dim]), call["step"]
    start, end = (
        default if value is None else min(max(value + size if value < 0 else value, 0), size)
        for value, default in ((call["start"], 0), (call["end"], size))
    )
    if (start, end, step) == (0, size, 1):
        return Operation(layout, run=lambda x: x)
    axis = sole_axis(layout[dim])
    layout = resized(layout, dim, max(0, -(-(end - start) // step)))
    if axis is None:
        return Operation(layout)
    if axis == SAMPLES:
        return Operation(layout, mixes="it takes some of the samples")
    every = (slice(None),) * dim + (slice(None, None, step),)
    return Operation(layout, {axis: Window(start, start, step)}, on_patches=lambda x: x[every])


def selected(call: Call) -> Operation:
    """Give the rule of one index along a dim, which goes."""
    layout, dim = call.first, call["dim"] % len(call.first)
    axis, index = sole_axis(layout[dim]), call["index"] % size_of(layout[dim])
    rest = replaced(layout, dim)
    if axis is None:
        return Operation(rest)
    if axis == SAMPLES:
        return Operation(rest, mixes="it takes some of the samples")
    return Operation(rest, {axis: Window(index, index, 1)}, couples="it takes single positions")


def pixel_shuffle(call: Call) -> Operation:
    """Give the rule of channels that become neighbouring positions."""
    r, layout = call["upscale_factor"], call.first
    layout = replaced(layout, -3, plain(call.shape[-3]))
    window = Window(Fraction(1 - r, r), 0, Fraction(1, r))
    return _with(_slide(layout, call.shape, [window] * 2), couples=ENLARGES)


def pixel_unshuffle(call: Call) -> Operation:
    """Give the rule of neighbouring positions that become channels."""
    r, layout = call["downscale_factor"], call.first
    *_, channels, height, width = (size_of(dim) for dim in layout)
    layout = replaced(layout, -3, plain(channels * r * r))
    shape = height // r, width // r

    def run(x: Tensor) -> Tensor:  # torch gives another shape to a batch without samples
        n, c, h, w = x.shape
        apart = x.reshape(n, c, h // r, r, w // r, r).permute(0, 1, 3, 5, 2, 4)
        return apart.reshape(n, c * r * r, h // r, w // r)

    return _with(_slide(layout, shape, [Window.sliding(r, r, 0, 1)] * 2), run=run)


def upsample(n: int, taps: int) -> Rule:
    """Give the rule of interpolation over ``n`` dims with ``taps`` values along each."""

    def rule(call: Call) -> Operation:
        layout, windows, uneven = call.first, [], bool(call.get("align_corners"))
        for back in range(-n, 0):
            before, after = size_of(layout[back]), call.shape[back]
            s = after // before
            uneven = uneven or after % before > 0
            windows.append(_interpolated(s, taps) if s > 1 else Window(0, 0, 1))
        operation = _slide(layout, call.shape, windows)
        if uneven:
            why = "it interpolates between positions at uneven distances"
            return _with(operation, untraced=True, couples=why)
        return _with(operation, couples=ENLARGES)

    return rule


def _interpolated(s: int, taps: int) -> Window:
    """Give what is seen where a map is enlarged ``s``-fold."""
    if taps == 1:
        return Window(Fraction(1 - s, s), 0, Fraction(1, s))
    centre = Fraction(1 - s, 2 * s)
    # The nearest position that lies strictly within taps / 2 of the place that is looked up.
    within = Fraction(taps, 2) - (Fraction(1, s) if s % 2 else Fraction(1, 2 * s))
    return Window(centre - within, centre + within, Fraction(1, s))


def gated_linear(call: Call) -> Operation:
    """Give the rule of ``glu``: half of a dim's channels gate the other half."""
    layout, dim = call.first, call["dim"]
    if sole_axis(layout[dim]) is not None:
        raise NoRuleError("it gates some positions by others")
    return Operation(replaced(layout, dim, plain(size_of(layout[dim]) // 2)))


RULES: dict[str, Rule] = {
    "convolution": convolution,
    **{f"max_pool{n}d_with_indices": max_pool(n) for n in (2, 3)},
    **{f"avg_pool{n}d": average_pool(n) for n in (1, 2, 3)},
    **{f"_adaptive_avg_pool{n}d": adaptive_pool(n) for n in (2, 3)},
    **{f"adaptive_max_pool{n}d": adaptive_pool(n) for n in (2, 3)},
    **{f"{kind}_pad{n}d": repeating_pad
       for kind in ("reflection", "replication") for n in (1, 2, 3)},
    "constant_pad_nd": constant_pad,
    "slice": sliced,
    "select": selected,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    **{f"{kind}{n}d": upsample(n, 1)
       for kind in ("upsample_nearest", "_upsample_nearest_exact") for n in (1, 2, 3)},
    "upsample_linear1d": upsample(1, 2),
    "upsample_bilinear2d": upsample(2, 2),
    "upsample_trilinear3d": upsample(3, 2),
    "upsample_bicubic2d": upsample(2, 4),
    "glu": gated_linear,
}  # fmt: skip
