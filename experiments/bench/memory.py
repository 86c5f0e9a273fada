"""Measures memory: what a graph keeps, and what a step takes at its peak."""

import ctypes
import gc
import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

SAVED = "saved for the backward pass"
PEAK = "peak of a step"


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

    On a CPU it is the resident memory of the process, which Linux tells; what earlier steps have
    freed is given back to the system first.
    """
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark becomes what is in use
    except OSError:
        return math.nan
    before = _status("VmRSS")
    step()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    """Give a field of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (value,) = (line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return int(value) * 1024


def high_water_mark() -> float:
    """Give the most memory in bytes that the process has had resident, NaN where nothing tells."""
    try:
        return _status("VmHWM")
    except OSError:
        return math.nan
