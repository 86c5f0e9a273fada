"""The README's results table, and whether what is committed is current."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from scripts.report import make_report
from scripts.summary import BEGIN, END, main, summary, with_summary

ROOT = Path(__file__).resolve().parent.parent
TINY = Path(__file__).parent / "fixtures" / "results_tiny"
PRESETS = sorted(path.parent for path in ROOT.glob("results/*/REPORT.md"))


@pytest.fixture
def results(tmp_path):
    """Give a folder of results with the tiny preset in it."""
    shutil.copytree(TINY, tmp_path / "results" / "tiny")
    return tmp_path / "results"


def test_every_main_comparison_has_a_row_under_its_command(results):
    text = summary(results)
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) == 5
    assert text.index("`make reproduce-paper PRESET=tiny`:") < text.index(rows[0])
    assert "*Small task, easier than the original.*" in text
    assert "−0.136 [−0.157, −0.116], 4 pairs | lower error" in rows[0]


def test_presets_beyond_the_smallest_are_folded(results):
    shutil.copytree(results / "tiny", results / "few")
    runs = pd.read_csv(results / "few" / "runs.csv", dtype=str)
    few = runs[runs["experiments"].str.contains("textures/laptop")]
    few.to_csv(results / "few" / "runs.csv", index=False)
    before, folded = summary(results).split("<details>", 1)
    assert "By `make reproduce-paper PRESET=few`:" in before
    assert "`textures/laptop`" in before
    command = "by <code>make reproduce-paper PRESET=tiny</code></summary>"
    tested, aside = folded.split("<details>")
    assert tested.startswith(f"<summary>1 comparison {command}")
    assert tested.count("| `textures/") == 1
    assert aside.startswith(f"<summary>3 comparisons beside the claim {command}")
    assert aside.count("| `textures/") == 3


def test_presets_are_ordered_by_what_they_take_not_by_their_tables(results):
    (results / "tiny").rename(results / "laptop")
    shutil.copytree(results / "laptop", results / "paper")
    runs = pd.read_csv(results / "paper" / "runs.csv", dtype=str).head(12)
    runs.assign(id="p" + runs["id"]).to_csv(results / "paper" / "runs.csv", index=False)
    text = summary(results)
    assert "By `make reproduce-paper PRESET=laptop`:" in text
    assert "PRESET=paper</code></summary>" in text


def test_a_comparison_in_two_presets_stands_once(results):
    one = summary(results)
    shutil.copytree(results / "tiny", results / "copy")
    assert summary(results).replace("PRESET=copy", "PRESET=tiny") == one


def test_without_results_it_says_so(tmp_path):
    assert "No main comparison" in summary(tmp_path)


def test_the_table_replaces_what_is_between_the_markers(results, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nend\n")
    for _ in range(2):
        main(["--results", str(results), "--readme", str(readme)])
        text = readme.read_text(encoding="utf-8")
        assert text == f"# Title\n\n{BEGIN}\n{summary(results)}\n{END}\n\nend\n"


def test_a_readme_without_a_place_for_it_is_left_alone(results, tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text("# Title\n")
    main(["--results", str(results), "--readme", str(readme)])
    assert readme.read_text() == "# Title\n"
    assert summary(results) in capsys.readouterr().out


@pytest.mark.parametrize("readme", ["", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_readme_without_the_markers_is_refused(readme):
    with pytest.raises(ValueError, match="results:begin"):
        with_summary(readme, "table")


def test_the_committed_readme_is_current():
    readme = ROOT / "README.md"
    if not readme.exists() or BEGIN not in readme.read_text(encoding="utf-8"):
        pytest.skip("the README holds no results table yet")
    text = readme.read_text(encoding="utf-8")
    assert text == with_summary(text, summary(ROOT / "results")), "run python -m scripts.summary"


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.name)
def test_committed_reports_and_tables_are_current(preset):
    report = make_report(preset)
    assert (preset / "REPORT.md").read_text(encoding="utf-8") == report.text, "run make figures"
    for name, content in report.tables.items():
        assert (preset / "tables" / name).read_text(encoding="utf-8") == content
