"""A stage: the operations between two masks, as they were recorded, to be run on any part of it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from backdrop.survivors.operation import Operation
from backdrop.survivors.recorded import Axes

# Elements in memory at a time, as far as chunks of samples or patches can keep to it.
CHUNK = {"cpu": 2**22, "default": 2**25}


@dataclass(frozen=True)
class Node:
    """The shape of a feature map for one sample, and the dims (of the batch) with positions."""

    shape: tuple[int, ...]
    axes: Axes | None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Give the numbers of positions along the axes."""
        return tuple(self.shape[axis - 1] for axis in self.axes or ())

    @property
    def numel(self) -> int:
        """Give the number of elements for one sample."""
        return prod(self.shape)


@dataclass(frozen=True)
class Autocast:
    """The state of autocast in which an operation was recorded."""

    device: str
    enabled: bool
    dtype: torch.dtype

    @classmethod
    def current(cls, device: str) -> "Autocast":
        """Give the state that is in force for a type of device."""
        return cls(device, torch.is_autocast_enabled(device), torch.get_autocast_dtype(device))

    def entered(self) -> AbstractContextManager[object]:
        """Give a context in which this state is in force."""
        if self == self.current(self.device):
            return nullcontext()
        return torch.autocast(self.device, self.dtype, self.enabled, cache_enabled=False)


@dataclass(frozen=True)
class Step:
    """An operation of a stage: the numbers of its nodes (≥ 0) and real tensors (~number) or None.

    ``done`` are the nodes that no later step needs.
    """

    operation: Operation
    operands: tuple[int | None, ...]
    output: int
    autocast: Autocast
    name: str
    module: str
    done: tuple[int, ...] = ()

    @property
    def inputs(self) -> list[int]:
        """Give the nodes among the operands."""
        return [i for i in self.operands if i is not None and i >= 0]

    @property
    def taken(self) -> list[int]:
        """Give the real tensors among the operands."""
        return [~i for i in self.operands if i is not None and i < 0]

    def arguments(
        self, values: dict[int, Tensor], tensors: Sequence[Tensor]
    ) -> list[Tensor | None]:
        """Look the operands up."""
        return [None if i is None else values[i] if i >= 0 else tensors[~i] for i in self.operands]


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
    def has_positions(self) -> bool:
        """Say whether the stage can be run on patches."""
        return self.nodes[self.output].axes is not None and self.coupled is None

    def run(self, x: Tensor, tensors: Sequence[Tensor]) -> Tensor:
        """Compute the output from the whole maps of some samples."""
        values = {0: x}
        for step in self.steps:
            with step.autocast.entered():
                values[step.output] = step.operation.run(*step.arguments(values, tensors))
            for node in step.done:
                del values[node]
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
