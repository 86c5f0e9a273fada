"""What the elements of a tensor see of the input, and how every kind of operation changes that.

The arithmetic under :mod:`backdrop.receptive_field`, free of any knowledge of torch's operations.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple


class Span(NamedTuple):
    """Position i along an axis sees the input from i * stride + first to i * stride + last.

    Where no positions are left, i is 0.
    """

    first: int
    last: int
    stride: int

    def moved(self, positions: int, step: int = 1) -> "Span":
        """Count positions from another one, and by ``step``."""
        shift = positions * self.stride
        return Span(self.first + shift, self.last + shift, self.stride * step)

    def widened(self, before: int, after: int) -> "Span":
        """See as many neighbouring positions more on either side."""
        return self._replace(
            first=self.first - before * self.stride, last=self.last + after * self.stride
        )


class Factor(NamedTuple):
    """A factor of a dim's size, and the spatial axis that runs along it (None: none does)."""

    size: int
    axis: int | None


Dim = tuple[Factor, ...]
Shape = Sequence[int]


@dataclass(frozen=True)
class View:
    """The factors of a tensor's dims, and the span of every spatial axis."""

    dims: tuple[Dim, ...]
    spans: tuple[Span, ...]

    def size(self, dim: int) -> int:
        """Give a dim's size."""
        return math.prod(factor.size for factor in self.dims[dim])

    def positions(self, axis: int) -> int | None:
        """Give the number of positions along a spatial axis, None where none are left."""
        return next((f.size for dim in self.dims for f in dim if f.axis == axis), None)

    @property
    def is_map(self) -> bool:
        """Whether the tensor is laid out as (N, C, *spatial), with each axis along its own dim."""
        return [[f.axis for f in dim] for dim in self.dims[2:]] == [
            [i] for i, _ in enumerate(self.spans)
        ]

    def with_dims(self, dims: Iterable[Dim]) -> "View":
        """Give the same spans with other dims."""
        return replace(self, dims=tuple(dims))

    def with_dim(self, dim: int, *new: Dim) -> "View":
        """Put any number of dims in the place of one."""
        dim %= len(self.dims)
        return self.with_dims((*self.dims[:dim], *new, *self.dims[dim + 1 :]))

    def with_span(self, axis: int, span: Span) -> "View":
        """Put another span in the place of one."""
        return replace(self, spans=(*self.spans[:axis], span, *self.spans[axis + 1 :]))


class NoRuleError(Exception):
    """An operation that the arithmetic does not cover, with the reason."""


def whole_input(shape: Shape) -> View:
    """Give the view of an input (N, C, *spatial): every element sees itself."""
    spatial = [(Factor(size, axis),) for axis, size in enumerate(shape[2:])]
    return View((plain(shape[0]), plain(shape[1]), *spatial), (Span(0, 0, 1),) * len(spatial))


def plain(size: int) -> Dim:
    """Give a dim of samples or channels, along which no spatial axis runs."""
    return (Factor(size, None),)


def _sole_axis(dim: Dim) -> int | None:
    """Give the axis that runs along a dim, where it is the dim's only factor."""
    axes = [factor.axis for factor in dim if factor.axis is not None]
    if axes and math.prod(f.size for f in dim if f.axis is None) * len(axes) > 1:
        raise NoRuleError("it acts on positions that were merged with other dims")
    return axes[0] if axes else None


def crop(view: View, dim: int, start: int, size: int, step: int = 1) -> View:
    """Keep ``size`` positions along a dim, from ``start`` on; a negative start pads."""
    axis = _sole_axis(view.dims[dim])
    if axis is not None:
        view = view.with_span(axis, view.spans[axis].moved(start, step))
    return view.with_dim(dim, (Factor(size, axis),))


def contract(view: View, dims: Iterable[int]) -> View:
    """Combine all elements along ``dims``, whose sizes become 1."""
    for dim in dims:
        for size, axis in view.dims[dim]:
            if axis is not None:
                view = view.with_span(axis, view.spans[axis].widened(0, size - 1))
        view = view.with_dim(dim, ())
    return view


def couple(view: View, dim: int) -> View:
    """Let all elements along a dim see each other, as softmax does."""
    for size, axis in view.dims[dim]:
        if axis is not None:
            view = view.with_span(axis, view.spans[axis].widened(size - 1, size - 1))
    return view


def join(views: Sequence[View], shape: Shape, *, gates: bool = False) -> View:
    """Unite views that meet element by element in a tensor of ``shape``.

    With ``gates``, inputs without positions along an axis are taken for factors common to all
    positions, and left out.
    """
    dims = []
    for back in range(-len(shape), 0):
        met = [view.dims[back] for view in views if len(view.dims) >= -back]
        met = [dim for dim in met if math.prod(f.size for f in dim) == shape[back]]
        spatial = {dim for dim in met if any(f.axis is not None for f in dim)}
        if len(spatial) > 1:
            raise NoRuleError("tensors meet in it whose positions run along different dims")
        dims.append(spatial.pop() if spatial else plain(shape[back]))
    spans = tuple(_unite(views, axis, gates=gates) for axis in range(len(views[0].spans)))
    return View(tuple(dims), spans)


def _unite(views: Sequence[View], axis: int, *, gates: bool) -> Span:
    local = [view.spans[axis] for view in views if view.positions(axis) is not None]
    common = [view.spans[axis] for view in views if view.positions(axis) is None]
    if len({span.stride for span in local}) > 1:
        raise NoRuleError(f"strides {sorted({span.stride for span in local})} meet in it")
    if not local:
        local, common = common, []
    first, last = min(s.first for s in local), max(s.last for s in local)
    if common and not gates:
        # Every position sees all of the common part: reach back to it from the last position.
        count = max(view.positions(axis) or 0 for view in views)
        first = min(first, min(s.first for s in common) - (count - 1) * local[0].stride)
        last = max(last, *(s.last for s in common))
    return Span(first, last, local[0].stride)


def concatenate(views: Sequence[View], dim: int, shape: Shape) -> View:
    """Unite views that are put one after another along a dim without positions."""
    dim %= len(shape)
    if any(factor.axis is not None for view in views for factor in view.dims[dim]):
        raise NoRuleError("it concatenates positions")
    return join([view.with_dim(dim, plain(shape[dim])) for view in views], shape)


def multiply(left: View | None, right: View | None, shape: Shape) -> View:
    """Give the view of a matrix product in which one side sees the input."""
    if left is not None and right is None:
        return contract(left, [-1]).with_dim(-1, plain(shape[-1]))
    if right is not None and left is None:
        return contract(right, [-2]).with_dim(-2, plain(shape[-2]))
    raise NoRuleError("both factors of a matrix product see the input, as in attention")


def slide(view: View, shape: Shape, windows: Sequence[tuple[int, int, int, int]]) -> View:
    """Slide windows of (size, stride, padding, dilation) along the last dims."""
    for back, (size, stride, padding, dilation) in enumerate(windows, start=-len(windows)):
        axis = _sole_axis(view.dims[back])
        if axis is not None:
            span = view.spans[axis].widened(padding, dilation * (size - 1) - padding)
            view = view.with_span(axis, span._replace(stride=span.stride * stride))
        view = view.with_dim(back, (Factor(shape[back], axis),))
    return view


def regroup(view: View, shape: Shape) -> View:
    """Distribute the factors, in order, over the dims of a new shape."""
    factors = [f for dim in reversed(view.dims) for f in reversed(dim) if f.size > 1]
    dims: list[Dim] = []
    for wanted in shape:
        dim: list[Factor] = []
        while wanted > 1:
            size, axis = factors.pop()
            part = math.gcd(wanted, size)
            if part == 1 or (part < size and axis is not None):
                raise NoRuleError("it splits positions over several dims")
            if part < size:
                factors.append(Factor(size // part, axis))
            dim.append(Factor(part, axis))
            wanted //= part
        dims.append(tuple(dim))
    return view.with_dims(dims)
