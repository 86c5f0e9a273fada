"""The arithmetic of forward passes: bfloat16 autocast where the processor has it."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch


def has_fast_bfloat16(device: str) -> bool:
    """Say whether bfloat16 arithmetic is built into the processor."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def autocast(settings: Mapping[str, Any]) -> AbstractContextManager[None]:
    """Give the context in which a run's forward passes go: bfloat16 autocast or none."""
    return torch.autocast(
        settings["device"], torch.bfloat16, enabled=settings["precision"] == "bfloat16"
    )
