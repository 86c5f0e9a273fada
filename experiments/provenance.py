"""Where and with what a run was made: kept beside its numbers, no part of its identity."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from experiments.code import CODE

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "hydra-core", "omegaconf")


def provenance(device: str) -> dict[str, Any]:
    """Describe hardware, threads, versions and commit."""
    return {
        "processor": torch.cuda.get_device_name() if device == "cuda" else _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "platform": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "commit": CODE,
    }


def _processor() -> str:
    """Give the processor's name, with its family and model where Linux tells them."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return platform.processor() or platform.machine()
    lines = (line.partition(":") for line in path.read_text().splitlines())
    facts = {key.strip(): value.strip() for key, _, value in lines}
    name = facts.get("model name", platform.machine())
    return f"{name} (family {facts.get('cpu family', '?')}, model {facts.get('model', '?')})"
