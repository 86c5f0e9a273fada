"""What a stage needs to know of an operation: how to run it, and what each output sees."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from backdrop.survivors.recorded import Axes

Run = Callable[..., Tensor]


class RefusedError(Exception):
    """An operation that a stage cannot hold, with the reason."""


class Window(NamedTuple):
    """What output o sees along one axis: o · stride − padding + i · dilation, 0 ≤ i < kernel."""

    kernel: int
    stride: int
    padding: int
    dilation: int


@dataclass(frozen=True)
class Operation:
    """An operation on tensors, with its constants bound, to be run on any batch.

    Attributes:
        operands: its tensors, recorded or real, in the order in which ``run`` takes them.
        run: computes the output from whole maps.
        axes: the dims of the output along which positions run; None if they are merged.
        windows: for each axis; none if every position sees itself alone.
        on_patches: computes the output from patches, without padding; None if ``run`` does.
        fill: what is written over that part of a patch of its inputs that lies outside the map: the
            value that it pads with, or one at which its derivative is finite.
        work: multiply-adds for one element of the output.
        aliases: whether the output may share the memory of the input.
        couples: why it cannot be run on patches; empty if it can.
    """

    operands: tuple[Any, ...]
    run: Run
    axes: Axes | None
    windows: tuple[Window, ...] = ()
    on_patches: Run | None = None
    fill: float = 0.0
    work: int = 1
    aliases: bool = False
    couples: str = ""


def coupled(why: str, operands: tuple[Any, ...], run: Run, work: int = 1) -> Operation:
    """Give an operation that merges positions, or lets them see each other."""
    return Operation(operands, run, axes=None, couples=why, work=work)
