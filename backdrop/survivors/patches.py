"""Runs a stage on the receptive fields of single output positions, or of blocks of them.

Position o of the output needs, of each node along each axis, the positions from o · stride + first
to o · stride + last (of a branching stage, the smallest interval that all branches lie in). Cut out
at the input, these patches pass through the stage without padding, to one position each. Where they
reach beyond the map, every operation that pads finds its padding value written over what lies
outside, so that the border is exact. What passes through the other operations there is dropped by
the next padding; those whose derivative is infinite at 0 find a harmless value, so that no 0 · ∞
spoils the gradients of weights.
"""

from collections.abc import Sequence
from functools import cached_property, partial
from typing import NamedTuple, Self

import torch
from torch import Tensor

from backdrop.operations.layout import SAMPLES, plain, shape_of
from backdrop.operations.operation import Window
from backdrop.survivors.stage import Node, Stage, Step, without_autocast


class Reach(NamedTuple):
    """What output o needs of a node along one axis: o · stride + first to o · stride + last."""

    first: int
    last: int
    stride: int

    @property
    def length(self) -> int:
        """Give the number of positions."""
        return self.last - self.first + 1

    def united(self, other: Self) -> "Reach":
        """Give the smallest interval that holds both."""
        return Reach(min(self.first, other.first), max(self.last, other.last), self.stride)


Reaches = tuple[Reach, ...]


class UnequalStridesError(Exception):
    """Branches of a stage meet at different strides."""


class Patches:
    """The patches of a stage whose operations can be run on them.

    Args:
        stage: the stage.
        block: the positions that make a block along each axis, by default 1; a block's position is
            that of its first one.

    Attributes:
        reaches: what one output position, or block, needs of each node, for each axis.

    Raises:
        UnequalStridesError: where branches with different strides meet, as on maps of one position.
    """

    def __init__(self, stage: Stage, block: Sequence[int] | None = None) -> None:
        self.stage = stage
        self._filled = {step.output for step in stage.steps if _fills(stage, step)}
        self._needed: dict[int, Reaches] = {}
        block = block or (1,) * stage.nodes[stage.output].count
        self.reaches: dict[int, Reaches] = {
            stage.output: tuple(Reach(0, length - 1, 1) for length in block)
        }
        for step in reversed(stage.steps):
            needed = self.needed(step)
            for node in step.inputs:
                before = self.reaches.get(node, needed)
                if any(a.stride != b.stride for a, b in zip(before, needed, strict=True)):
                    raise UnequalStridesError
                self.reaches[node] = tuple(a.united(b) for a, b in zip(before, needed, strict=True))

    def needed(self, step: Step) -> Reaches:
        """Give what one output position needs of the inputs of a step."""
        if step.output not in self._needed:
            self._needed[step.output] = tuple(
                _through(reach, step.operation.windows.get(axis))
                for axis, reach in enumerate(self.reaches[step.output])
            )
        return self._needed[step.output]

    def numel(self, node: int) -> int:
        """Give the number of elements of a node's patch, 0 if it is not needed."""
        return self.sizes[node]

    @cached_property
    def sizes(self) -> list[int]:
        """Give the numbers of elements of all nodes' patches, 0 for those that are not needed."""
        return [
            node.elements(_lengths(self.reaches[i])) if i in self.reaches else 0
            for i, node in enumerate(self.stage.nodes)
        ]

    def inside(self, positions: Tensor) -> Tensor:
        """Say which output positions (n, axes) have patches of which nothing is overwritten."""
        inside = torch.ones(len(positions), dtype=torch.bool, device=positions.device)
        for step in self.stage.steps:
            if step.output in self._filled:
                sizes = self.stage.nodes[step.inputs[0]].sizes
                for axis, (reach, size) in enumerate(zip(self.needed(step), sizes, strict=True)):
                    start = positions[:, axis] * reach.stride
                    inside &= (start + reach.first >= 0) & (start + reach.last < size)
        return inside

    def indices(self, positions: Tensor) -> list[Tensor]:
        """Give the indices of the patches in the stage's input, (n, length) for each axis.

        Those beyond the border are moved onto it: what they show is overwritten, and without
        gradient.
        """
        sizes = self.stage.nodes[0].sizes
        return [
            _along(positions[:, axis], reach).clamp_(0, size - 1)
            for axis, (reach, size) in enumerate(zip(self.reaches[0], sizes, strict=True))
        ]

    def run(self, x: Tensor, tensors: Sequence[Tensor], positions: Tensor | None) -> Tensor:
        """Compute the stage's output (n, …, 1, …) at single positions, or in blocks.

        Args:
            x: patches of the stage's input (n, C, *lengths).
            tensors: the real tensors that the operations take.
            positions: those of the output, (n, axes); None if nothing is to be overwritten.
        """
        values = {0: x}
        with without_autocast(x.device.type):
            for step in self.stage.steps:
                values[step.output] = self._run_step(step, values, tensors, positions, len(x))
                for node in step.done:
                    del values[node]
        return values[self.stage.output]

    def _run_step(
        self,
        step: Step,
        values: dict[int, Tensor],
        tensors: Sequence[Tensor],
        positions: Tensor | None,
        samples: int,
    ) -> Tensor:
        needed, nodes, fill = self.needed(step), self.stage.nodes, step.operation.fill
        border = positions if step.output in self._filled else None
        parts = {}
        for i in step.inputs:
            parts[i] = _cut(nodes[i], values[i], self.reaches[i], needed, samples)
            if border is not None:
                parts[i] = _fill_outside(parts[i], nodes[i], needed, border, fill)
        to, reaches = nodes[step.output], self.reaches[step.output]
        shape = partial(shape_of, to.layout, samples, _lengths(reaches))
        out = step.apply(step.on_patches, parts, tensors, shape)
        if border is not None and fill:
            # Outside the map a maximum over padding alone is infinite, and would make the
            # gradients of weights 0 · ∞ in what follows.
            out = _fill_outside(out, to, reaches, border, 0.0)
        return out


def _through(reach: Reach, window: Window | None) -> Reach:
    """Give what is needed of the input of an operation that slides a window."""
    if window is None:
        return reach
    first, last, stride = (int(number) for number in window)
    return Reach(reach.first * stride + first, reach.last * stride + last, reach.stride * stride)


def _lengths(reaches: Reaches) -> dict[int, int]:
    return {axis: reach.length for axis, reach in enumerate(reaches)}


def _fills(stage: Stage, step: Step) -> bool:
    """Say whether a step's input is to be overwritten where it lies outside the map."""
    if not step.operation.windows:
        return step.operation.fill != 0
    before, after = stage.nodes[step.inputs[0]].sizes, stage.nodes[step.output].sizes
    return any(
        w.first < 0 or (after[axis] - 1) * w.stride + w.last >= before[axis]
        for axis, w in step.operation.windows.items()
    )


def _along(positions: Tensor, reach: Reach) -> Tensor:
    offsets = torch.arange(reach.first, reach.last + 1, device=positions.device)
    return positions[:, None] * reach.stride + offsets


def _apart(node: Node, samples: int, reaches: Reaches) -> tuple[list[int], list[int]]:
    """Give a patch's shape where merged dims are taken apart, and the dims of samples and axes."""
    factors = [factor for dim in node.layout for factor in dim or plain(1)]
    shape = shape_of(tuple((factor,) for factor in factors), samples, _lengths(reaches))
    along = [factor.axis for factor in factors]
    return shape, [along.index(axis) for axis in (SAMPLES, *range(len(reaches)))]


def _cut(node: Node, value: Tensor, have: Reaches, want: Reaches, samples: int) -> Tensor:
    """Cut the part that an operation needs out of a patch."""
    if want == have:
        return value
    shape, (_, *axes) = _apart(node, samples, have)
    part = value.reshape(shape)
    for axis, a, b in zip(axes, have, want, strict=True):
        part = part.narrow(axis, b.first - a.first, b.length)
    return part.reshape(shape_of(node.layout, samples, _lengths(want)))


def _fill_outside(
    x: Tensor, node: Node, reaches: Reaches, positions: Tensor, value: float
) -> Tensor:
    """Overwrite what lies outside a node's map in patches of it."""
    apart, (samples, *axes) = _apart(node, len(positions), reaches)
    outside = torch.zeros((), dtype=torch.bool, device=x.device)
    for j, (reach, size) in enumerate(zip(reaches, node.sizes, strict=True)):
        place = _along(positions[:, j], reach)
        shape = [1] * len(apart)
        shape[samples], shape[axes[j]] = place.shape
        beyond = (place < 0) | (place >= size)
        outside = outside | (beyond if samples < axes[j] else beyond.T).reshape(shape)
    return x.reshape(apart).masked_fill(outside, value).reshape(x.shape)
