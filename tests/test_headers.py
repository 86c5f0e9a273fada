"""The numbers in the headers of experiment files are those of the committed tables."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "conf" / "experiment").rglob("*.yaml"))


def measured(path: Path) -> str:
    comment = " ".join(re.findall(r"^# ?(.*)$", path.read_text(), re.MULTILINE))
    return comment.partition("Measured:")[2]


@pytest.mark.parametrize("path", [path for path in FILES if measured(path)], ids=lambda p: p.stem)
def test_measured_numbers_stand_in_a_committed_table(path):
    name = "_".join(path.relative_to(ROOT / "conf" / "experiment").with_suffix("").parts)
    tables = [table.read_text() for table in ROOT.glob(f"results/*/tables/{name}.md")]
    numbers = re.findall(r"−?\d\.\d{3}", measured(path))
    assert numbers
    assert any(all(number in table for number in numbers) for table in tables)
