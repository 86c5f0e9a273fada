"""All chapters of the report; a new experiment joins by a section, a new claim by a chapter."""

from collections.abc import Iterable

import pandas as pd

from scripts import textures
from scripts.comparison import SectionResult, compare
from scripts.results_table import experiments_in
from scripts.sections import Section

CHAPTERS = (textures.CHAPTER,)


def compare_sections(
    sections: Iterable[Section], runs: pd.DataFrame, curves: pd.DataFrame
) -> list[SectionResult]:
    """Compare the arms of those sections whose experiments are among ``runs``."""
    present = set(experiments_in(runs))
    return [compare(section, runs, curves) for section in sections if section.experiment in present]


def section_of(experiment: str) -> Section:
    """Find the section that declares ``experiment``, or a plain one for an undeclared one."""
    declared = {section.experiment: section for chapter in CHAPTERS for section in chapter.sections}
    plain = Section(experiment, experiment, "Not described yet.", task=textures.texture_task)
    return declared.get(experiment, plain)


def undeclared_sections(runs: pd.DataFrame) -> list[Section]:
    """Give plain sections for the experiments that no chapter declares."""
    declared = {section.experiment for chapter in CHAPTERS for section in chapter.sections}
    return [section_of(name) for name in experiments_in(runs) if name not in declared]
