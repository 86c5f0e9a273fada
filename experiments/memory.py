"""The peak memory of a run, where the system tells it."""

import ctypes
import gc
from contextlib import suppress
from pathlib import Path

import torch

_PROCESS = Path("/proc/self")


class PeakMemory:
    """Follows, from its making on, the peak memory of the process, or of the GPU in use.

    That of a process is its resident memory, libraries and data included, by Linux's count. What
    earlier runs in the same process have freed is given back first.
    """

    def __init__(self, device: str) -> None:
        self._cuda = device == "cuda"
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
        self._known = self._cuda or _reset_peak()

    def result(self) -> dict[str, float]:
        """Give ``peak_megabytes``; nothing where the system does not tell."""
        if not self._known:
            return {}
        size = torch.cuda.max_memory_allocated() if self._cuda else _peak()
        return {"peak_megabytes": round(size / 1e6, 1)}


def _reset_peak() -> bool:
    """Let the peak be what is in use now; say whether that could be done."""
    gc.collect()
    with suppress(OSError, AttributeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)
    try:
        (_PROCESS / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak() -> int:
    lines = (_PROCESS / "status").read_text().splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return 1024 * int(kilobytes)
