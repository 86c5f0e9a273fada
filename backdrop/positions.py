"""What the elements of a tensor see of the input: the arithmetic under receptive fields."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from backdrop.operations.layout import (
    Layout,
    NoRuleError,
    Shape,
    positions,
    replaced,
    whole_input,
)
from backdrop.operations.operation import Number, Operation, Window


class Span(NamedTuple):
    """Position i along an axis sees the input from i * stride + first to i * stride + last.

    Where no positions are left, i is 0. Of enlarged maps these may be fractions.
    """

    first: Number
    last: Number
    stride: Number

    def through(self, window: Window) -> "Span":
        """Give what is seen of the input by what sees this through a window."""
        return Span(
            self.first + window.first * self.stride,
            self.last + window.last * self.stride,
            self.stride * window.stride,
        )


@dataclass(frozen=True)
class View:
    """The layout of a tensor, and the span of every spatial axis."""

    layout: Layout
    spans: tuple[Span, ...]

    def positions(self, axis: int) -> int | None:
        """Give the number of positions along a spatial axis, None where none are left."""
        return positions(self.layout, axis)

    @property
    def is_map(self) -> bool:
        """Whether the tensor is laid out as (N, C, *spatial), with each axis along its own dim."""
        return [[f.axis for f in dim] for dim in self.layout[2:]] == [
            [i] for i, _ in enumerate(self.spans)
        ]


def view_of_input(shape: Shape) -> View:
    """Give the view of an input (N, C, *spatial): every element sees itself."""
    return View(whole_input(shape), (Span(0, 0, 1),) * (len(shape) - 2))


def view_through(operation: Operation, views: Sequence[View]) -> View:
    """Give the view of what an operation makes of tensors that see the input.

    Raises:
        NoRuleError: if it is not known what its output sees, or strides differ.
    """
    if operation.untraced:
        raise NoRuleError(operation.couples or operation.mixes)
    layout = operation.layout
    if operation.pools:  # Pooled to a single value: no positions are left.
        for dim, factors in enumerate(layout):
            if [f.size for f in factors if (f.axis or 0) >= 0 and f.axis is not None] == [1]:
                layout = replaced(layout, dim, ())
    axes = range(len(views[0].spans))
    spans = tuple(_seen(operation, views, axis) for axis in axes)
    return View(layout, spans)


def _seen(operation: Operation, views: Sequence[View], axis: int) -> Span:
    whole, left = axis in operation.whole, positions(operation.layout, axis) is not None
    window = operation.windows.get(axis, Window(0, 0, 1))
    local: list[Span] = []
    common: list[Span] = []
    for view in views:
        count = view.positions(axis)
        if whole and count is not None:
            window = Window(1 - count if left else 0, count - 1, 1)
        (common if count is None else local).append(view.spans[axis].through(window))
    if len({span.stride for span in local}) > 1:
        strides = ", ".join(sorted({str(span.stride) for span in local}))
        raise NoRuleError(f"strides [{strides}] meet in it")
    if not local:
        local, common = common, []
    first, last = min(s.first for s in local), max(s.last for s in local)
    if common and not operation.gates:
        # Every position sees all of the common part: reach back to it from the last position.
        most = max(view.positions(axis) or 0 for view in views)
        first = min(first, min(s.first for s in common) - (most - 1) * local[0].stride)
        last = max(last, *(s.last for s in common))
    return Span(first, last, local[0].stride)
