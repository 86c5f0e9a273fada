import re
from pathlib import Path

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()


def test_the_python_code_of_the_readme_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec("".join(blocks), {})
    assert "Site(name=" in capsys.readouterr().out


def test_files_that_the_readme_links_to_exist():
    root = Path(__file__).resolve().parent.parent
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert [link for link in links if not (root / link).exists()] == []
