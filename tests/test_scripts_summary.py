"""What all presets say together, and whether what is committed is current."""

import shutil
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from scripts.markdown_table import with_marked
from scripts.report import make_report
from scripts.summary import claims_of, main, numbers, readme_table

ROOT = Path(__file__).resolve().parent.parent
TINY = Path(__file__).parent / "fixtures" / "results_tiny"
PRESETS = sorted(path.parent for path in ROOT.glob("results/*/REPORT.md"))
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


@pytest.fixture
def results(tmp_path):
    """Give a folder of results with the tiny preset in it."""
    shutil.copytree(TINY, tmp_path / "results" / "tiny")
    return tmp_path / "results"


def test_a_claim_has_one_row_with_its_closest_comparison(results):
    rows = readme_table(claims_of(results)).splitlines()[2:]
    assert len(rows) == 1
    assert rows[0].startswith("| **A** masks at the two scales lower the test error")
    assert "`textures/laptop`: fine 0.5, coarse 0.9 against no masks" in rows[0]
    assert "+0.136 [+0.116, +0.157], 4 pairs" in rows[0]
    assert rows[0].endswith("| undecided: 4 pairs |")


def test_a_comparison_in_two_presets_counts_once(results):
    once = numbers(claims_of(results))
    shutil.copytree(results / "tiny", results / "laptop")
    pd.testing.assert_frame_equal(numbers(claims_of(results)), once)


def test_a_comparison_with_fewer_of_the_same_runs_gives_way(results):
    few = results / "laptop"
    shutil.copytree(results / "tiny", few)
    runs = pd.read_csv(few / "runs.csv", dtype=str, keep_default_na=False)
    runs[runs["config.seed"].isin(["0", "1"])].to_csv(few / "runs.csv", index=False)
    table = numbers(claims_of(results))
    assert table[table["experiment"] == "textures/laptop"]["pairs"].tolist() == [4]


def test_without_results_it_says_so(tmp_path):
    assert "No comparison that bears on a claim" in readme_table(claims_of(tmp_path))


def test_table_and_figure_are_written_and_the_readme_holds_the_table(results, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nend\n")
    for _ in range(2):
        main(["--results", str(results), "--readme", str(readme)])
        table = readme_table(claims_of(results))
        assert readme.read_text() == f"# Title\n\n{BEGIN}\n{table}\n{END}\n\nend\n"
    written = pd.read_csv(results / "claims.csv")
    assert written["experiment"].iloc[0] == "textures/laptop"
    assert written["experiment"].iloc[-1] == "pooled"
    assert (results / "claims.png").exists()


def test_a_readme_without_a_place_for_it_is_left_alone(results, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("# Title\n")
    main(["--results", str(results), "--readme", str(readme)])
    assert readme.read_text() == "# Title\n"


@pytest.mark.parametrize("page", ["", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_page_without_the_markers_is_refused(page):
    with pytest.raises(ValueError, match="results:begin"):
        with_marked(page, "table", "results")


def test_the_committed_readme_and_claims_are_current():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = claims_of(ROOT / "results")
    assert readme == with_marked(readme, readme_table(found), "results"), "run make figures"
    written = numbers(found).to_csv(index=False, float_format="%.6g")
    committed = (ROOT / "results/claims.csv").read_text(encoding="utf-8")
    tables = [pd.read_csv(StringIO(text)) for text in (committed, written)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-5)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.name)
def test_committed_reports_and_tables_are_current(preset):
    report = make_report(preset)
    assert (preset / "REPORT.md").read_text(encoding="utf-8") == report.text, "run make figures"
    for name, content in report.tables.items():
        assert (preset / "tables" / name).read_text(encoding="utf-8") == content
