"""What all presets together say to the claims, and whether what is committed is current."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from scripts.summary import claims_of, main, numbers
from scripts.write.claims import readme_table
from scripts.write.markdown import with_marked
from tests.made_runs import TINY

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


@pytest.fixture
def results(tmp_path):
    """Give a folder of results with the tiny preset in it."""
    shutil.copytree(TINY, tmp_path / "results" / "tiny")
    return tmp_path / "results"


def test_a_claim_has_one_row_with_its_closest_comparison(results):
    (row,) = readme_table(claims_of(results)).splitlines()[2:]
    assert row.startswith("| **A** ")
    assert "`textures/laptop`: fine 0.5, coarse 0.9 against no masks" in row
    assert row.endswith("| undecided: 4 pairs |")


def test_a_comparison_in_two_presets_counts_once(results):
    once = numbers(claims_of(results))
    shutil.copytree(results / "tiny", results / "laptop")
    assert numbers(claims_of(results)) == once


def test_without_results_it_says_so(tmp_path):
    assert "No comparison that bears on a claim" in readme_table(claims_of(tmp_path))


def test_table_and_figure_are_written_and_the_readme_holds_the_table(results, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nend\n")
    main(["--results", str(results), "--readme", str(readme)])
    table = readme_table(claims_of(results))
    assert readme.read_text() == f"# Title\n\n{BEGIN}\n{table}\n{END}\n\nend\n"
    written = pd.read_csv(results / "claims.csv")
    assert written["experiment"].iloc[[0, -1]].tolist() == ["textures/laptop", "pooled"]
    assert (results / "claims.png").exists()
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
    assert (ROOT / "results/claims.csv").read_text(encoding="utf-8") == numbers(found)
