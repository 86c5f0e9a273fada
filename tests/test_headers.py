"""The headers of experiment files: the command that runs them, and committed numbers."""

import re
from pathlib import Path

import pytest

from experiments.sweep import preset_experiments

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "conf" / "experiment").rglob("*.yaml"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT / "conf" / "experiment").with_suffix("").as_posix()


def measured(path: Path) -> str:
    comment = " ".join(re.findall(r"^# ?(.*)$", path.read_text(), re.MULTILINE))
    return comment.partition("Measured:")[2]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_the_command_is_that_of_a_preset_with_the_experiment(path):
    line = r"^# Command: make reproduce-paper(?: PRESET=(\w+))?$"
    (preset,) = re.findall(line, path.read_text(), re.MULTILINE)
    assert name_of(path) in preset_experiments(preset or "laptop")


@pytest.mark.parametrize("path", [path for path in FILES if measured(path)], ids=name_of)
def test_measured_numbers_stand_in_a_committed_table(path):
    slug = name_of(path).replace("/", "_")
    tables = [table.read_text() for table in ROOT.glob(f"results/*/tables/{slug}.md")]
    numbers = re.findall(r"−?\d\.\d{3}", measured(path))
    assert numbers
    assert any(all(number in table for number in numbers) for table in tables)
