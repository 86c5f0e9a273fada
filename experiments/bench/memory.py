"""Measures memory: what a graph keeps, and what a step takes at its peak."""

import ctypes
import math
import os
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from experiments.memory import give_back_freed, reset_peak, resident_bytes

SAVED = "saved for the backward pass"
PEAK = "peak of a step"
STEPS = 3

M_MMAP_THRESHOLD, LARGE = -3, 2**17  # glibc's name for its option, and its own value in bytes


def saved_bytes(forward: Callable[[], object]) -> int:
    """Give the bytes that a forward pass keeps for its backward pass, shared storage once."""
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        forward()
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def peak_bytes(step: Callable[[], object], device: str = "cpu") -> float:
    """Give by how much memory in use grows at most during a step, NaN where nothing tells.

    It is the median of a few steps: masks differ, and so does what malloc has at hand. On a CPU it
    is the resident memory of the process, which Linux tells. What earlier steps have freed is given
    back to the system first, and during the step at once: the pools that make steps quick would
    count as in use.
    """
    return statistics.median(_peak_of_one(step, device) for _ in range(STEPS))


def _peak_of_one(step: Callable[[], object], device: str) -> float:
    give_back_freed()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before
    with _without_pools():
        if not reset_peak():
            return math.nan
        before = resident_bytes("VmRSS")
        step()
        return resident_bytes("VmHWM") - before


def high_water_mark() -> float:
    """Give the most memory in bytes that the process has had resident, NaN where nothing tells."""
    try:
        return resident_bytes("VmHWM")
    except OSError:
        return math.nan


@contextmanager
def _without_pools() -> Iterator[None]:
    """Let glibc give large blocks back to the system when they are freed."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        yield
        return
    libc.mallopt(M_MMAP_THRESHOLD, LARGE)
    try:
        yield
    finally:
        kept = int(os.environ.get("MALLOC_MMAP_THRESHOLD_", LARGE))
        libc.mallopt(M_MMAP_THRESHOLD, min(kept, 2**31 - 1))
