"""Copies what was drawn on the host to where it is used."""

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Give a host tensor on a device; a GPU is not waited for, as a plain copy would."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
