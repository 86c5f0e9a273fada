"""What a configuration may hold, with types: bad keys and values fail on composing."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf


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


class Backward(Enum):
    """How gradients go back; ``auto`` skips what masks drop, where exact and less work."""

    auto = "auto"
    dense = "dense"
    survivors = "survivors"


class Batching(Enum):
    """What a batch holds: any samples, or positives and negatives in the set's proportion."""

    shuffled = "shuffled"
    stratified = "stratified"


class Metric(Enum):
    """What validation chooses by: the share of wrong classes, or AUC or F1 of scores."""

    error = "error"
    auc = "auc"
    f1 = "f1"


@dataclass
class Choices:
    """Values that arms are made from; a run's identity holds what is made from them instead."""

    p: float = 0.9  # share of the samples that an update does without
    rates: dict[str, Any] = field(default_factory=dict)  # learning rates by arm, and by p
    level: Any = "middle"  # how strong an arm is: weak, middle or strong; or this by arm
    strengths: dict[str, Any] = field(default_factory=dict)  # levels by arm, and by width
    places: dict[str, str] = field(
        default_factory=dict
    )  # modules of the model after which masks go


@dataclass
class ArmNode:
    """One side of a comparison: what it sets, and what of its own is searched."""

    set: dict[str, Any] = field(default_factory=dict)  # overrides by key
    space: dict[str, Any] = field(default_factory=dict)  # beside search.space


@dataclass
class Search:
    """How all arms of an experiment are tuned alike, if it is a search."""

    configurations: int = 0  # of every arm, drawn from its space
    seeds: list[int] = field(default_factory=list)
    space: dict[str, Any] = field(default_factory=dict)  # of every arm
    stream: int = 0  # seed of the sequence that configurations are drawn from


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
    regulariser: dict[str, Any] = field(default_factory=dict)  # what acts at every step, if any
    augmentation: dict[str, Any] = field(default_factory=dict)
    loss: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    epochs: int = 60
    batch_size: int | None = 20  # null: the whole training set
    batching: Batching = Batching.shuffled
    budget: dict[str, Any] = field(default_factory=dict)  # what an epoch is, if not one pass
    metric: Metric = Metric.error
    warmup: float = 0.05  # part of training over which the learning rate rises; then a cosine to 0
    evaluations: int = 10  # times that the validation and test sets are looked at
    measures: dict[str, Any] = field(default_factory=dict)  # of the trained model, on validation
    device: Device = Device.auto
    precision: Precision = Precision.auto
    backward: Backward = Backward.auto
    compile: bool = False  # torch.compile the model; its backward pass is then dense
    choices: Choices = field(default_factory=Choices)
    arms: dict[str, ArmNode] = field(default_factory=dict)  # of an experiment, by name
    search: Search = field(default_factory=Search)
    chosen: str | None = None  # the search whose choices the arms take
    system: System = field(default_factory=System)


def survivors(samples: int, p: float) -> int:
    """Give how many samples a mask with probability p leaves on average, at least 1."""
    return max(1, round(samples * (1 - p)))


def lookup(table: Mapping[Any, Any], key: Any, name: str) -> Any:
    """Give the value of a table at a key; numbers are compared as numbers.

    Raises:
        ValueError: the table lacks the key, which the error calls ``name``.
    """
    if key not in table:
        raise ValueError(f"{name} must be one of {', '.join(map(str, table))}; got {key!r}")
    return table[key]


def strength(level: Any, arm: str, *values: Any) -> Any:
    """Give the value of an arm, of its weak, middle and strong one, at a level."""
    chosen = lookup(level, arm, "the arm") if isinstance(level, Mapping) else level
    levels = dict(zip(("weak", "middle", "strong"), values, strict=True))
    return lookup(levels, chosen, "choices.level")


def updates(epochs: float, *, _root_: DictConfig) -> int:
    """Give how many updates so many epochs have in the configuration that asks.

    Raises:
        ValueError: if only the loaded data set tells.
    """
    if "updates" in _root_.budget:
        return round(epochs * _root_.budget.updates)
    samples, batching = _root_.dataset.get("train"), _root_.batching
    if samples is None or batching is not Batching.shuffled or _root_.budget:
        raise ValueError(
            "how many updates an epoch has is known from the configuration only where it holds "
            "dataset.train and batches are shuffled, or budget.updates: give a number of updates"
        )
    return round(epochs * math.ceil(samples / (_root_.batch_size or samples)))


OmegaConf.register_new_resolver("survivors", survivors)
OmegaConf.register_new_resolver("strength", strength)
OmegaConf.register_new_resolver("updates", updates)
OmegaConf.register_new_resolver("lookup", lookup)
ConfigStore.instance().store(name="schema", node=Config)
