"""README and docs: their code runs, their links lead somewhere, their numbers are committed."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NAMED = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "results/README.md")
PAGES = [*(ROOT / name for name in NAMED), *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
VALUE = r"(?<!\d)[−+]?\d\.\d{3}(?!\d)"


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name != "how-to"], ids=str)
def test_the_python_code_of_a_page_runs(page):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    exec("".join(blocks), {})


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_files_that_a_page_links_to_exist(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_numbers_in_the_text_stand_in_a_committed_table(page):
    """All but those between markers, which other tests compare as a whole."""
    text = re.sub(
        r"<!-- (\w+):begin -->.*?<!-- \1:end -->|```.*?```|`.*?`|\(http\S+\)",
        "",
        page.read_text(),
        flags=re.DOTALL,
    )
    text = " ".join(text.split())
    found = re.findall(rf"{VALUE} \[{VALUE}, {VALUE}\]|{VALUE}", text)
    tables = " ".join(table.read_text() for table in ROOT.glob("results/*/REPORT.md"))
    tables = tables.replace("+", "")
    rates = {"0.001", "0.003"}  # learning rates, which are no results
    assert [n for n in found if n.replace("+", "") not in tables and n not in rates] == []


def test_the_findings_are_numbers():
    text = (ROOT / "docs/findings.md").read_text()
    assert len(re.findall(rf"{VALUE} \[{VALUE}, {VALUE}\]", " ".join(text.split()))) > 20


def test_the_readme_fits_on_its_screen_and_begins_with_code_early():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 160
    assert lines.index("```python") < 50
