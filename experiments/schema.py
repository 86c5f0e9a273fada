"""What a configuration may hold, with types: bad keys and values fail on composing."""

import math
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

CONF = str(Path(__file__).resolve().parent.parent / "conf")


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
class ArmNode:
    """One side of a comparison: what it sets, and what of its own is searched."""

    set: dict[str, Any] = field(default_factory=dict)  # values by key
    each: dict[str, list[Any]] = field(default_factory=dict)  # an arm for every combination
    space: dict[str, Any] = field(default_factory=dict)  # beside search.space
    kind: str = ""  # of arms that differ in a number; by default the name before its number


class Statistic(Enum):
    """By what a search chooses."""

    median = "median"
    mean = "mean"


@dataclass
class Rival:
    """Which arms are compared with which other ones, beside the baseline."""

    arms: str | None = None  # kind that is compared; null: all but the baseline and the rival
    against: str = MISSING  # kind, or label of an arm
    same: str | None = None  # a number that both sides share: share


@dataclass
class Search:
    """How all arms of an experiment are tuned alike, if it is a search."""

    configurations: int = 0  # of every arm, drawn from its space
    grid: bool = False  # in place of these, all combinations of a space of choices
    seeds: list[int] = field(default_factory=list)
    space: dict[str, Any] = field(default_factory=dict)  # of every arm
    stream: int = 0  # seed of the sequence that configurations are drawn from
    statistic: Statistic = Statistic.median  # over the seeds, of validation: the best is chosen


@dataclass
class Report:
    """What an experiment says of itself, for tables, figures and claims.

    An arm's label fills the placeholders of its name; kinds are those of :class:`ArmNode`.
    """

    title: str = ""
    question: str = ""
    task: str = ""  # what must be said wherever a number of the experiment stands
    setting: str = ""  # names what is swept over beside arms and seeds; by default in words
    baseline: str = ""  # label of the arm that all others are compared with, in every setting;
    # where an arm tries several things, ``label (what is tried)``
    rivals: dict[str, Rival] = field(default_factory=dict)  # what else, by name
    claim: list[str] = field(default_factory=list)  # kinds whose comparisons answer the claim
    smallest_effect: float | None = None  # of interest; null: that of its chapter
    looks: list[int] = field(default_factory=list)  # pairs after which a primary is judged
    columns: list[str] = field(default_factory=list)  # settings shown in the table
    figures: list[Any] = field(default_factory=list)  # of experiments/figures.py
    benchmark: bool = False  # whether the table shows what a step of each arm costs
    relative_seconds: bool = False  # whether it shows how long a run takes beside its baseline
    memory: bool = False  # whether it shows the peak memory of a run


@dataclass
class StandsIn:
    """The comparison that comes closest to a primary one as long as that has not been run."""

    experiment: str = MISSING
    setting: str = ""
    rival: str = ""  # empty: the baseline


@dataclass
class Claim:
    """A sentence that runs may bear out."""

    letter: str = MISSING
    statement: str = MISSING
    smallest_effect: float = MISSING  # of interest
    primary: str = MISSING  # the comparison that is declared to decide it, in words
    stands_in: StandsIn = field(default_factory=StandsIn)


@dataclass
class Chapter:
    """The experiments of one folder of conf/experiment/, as the report shows them."""

    title: str = MISSING
    note: str = ""
    smallest_effect: float | None = None  # of interest, where no claim says it
    pictures: bool = False
    claim: Claim | None = None


@dataclass
class System:
    """What cannot change the numbers and is no part of a run's identity."""

    data: str = "${oc.env:DATA,data}"  # folder of data sets and their caches
    runs: str = "results/runs"  # folder of run directories
    threads: int | None = None  # null: all cores, or one for each of several parallel jobs
    checkpoint_seconds: float = 20.0  # least time between two checkpoints
    progress: bool = True  # progress bar, if on a terminal
    allow: list[str] = field(default_factory=list)  # names beyond what experiments/slots.py takes


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
    schedule: dict[str, Any] = field(default_factory=dict)  # of the learning rate, if not a cosine
    budget: dict[str, Any] = field(default_factory=dict)  # what an epoch is, if not one pass
    metric: Metric = Metric.error
    warmup: float = 0.05  # part of training over which the learning rate rises
    evaluations: int = 10  # times that the validation and test sets are looked at
    measures: dict[str, Any] = field(default_factory=dict)  # of the trained model, on validation
    device: Device = Device.auto
    precision: Precision = Precision.auto
    backward: Backward = Backward.auto
    compile: bool = False  # torch.compile the model; its backward pass is then dense
    places: dict[str, str] = field(default_factory=dict)  # modules after which masks may go
    arm: str | None = None  # label of the arm of the experiment that is run
    arms: dict[str, ArmNode] = field(default_factory=dict)  # of an experiment, by name
    search: Search = field(default_factory=Search)
    chosen_by: str | None = None  # the search whose choices the arms take
    report: Report = field(default_factory=Report)
    system: System = field(default_factory=System)


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


OmegaConf.register_new_resolver("updates", updates)
ConfigStore.instance().store(name="schema", node=Config)
