"""All chapters of the report; a new experiment joins by a section, a new claim by a chapter."""

from collections.abc import Iterable, Sequence

import pandas as pd

from scripts import natural_images, neighbours, non_decomposable, textures
from scripts.comparison import SectionResult, compare
from scripts.costs import Cost
from scripts.labels import Settings
from scripts.results_table import experiments_in, of_experiment
from scripts.sections import TEST_AUC, TEST_ERROR, TEST_F1, Metric, Section

CHAPTERS = (
    textures.CHAPTER,
    non_decomposable.CHAPTER,
    natural_images.CHAPTER,
    neighbours.CHAPTER,
)
METRICS = {"auc": TEST_AUC, "f1": TEST_F1}
"""Metrics by what runs.csv calls the one that validation chooses by, if that is not the error."""


def task(settings: Settings) -> str:
    """Say what must be said of a run, whatever experiment it belongs to."""
    tasks = (textures.texture_task, non_decomposable.scarce_task, natural_images.cifar_task)
    return "; ".join(filter(None, (task(settings) for task in tasks)))


def compare_sections(
    sections: Iterable[Section],
    runs: pd.DataFrame,
    curves: pd.DataFrame,
    costs: Sequence[Cost] = (),
) -> list[SectionResult]:
    """Compare the arms of those sections whose experiments are among ``runs``."""
    present = set(experiments_in(runs))
    chosen = [section for section in sections if section.experiment in present]
    return [compare(section, runs, curves, costs) for section in chosen]


def section_of(experiment: str, runs: pd.DataFrame) -> Section:
    """Find the section that declares ``experiment``, or a plain one that fits its ``runs``."""
    declared = {section.experiment: section for chapter in CHAPTERS for section in chapter.sections}
    plain = Section(experiment, experiment, "Not described yet.", metric_of(runs), task=task)
    return declared.get(experiment, plain)


def metric_of(runs: pd.DataFrame) -> Metric:
    """Give the metric that validation chose the runs' epochs by, as measured on the test set."""
    named = set(runs["config.metric"]) if "config.metric" in runs else set()
    return next((metric for name, metric in METRICS.items() if name in named), TEST_ERROR)


def undeclared_sections(runs: pd.DataFrame) -> list[Section]:
    """Give plain sections for the experiments that no chapter declares."""
    declared = {section.experiment for chapter in CHAPTERS for section in chapter.sections}
    names = [name for name in experiments_in(runs) if name not in declared]
    return [section_of(name, of_experiment(runs, name)) for name in names]
