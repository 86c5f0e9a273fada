"""Which of a tensor's dims samples and positions run along, also where dims were merged."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

# The axis of the samples; spatial axes count from 0.
SAMPLES = -1


class Factor(NamedTuple):
    """A factor of a dim's size, and the axis that runs along it (None: channels do)."""

    size: int
    axis: int | None


Dim = tuple[Factor, ...]
Layout = tuple[Dim, ...]
Shape = Sequence[int]


class NoRuleError(Exception):
    """What the rules do not cover, with the reason."""


def whole_input(shape: Shape) -> Layout:
    """Give the layout of (N, C, *spatial)."""
    axes = [SAMPLES, None, *range(len(shape) - 2)]
    return tuple((Factor(size, axis),) for size, axis in zip(shape, axes, strict=False))


def plain(size: int) -> Dim:
    """Give a dim of channels, along which no axis runs."""
    return (Factor(size, None),)


def size_of(dim: Dim) -> int:
    """Give a dim's size."""
    return math.prod(factor.size for factor in dim)


def axes_in(dims: Iterable[Dim]) -> set[int]:
    """Give the axes that run along dims, that of the samples included."""
    return {factor.axis for dim in dims for factor in dim if factor.axis is not None}


def positions(layout: Layout, axis: int) -> int | None:
    """Give the number of positions along an axis, None where none are left."""
    return next((f.size for dim in layout for f in dim if f.axis == axis), None)


def sole_axis(dim: Dim) -> int | None:
    """Give the axis that runs along a dim, where it is the dim's only factor.

    Raises:
        NoRuleError: if others were merged with it.
    """
    axes = [factor.axis for factor in dim if factor.axis is not None]
    if axes and math.prod(f.size for f in dim if f.axis is None) * len(axes) > 1:
        raise NoRuleError("it acts on positions that were merged with other dims")
    return axes[0] if axes else None


def without_positions(layout: Layout) -> Layout:
    """Forget the axes of positions, and keep that of the samples."""
    return tuple(
        tuple(f if f.axis == SAMPLES else Factor(f.size, None) for f in dim) for dim in layout
    )


def replaced(layout: Layout, dim: int, *new: Dim) -> Layout:
    """Put any number of dims in the place of one."""
    dim %= len(layout)
    return (*layout[:dim], *new, *layout[dim + 1 :])


def resized(layout: Layout, dim: int, size: int) -> Layout:
    """Change the size of a dim along which one axis runs, or none."""
    return replaced(layout, dim, (Factor(size, sole_axis(layout[dim])),))


def shape_of(layout: Layout, samples: int, lengths: Mapping[int, int] | None = None) -> list[int]:
    """Give the shape of a tensor with other numbers of samples, and of positions by axis."""
    sizes: dict[int | None, int] = {SAMPLES: samples}
    sizes.update((lengths or {}).items())
    return [math.prod([sizes.get(f.axis, f.size) for f in dim]) for dim in layout]


def regroup(layout: Layout, shape: Shape) -> Layout:
    """Distribute the factors, in order, over the dims of a new shape.

    Raises:
        NoRuleError: if an axis were split over several dims.
    """
    factors = [factor for dim in reversed(layout) for factor in reversed(dim)]
    factors = [f for f in factors if f.size > 1 or f.axis is not None]
    dims: list[Dim] = []
    for wanted in shape:
        dim: list[Factor] = []
        if wanted == 1 and factors and factors[-1].size == 1:
            dim.append(factors.pop())
        while wanted > 1:
            if not factors:
                raise NoRuleError("it gives another number of elements")
            size, axis = factors.pop()
            part = math.gcd(wanted, size)
            if size > 1 and (part == 1 or (part < size and axis is not None)):
                raise NoRuleError("it splits positions over several dims")
            if part < size:
                factors.append(Factor(size // part, axis))
            dim.append(Factor(part, axis))
            wanted //= part
        dims.append(tuple(dim))
    if dims and SAMPLES in axes_in([tuple(factors)]):
        dims[-1] += (Factor(1, SAMPLES),)
    return tuple(dims)
