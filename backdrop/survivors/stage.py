"""A stage: the operations between two masks, as they were recorded, to be run on any part of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from backdrop.operations.layout import (
    SAMPLES,
    Layout,
    axes_in,
    positions,
    shape_of,
    size_of,
)
from backdrop.operations.operation import Operation

# Elements in memory at a time, as far as chunks of samples or patches can keep to it.
CHUNK = {"cpu": 2**22, "default": 2**25}


@dataclass(frozen=True)
class Node:
    """What is known of one result: its layout for the whole batch, and how many axes it may have.

    Attributes:
        axes: the dims (of the batch) along which positions run, by axis; None if they were merged
            with other dims, or are gone.
    """

    layout: Layout
    count: int

    @cached_property
    def axes(self) -> tuple[int, ...] | None:
        """Give the dims along which positions run."""
        found = [
            [i for i, dim in enumerate(self.layout) if axes_in([dim]) == {axis}]
            for axis in range(self.count)
        ]
        alone = all(
            len(dims) == 1 and size_of(self.layout[dims[0]]) == positions(self.layout, axis)
            for axis, dims in enumerate(found)
        )
        return tuple(dims[0] for dims in found) if alone else None

    @property
    def starts_with_samples(self) -> bool:
        """Say whether the first dim is that of the samples, and of nothing else."""
        return bool(self.layout) and [f.axis for f in self.layout[0]] == [SAMPLES]

    @property
    def is_map(self) -> bool:
        """Say whether it is laid out as (N, C, *spatial)."""
        return self.starts_with_samples and self.axes == tuple(range(2, len(self.layout)))

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Give the numbers of positions along the axes; 1 where none are left."""
        return tuple(positions(self.layout, axis) or 1 for axis in range(self.count))

    @cached_property
    def numel(self) -> int:
        """Give the number of elements for one sample."""
        return self.elements({})

    def elements(self, lengths: Mapping[int, int]) -> int:
        """Give the number of elements for one sample with other numbers of positions."""
        count = 1
        for size in shape_of(self.layout, 1, lengths):
            count *= size
        return count


@dataclass(frozen=True)
class Step:
    """An operation of a stage: the numbers of its nodes (≥ 0) and of its real tensors (~number).

    Attributes:
        run: computes the output from whole samples.
        on_patches: computes it from patches.
        out_of_place: what both do without changing their first operand; None if they change none.
        done: the nodes that no later step needs.
    """

    operation: Operation
    run: Callable[..., Any]
    on_patches: Callable[..., Any]
    operands: tuple[int, ...]
    output: int
    name: str
    module: str
    out_of_place: Callable[..., Any] | None = None
    done: tuple[int, ...] = ()

    @cached_property
    def inputs(self) -> list[int]:
        """Give the nodes among the operands."""
        return [i for i in self.operands if i >= 0]

    @cached_property
    def taken(self) -> list[int]:
        """Give the real tensors among the operands."""
        return [~i for i in self.operands if i < 0]

    def apply(
        self,
        run: Callable[..., Any],
        values: Mapping[int, Tensor],
        tensors: Sequence[Tensor],
        shape: Callable[[], list[int]],
    ) -> Tensor:
        """Compute the output by ``run`` from the operands; ``shape`` gives its shape."""
        operands = [values[i] if i >= 0 else tensors[~i] for i in self.operands]
        out = run(*operands, shape()) if self.operation.shaped else run(*operands)
        result: Tensor = out[0] if isinstance(out, tuple) else out
        return result


def freeing(steps: Sequence[Step], kept: Iterable[int]) -> tuple[Step, ...]:
    """Note at each step which nodes no later one needs, nor who asked for ``kept``."""
    needed, found = set(kept), list[Step]()
    for step in reversed(steps):
        found.append(replace(step, done=tuple({*step.inputs, step.output} - needed)))
        needed |= set(step.inputs)
    return tuple(reversed(found))


def run_steps(
    steps: Sequence[Step],
    nodes: Sequence[Node],
    values: dict[int, Tensor],
    tensors: Sequence[Tensor],
    samples: int,
) -> None:
    """Add the outputs of steps to the ``values`` of nodes, and take those out that are done."""
    for step in steps:
        layout = nodes[step.output].layout
        values[step.output] = step.apply(
            step.run, values, tensors, lambda layout=layout: shape_of(layout, samples)  # type: ignore[misc]
        )  # fmt: skip
        for node in step.done:
            del values[node]


@dataclass(frozen=True)
class Stage:
    """The operations from one mask, or the model's input, to the next mask, in order.

    Node 0 is the input. The real tensors that the operations take (weights, statistics) are given
    to every run, so that a gradient can be taken with respect to any version of them.
    """

    nodes: tuple[Node, ...]
    steps: tuple[Step, ...]
    output: int

    @property
    def coupled(self) -> Step | None:
        """Give the first step that cannot be run on patches."""
        return next((step for step in self.steps if step.operation.couples), None)

    @property
    def merging(self) -> Step | None:
        """Give the last step after which positions have no dims of their own any more."""
        lost = (step for step in reversed(self.steps) if self._loses(step))
        return next(lost, None)

    def _loses(self, step: Step) -> bool:
        before = any(self.nodes[node].axes is not None for node in step.inputs)
        return before and self.nodes[step.output].axes is None

    @property
    def has_positions(self) -> bool:
        """Say whether the stage can be run on patches."""
        maps = self.nodes[0].is_map and self.nodes[self.output].axes is not None
        return maps and self.coupled is None

    def run(self, x: Tensor, tensors: Sequence[Tensor]) -> Tensor:
        """Compute the output from the whole maps of some samples."""
        values = {0: x}
        with without_autocast(x.device.type):
            run_steps(self.steps, self.nodes, values, tensors, len(x))
        return values[self.output]

    def run_in_chunks(self, x: Tensor, tensors: Sequence[Tensor]) -> Tensor:
        """Do the same a few samples at a time: without a graph, little memory is needed."""
        size = self.chunk(max(self.nodes[step.output].numel for step in self.steps), x.device)
        parts = [self.run(part, tensors) for part in x.split(size)]  # type: ignore[no-untyped-call]
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    @staticmethod
    def chunk(numel: int, device: torch.device) -> int:
        """Give how many parts of ``numel`` elements make a chunk."""
        return max(1, CHUNK.get(device.type, CHUNK["default"]) // max(1, numel))


def without_autocast(device: str) -> AbstractContextManager[Any]:
    """Give a context without autocast, whose casts were recorded like other operations."""
    if not torch.is_autocast_enabled(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)
