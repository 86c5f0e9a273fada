"""What the system tells of the memory of this process, and the peak of a run."""

import ctypes
import gc
from contextlib import suppress
from pathlib import Path

import torch

PROCESS = Path("/proc/self")


class PeakMemory:
    """Follows, from its making on, the peak memory of the process, or of the GPU in use.

    That of a process is its resident memory by Linux's count: libraries, data, and what malloc
    keeps for the next step. What earlier runs in it have freed is given back first.
    """

    def __init__(self, device: str) -> None:
        self._cuda = device == "cuda"
        give_back_freed()
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
        self._known = self._cuda or reset_peak()

    def result(self) -> dict[str, float]:
        """Give ``peak_megabytes``; nothing where the system does not tell."""
        if not self._known:
            return {}
        size = torch.cuda.max_memory_allocated() if self._cuda else resident_bytes("VmHWM")
        return {"peak_megabytes": round(size / 1e6, 1)}


def give_back_freed() -> None:
    """Let go of what is out of use and let malloc give it back to the system, if it can."""
    gc.collect()
    with suppress(OSError, AttributeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)


def reset_peak() -> bool:
    """Let the peak of this process be what is in use now; say whether that could be done."""
    try:
        (PROCESS / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def resident_bytes(field: str) -> int:
    """Give the memory that is resident now, ``"VmRSS"``, or was at the peak, ``"VmHWM"``.

    Raises:
        OSError: where the system does not tell.
    """
    lines = (PROCESS / "status").read_text().splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return 1024 * int(kilobytes)
