"""What a configuration may hold, with types: bad keys and values fail on composing."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from hydra.core.config_store import ConfigStore


class Device(Enum):
    """Where to train; ``auto`` takes a GPU where there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Precision(Enum):
    """Arithmetic; ``auto`` takes bfloat16 autocast where the processor has it."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


@dataclass
class System:
    """What cannot change the numbers and is no part of a run's identity."""

    data: str = "${oc.env:DATA,data}"  # folder of data sets and their caches
    runs: str = "results/runs"  # folder of run directories
    threads: int | None = None  # null: all cores, or one for each of several parallel jobs
    checkpoint_seconds: float = 20.0  # least time between two checkpoints
    progress: bool = True  # progress bar, if on a terminal


@dataclass
class Config:
    """One training run."""

    dataset: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    masks: dict[str, Any] = field(default_factory=dict)
    augmentation: dict[str, Any] = field(default_factory=dict)
    loss: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    epochs: int = 60
    batch_size: int = 20
    warmup: float = 0.05  # part of training over which the learning rate rises; then a cosine to 0
    evaluations: int = 10  # times that the validation and test sets are looked at
    device: Device = Device.auto
    precision: Precision = Precision.auto
    system: System = field(default_factory=System)


ConfigStore.instance().store(name="schema", node=Config)
