import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_the_python_code_of_the_readme_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec("".join(blocks), {})
    assert "Site(name=" in capsys.readouterr().out


def test_files_that_the_readme_links_to_exist():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_numbers_in_the_text_stand_in_a_committed_table():
    """All but those between markers, which other tests compare as a whole."""
    text = re.sub(r"<!-- (\w+):begin -->.*?<!-- \1:end -->|```.*?```", "", README, flags=re.DOTALL)
    text = " ".join(text.split())
    value = r"(?<!\d)[−+]?\d\.\d{3}(?!\d)"
    found = re.findall(rf"{value} \[{value}, {value}\]|{value}", text)
    tables = " ".join(table.read_text() for table in ROOT.glob("results/*/tables/*.md"))
    tables = tables.replace("+", "")
    assert len(found) > 5
    assert [number for number in found if number.replace("+", "") not in tables] == []
