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
from typing import NamedTuple, Self

import torch
from torch import Tensor

from backdrop.survivors.recorded import Axes
from backdrop.survivors.stage import Node, Stage, Step


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
        block = block or (1,) * len(stage.nodes[stage.output].axes or ())
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
        out, windows = self.reaches[step.output], step.operation.windows
        if not windows:
            return out
        return tuple(
            Reach(
                reach.first * w.stride - w.padding,
                reach.last * w.stride - w.padding + (w.kernel - 1) * w.dilation,
                reach.stride * w.stride,
            )
            for reach, w in zip(out, windows, strict=True)
        )

    def numel(self, node: int) -> int:
        """Give the number of elements of a node's patch."""
        count = self.stage.nodes[node].numel
        sizes = self.stage.nodes[node].sizes
        for size, reach in zip(sizes, self.reaches[node], strict=True):
            count = count // size * reach.length
        return count

    @property
    def sizes(self) -> list[int]:
        """Give the numbers of elements of all nodes' patches, 0 for those that are not needed."""
        return [self.numel(i) if i in self.reaches else 0 for i in range(len(self.stage.nodes))]

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
        for step in self.stage.steps:
            operation, needed = step.operation, self.needed(step)
            parts = {node: self._part(node, values[node], needed) for node in step.inputs}
            border = positions if step.output in self._filled else None
            if border is not None:
                for node, part in parts.items():
                    source = self.stage.nodes[node]
                    parts[node] = _fill_outside(part, source, needed, border, operation.fill)
            with step.autocast.entered():
                run = operation.on_patches or operation.run
                out = run(*step.arguments(parts, tensors))
            if border is not None and operation.fill:
                # Outside the map a maximum over padding alone is infinite, and would make the
                # gradients of weights 0 · ∞ in what follows.
                to, reaches = self.stage.nodes[step.output], self.reaches[step.output]
                out = _fill_outside(out, to, reaches, border, 0.0)
            values[step.output] = out
            for node in step.done:
                del values[node]
        return values[self.stage.output]

    def _part(self, node: int, value: Tensor, needed: Reaches) -> Tensor:
        axes = self.stage.nodes[node].axes or ()
        for axis, have, want in zip(axes, self.reaches[node], needed, strict=True):
            if want != have:
                value = value.narrow(axis, want.first - have.first, want.length)
        return value


def _fills(stage: Stage, step: Step) -> bool:
    """Say whether a step's input is to be overwritten where it lies outside the map."""
    if not step.operation.windows:
        return step.operation.fill != 0
    before, after = stage.nodes[step.inputs[0]].sizes, stage.nodes[step.output].sizes
    return any(
        w.padding > 0 or (out - 1) * w.stride - w.padding + (w.kernel - 1) * w.dilation >= size
        for size, out, w in zip(before, after, step.operation.windows, strict=True)
    )


def _along(positions: Tensor, reach: Reach) -> Tensor:
    offsets = torch.arange(reach.first, reach.last + 1, device=positions.device)
    return positions[:, None] * reach.stride + offsets


def _fill_outside(
    x: Tensor, node: Node, reaches: Reaches, positions: Tensor, value: float
) -> Tensor:
    """Overwrite what lies outside a node's map in patches of it."""
    axes: Axes = node.axes or ()
    outside = torch.zeros((), dtype=torch.bool, device=x.device)
    for j, (axis, reach, size) in enumerate(zip(axes, reaches, node.sizes, strict=True)):
        place = _along(positions[:, j], reach)
        shape = [1] * x.ndim
        shape[0], shape[axis] = place.shape
        outside = outside | ((place < 0) | (place >= size)).view(shape)
    return x.masked_fill(outside, value)
