"""What experiments declare of themselves, as collecting wrote it into experiments.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from scripts.read.checked import read_checked

_NOUNS = {"auc": "ROC AUC", "f1": "F1"}
"""Metrics that are higher where the net is better, and their names."""


@dataclass(frozen=True)
class Metric:
    """A measured quantity by its key, as ``test.error``: a column of curves.csv."""

    key: str

    @property
    def name(self) -> str:
        """Give the last part of the key."""
        return self.key.rpartition(".")[2]

    @property
    def label(self) -> str:
        """Name it as tables do."""
        split, _, name = self.key.partition(".")
        return f"{split} {_NOUNS.get(name, name.replace('.', ' '))}"

    @property
    def train_key(self) -> str:
        """Give the key of the same on the training set."""
        return f"train.{self.name}"

    @property
    def train_label(self) -> str:
        """Name the same on the training set."""
        return f"training {_NOUNS.get(self.name, self.name)}"

    @property
    def lower_is_better(self) -> bool:
        """Tell which direction is better."""
        return self.name not in _NOUNS

    @property
    def bounds(self) -> tuple[float, float]:
        """Give the least and the largest value that can occur."""
        return (0.0, float("inf")) if self.name == "loss" else (0.0, 1.0)

    @property
    def final(self) -> str:
        """Name the column of runs.csv with the mean of the last evaluations."""
        return f"final.{self.key}"

    @property
    def selected(self) -> str:
        """Name the column of runs.csv with the value at the epoch that validation chose."""
        return f"selected.{self.key}"


@dataclass(frozen=True)
class Rival:
    """Which arms are compared with which other ones, beside the baseline.

    Attributes:
        against: kind or label of the other arm.
        arms: kind of the arms that are compared; None: all but the baseline and the rival.
        same: a number that both sides share.
    """

    against: str
    arms: str | None = None
    same: str | None = None


@dataclass(frozen=True)
class Search:
    """How all arms were tuned alike."""

    seeds: tuple[int, ...] = ()
    space: Mapping[str, Any] = field(default_factory=dict)
    statistic: str = "median"


@dataclass(frozen=True)
class Experiment:
    """What one experiment declares: the report block of its file, and its metric.

    ``kinds`` are those of its arms in the order of its file; ``smallest_effect`` is that of its
    chapter unless it has its own. An experiment with a ``search`` exists to choose.
    """

    name: str
    title: str
    question: str
    metric: Metric
    smallest_effect: float
    kinds: tuple[str, ...] = ()
    task: str = ""
    baseline: str = ""
    rivals: Mapping[str, Rival] = field(default_factory=dict)
    claim: tuple[str, ...] = ()
    looks: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()
    figures: tuple[Any, ...] = ()
    benchmark: bool = False
    relative_seconds: bool = False
    memory: bool = False
    search: Search | None = None

    @property
    def slug(self) -> str:
        """Give the stem of the experiment's files."""
        return self.name.replace("/", "_")


@dataclass(frozen=True)
class StandsIn:
    """The comparison closest to a primary one; no setting: any; no rival: the baseline."""

    experiment: str
    setting: str = ""
    rival: str = ""


@dataclass(frozen=True)
class Claim:
    """A sentence that runs may bear out, and what is declared to decide it."""

    letter: str
    statement: str
    smallest_effect: float
    primary: str
    stands_in: StandsIn


@dataclass(frozen=True)
class Chapter:
    """The experiments of one folder, with the claim that they answer, if any."""

    title: str
    note: str = ""
    smallest_effect: float | None = None
    pictures: bool = False
    claim: Claim | None = None


@dataclass(frozen=True)
class Declared:
    """The chapters of the report by folder, and the experiments of a preset by name."""

    chapters: Mapping[str, Chapter]
    experiments: Mapping[str, Experiment]

    def of_chapter(self, folder: str) -> list[Experiment]:
        """Give the experiments of a chapter, in the order of the preset."""
        return [one for one in self.experiments.values() if folder_of(one.name) == folder]

    @property
    def others(self) -> list[Experiment]:
        """Give the experiments of no chapter."""
        return [
            one for one in self.experiments.values() if folder_of(one.name) not in self.chapters
        ]


def folder_of(experiment: str) -> str:
    """Give the folder of an experiment, which is its chapter's name."""
    return experiment.partition("/")[0]


def read_declared(path: Path) -> Declared:
    """Read experiments.json.

    Raises:
        ValueError: an experiment for which neither it nor its chapter says which effect matters.
    """
    found = json.loads(read_checked(path))
    chapters = {name: _chapter(node) for name, node in found["chapters"].items()}
    experiments = {
        name: _experiment(name, node, chapters) for name, node in found["experiments"].items()
    }
    return Declared(chapters, experiments)


def _chapter(node: Mapping[str, Any]) -> Chapter:
    claim = node["claim"]
    if claim:
        claim = Claim(**{**claim, "stands_in": StandsIn(**claim["stands_in"])})
    return Chapter(**{**node, "claim": claim})


def _experiment(name: str, node: Mapping[str, Any], chapters: Mapping[str, Chapter]) -> Experiment:
    smallest = node["smallest_effect"]
    chapter = chapters.get(folder_of(name))
    if smallest is None and chapter:
        smallest = chapter.claim.smallest_effect if chapter.claim else chapter.smallest_effect
    if smallest is None:
        raise ValueError(f"{name}: report.smallest_effect is needed: its chapter has none")
    known = {each.name for each in fields(Experiment)}
    values = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in node.items()
        if key in known
    }
    rivals = {rival: Rival(**sides) for rival, sides in node["rivals"].items()}
    search = node["search"] and Search(
        tuple(node["search"]["seeds"]), node["search"]["space"], node["search"]["statistic"]
    )
    return Experiment(
        **{
            **values,
            "name": name,
            "metric": Metric(node["metric"]),
            "smallest_effect": smallest,
            "rivals": rivals,
            "search": search,
        }
    )
