"""What an experiment declares so that the report shows it: its section, metric and claim."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from scripts.arms import Arm
from scripts.labels import Settings

if TYPE_CHECKING:
    from scripts.comparison import SectionResult


@dataclass(frozen=True)
class Metric:
    """A measured quantity: its name in the tables, and which direction is better.

    ``final.<key>`` and ``selected.<key>`` are columns of runs.csv, ``<key>`` and ``train_key``
    columns of curves.csv.
    """

    key: str
    label: str
    noun: str
    train_key: str
    train_label: str
    lower_is_better: bool = True
    decimals: int = 3
    bounds: tuple[float, float] = (0.0, 1.0)

    @property
    def best(self) -> float:
        """Give the value of a perfect net."""
        return self.bounds[0] if self.lower_is_better else self.bounds[1]

    @property
    def final(self) -> str:
        """Name the column with the mean of the last evaluations."""
        return f"final.{self.key}"

    @property
    def selected(self) -> str:
        """Name the column with the value at the epoch that validation chose."""
        return f"selected.{self.key}"


TEST_ERROR = Metric("test.error", "test error", "error", "train.error", "training error")
VALIDATION_ERROR = Metric(
    "validation.error", "validation error", "error", "train.error", "training error"
)


def _of_scores(split: str, name: str, noun: str) -> Metric:
    keys, labels = (f"{split}.{name}", f"train.{name}"), (f"{split} {noun}", f"training {noun}")
    short = noun.split()[-1]
    return Metric(keys[0], labels[0], short, keys[1], labels[1], lower_is_better=False)


TEST_AUC, VALIDATION_AUC = (_of_scores(split, "auc", "ROC AUC") for split in ("test", "validation"))
TEST_F1, VALIDATION_F1 = (_of_scores(split, "f1", "F1") for split in ("test", "validation"))


@dataclass(frozen=True)
class FigurePlan:
    """A figure still to be drawn: its file name, its caption, and what draws it."""

    name: str
    caption: str
    draw: Callable[[], Figure]


FigureMaker = Callable[["SectionResult"], list[FigurePlan]]


Rival = Callable[[Arm, Sequence[Arm]], Arm | None]
"""Finds, among the arms of a section, the one that an arm is compared with beside its baseline."""


def no_arm(arm: Arm) -> bool:
    """Choose no arm: nothing of the section stands in the README."""
    return False


def any_treated_arm(arm: Arm) -> bool:
    """Choose every arm that differs from its baseline."""
    return True


def masked_at_several_scales(arm: Arm) -> bool:
    """Choose the arms with masks at two scales or more."""
    return len(arm.masks) > 1


def no_task_name(settings: Settings) -> str:
    """Say nothing about the task."""
    return ""


@dataclass(frozen=True)
class Section:
    """How the runs of one experiment are compared and shown.

    Args:
        experiment: name of the experiment, as in the column ``experiments``.
        title, question: heading, and what is compared and why.
        metric: what the arms are compared by.
        smallest_effect: the smallest effect on the metric that is of interest: it defines verdicts.
        treatments: groups or keys of the configuration that are under test, those first that
            order the arms first; any other setting that varies is context, in which an arm meets
            its own baseline.
        baseline: values that the baseline must have in keys that are never absent.
        rivals: what arms are compared with beside their baseline, by name.
        name: names an arm by its settings, where these listed one by one would read badly.
        columns: keys under test that stand in a column of the table.
        main: which arms, beside their baseline, stand in the README.
        tests_claim: whether the main arms answer the claim of the chapter.
        task: what must be said wherever a number of these runs stands.
        chooses: whether the section exists to choose the arm with the best mean.
        benchmark: gives, by experiment and settings, the comparison and variant that timed an arm's
            steps, for a table that shows what they cost.
        relative_seconds: whether the table tells how long a run takes beside its baseline.
        memory: whether the table tells the peak memory of a run.
        figures: what draws the section's figures.
    """

    experiment: str
    title: str
    question: str
    metric: Metric = TEST_ERROR
    smallest_effect: float = 0.01
    treatments: tuple[str, ...] = ("masks",)
    baseline: Mapping[str, Any] = field(default_factory=dict)
    rivals: Mapping[str, Rival] = field(default_factory=dict)
    name: Callable[[Settings], str] | None = None
    columns: tuple[str, ...] = ()
    main: Callable[[Arm], bool] = no_arm
    tests_claim: bool = False
    task: Callable[[Settings], str] = no_task_name
    chooses: bool = False
    benchmark: Callable[[str, Settings], tuple[str, str]] | None = None
    relative_seconds: bool = False
    memory: bool = False
    figures: tuple[FigureMaker, ...] = ()

    @property
    def slug(self) -> str:
        """Give the stem of the section's files."""
        return self.experiment.replace("/", "_")


@dataclass(frozen=True)
class Claim:
    """A sentence that the runs may bear out: what treated runs do compared with the baseline.

    Args:
        letter, statement: its name, and what it says.
        smallest_effect: the smallest effect that is of interest.
        primary: the comparison that is declared to decide it, in words.
        stands_in: experiment, setting and rival (none: the baseline) of the comparison that comes
            closest to the primary one as long as that has not been run.
    """

    letter: str
    statement: str
    smallest_effect: float
    primary: str
    stands_in: tuple[str, str, str]


@dataclass(frozen=True)
class Chapter:
    """The sections that belong to one claim, or to none, and the pictures that go with them.

    ``note`` says where the claim comes from, if that is not the paper's abstract. ``pictures``
    turns the folder of small arrays into figures and into lines that name what is lacking.
    """

    title: str
    claim: Claim | None
    sections: tuple[Section, ...]
    note: str = ""
    pictures: Callable[[Path], tuple[list[FigurePlan], list[str]]] | None = None
