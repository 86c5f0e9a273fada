"""Rules of what treats every element alone, and of what puts tensors together."""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from backdrop.operations.layout import (
    SAMPLES,
    Dim,
    Layout,
    NoRuleError,
    axes_in,
    plain,
    replaced,
    size_of,
)
from backdrop.operations.operation import Call, Operation, Rule

OF_SAMPLES = "a tensor with values of its own for every sample meets it"
OF_POSITIONS = "a tensor with values of its own for every position meets it"
ONE_FOR_MANY = "one value meets many positions in it"


def pointwise(call: Call) -> Operation:
    """Give the rule of an operation element by element, on one tensor or several."""
    met = meeting([layout for _, layout in call.maps], constants(call))
    fill = 1.0 if call.name in STEEP or _divides(call) or _steep_power(call) else 0.0
    work = 0 if call.name in CASTS else 1
    return replace(met, fill=fill, work=work, gates=call.name in ("mul", "div"))


def constants(call: Call) -> list[Sequence[int]]:
    """Give the shapes of the tensors that do not depend on the input."""
    return [tensor.shape for tensor in call.tensors if call.layout_of(tensor) is None]


def _divides(call: Call) -> bool:
    return call.name == "div" and call.layout_of(call["other"]) is not None


def _steep_power(call: Call) -> bool:
    power = call.get("exponent") if call.name == "pow" else None
    return power is not None and (isinstance(power, Tensor) or (power < 1 and power != 0))


def meeting(maps: Sequence[Layout], others: Sequence[Sequence[int]]) -> Operation:
    """Unite tensors that meet element by element.

    Raises:
        NoRuleError: if their axes run along different dims.
    """
    dims: list[Dim] = []
    couples = mixes = ""
    for back in range(-max(len(shape) for shape in (*maps, *others)), 0):
        met = [layout[back] for layout in maps if len(layout) >= -back]
        large = [dim for dim in met if size_of(dim) > 1 or SAMPLES in axes_in([dim])]
        with_axes = {dim for dim in large or met if axes_in([dim])}
        sizes = [shape[back] for shape in others if len(shape) >= -back and shape[back] != 1]
        if len(with_axes) > 1:
            raise NoRuleError("tensors meet in it whose positions run along different dims")
        dim = with_axes.pop() if with_axes else large[0] if large else (met or [()])[0]
        axes = axes_in([dim])
        if SAMPLES in axes and (sizes or any(other != dim for other in met)):
            mixes = OF_SAMPLES
        elif axes and sizes:
            couples = OF_POSITIONS
        elif axes and any(other != dim for other in met):
            couples = ONE_FOR_MANY
        if sizes and size_of(dim) == 1 and SAMPLES not in axes:
            dim = plain(sizes[0])
        dims.append(dim)
    return Operation(tuple(dims), couples=couples, mixes=mixes)


def concatenated(call: Call) -> Operation:
    """Give the rule of ``cat``."""
    dim = call["dim"] % len(call.maps[0][1])
    return _concatenated(call, [layout for _, layout in call.maps], dim)


def stacked(call: Call) -> Operation:
    """Give the rule of ``stack``."""
    dim = call["dim"] % (len(call.maps[0][1]) + 1)
    return _concatenated(call, [(*x[:dim], (), *x[dim:]) for _, x in call.maps], dim)


def _concatenated(call: Call, maps: Sequence[Layout], dim: int) -> Operation:
    size = call.shape[dim]
    along = axes_in(layout[dim] for layout in maps)
    met = meeting([replaced(layout, dim, plain(size)) for layout in maps], [])
    if len(call.maps) < len(call.tensors):
        mixes = "other tensors join the feature maps of the stage in it"
        met = replace(met, mixes=mixes)
    if SAMPLES in along:
        return replace(met, mixes="it concatenates samples", untraced=True)
    if along:
        return replace(met, couples="it concatenates positions", untraced=True)
    return met


# Pointwise operations that torch does not tag as such.
POINTWISE = {
    "_prelu_kernel", "_to_copy", "alias", "clone", "copy", "fill", "hardswish", "hardtanh",
    "leaky_relu", "lift_fresh", "log_sigmoid_forward", "native_dropout", "rrelu_with_noise",
    "threshold", "zero",
}  # fmt: skip

# Their derivatives are infinite at 0, or they are; outside the map they find 1.
STEEP = {
    "sqrt", "rsqrt", "log", "log2", "log10", "log1p", "reciprocal", "xlogy", "atan2", "acosh",
    "fmod", "remainder", "lgamma", "digamma",
}  # fmt: skip

# What costs nothing that is worth counting.
CASTS = {"_to_copy", "alias"}

# Outputs of these have the shape of the input, or a given one, and none of its values.
VALUE_FREE = {f"{kind}_like" for kind in ("empty", "zeros", "ones", "full", "rand", "randn")}
NEW = {f"new_{kind}" for kind in ("empty", "zeros", "ones", "full")}

RULES: dict[str, Rule] = {
    **dict.fromkeys(POINTWISE | VALUE_FREE, pointwise),
    "cat": concatenated,
    "stack": stacked,
}
