"""Runs a stage on bands of its output, where a feature map of one sample is too large to be whole.

A band is a block of output positions: some along the first axis and all along the others. With its
receptive field, which overlaps those of its neighbours, it is run like the patch of one position.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from backdrop.survivors.patches import Patches
from backdrop.survivors.stage import Stage

# Elements in memory at a time, as far as bands of one position can keep to it.
BAND = {"cpu": 2**24, "default": 2**28}


class Band(NamedTuple):
    """A block of output positions, by its place along the first axis.

    Attributes:
        start: its first position.
        overlap: how many of its positions the band before holds too.
        first, length: the part of the input that it sees, from ``first`` on.
        outside: how far it looks beyond that part on both sides.
    """

    start: int
    overlap: int
    first: int
    length: int
    outside: tuple[int, int]


class Bands:
    """The bands of a stage that can be run on patches.

    Args:
        stage: the stage.
        elements: those of one sample that are in memory at a time.
        device: whose memory bounds the bands.
    """

    def __init__(self, stage: Stage, elements: int, device: torch.device) -> None:
        self.size, *across = stage.nodes[stage.output].sizes
        most = BAND.get(device.type, BAND["default"])
        self.rows = max(1, min(self.size, self.size * most // max(1, elements)))
        self.axis = (stage.nodes[stage.output].axes or ())[0]
        self._patches = Patches(stage, (self.rows, *across))

    def __iter__(self) -> Iterator[Band]:
        """Give the bands in order; the last one is as long as the others, and overlaps."""
        reach, size = self._patches.reaches[0][0], self._patches.stage.nodes[0].sizes[0]
        for next_row in range(0, self.size, self.rows):
            start = min(next_row, self.size - self.rows)
            low = start * reach.stride + reach.first
            first, end = (min(max(row, 0), size) for row in (low, low + reach.length))
            before = min(max(-low, 0), reach.length)
            outside = before, reach.length - before - (end - first)
            yield Band(start, next_row - start, first, end - first, outside)

    def run(self, band: Band, part: Tensor, tensors: Sequence[Tensor]) -> Tensor:
        """Compute a band of the output (n, …) from the ``part`` of the input that it sees."""
        across = zip(self._patches.reaches[0][1:], part.shape[3:], strict=True)
        sides = [band.outside, *((-r.first, r.first + r.length - size) for r, size in across)]
        x = F.pad(part, [side for pair in reversed(sides) for side in pair])
        start = torch.zeros(len(x), len(sides), dtype=torch.long, device=x.device)
        start[:, 0] = band.start
        return self._patches.run(x, tensors, start)


def run_without_graph(
    stage: Stage, patches: Patches | None, x: Tensor, tensors: Sequence[Tensor]
) -> Tensor:
    """Compute the output of a stage (N, …), as much of it at a time as there is room for."""
    largest = max(stage.nodes[step.output].numel for step in stage.steps)
    if patches is None or not too_large(largest, x.device):
        return stage.run_in_chunks(x, tensors)
    bands = Bands(stage, largest, x.device)
    return torch.cat([_in_bands(bands, sample, tensors) for sample in x.split(1)])  # type: ignore[no-untyped-call]


def too_large(elements: int, device: torch.device) -> bool:
    """Say whether so many elements of one sample call for bands."""
    return elements > BAND.get(device.type, BAND["default"])


def _in_bands(bands: Bands, x: Tensor, tensors: Sequence[Tensor]) -> Tensor:
    parts = []
    for band in bands:
        y = bands.run(band, x.narrow(2, band.first, band.length), tensors)
        parts.append(y.narrow(bands.axis, band.overlap, bands.rows - band.overlap))
    return torch.cat(parts, bands.axis)
