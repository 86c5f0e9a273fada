"""The whole report of a small made-up preset, and whether what is committed is current."""

import os
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path

import matplotlib
import pandas as pd
import pytest

from scripts.report import main, make_report, write_report
from scripts.write.page import page, tables
from tests.made_runs import TINY, run, write_preset

ROOT = Path(__file__).resolve().parent.parent
PRESETS = sorted(path.parent for path in ROOT.glob("results/*/REPORT.md"))
WITHOUT_TORCH = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchvision", "hydra", "omegaconf", "sklearn",
                                  "backdrop", "experiments"}:
            raise ImportError(f"{name} may not be imported here")
sys.meta_path.insert(0, Refuse())
import scripts.agreement, scripts.summary, scripts.sweep
from scripts.report import main
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def report():
    return make_report(TINY)


@pytest.fixture(scope="module")
def text(report):
    return page(report)


def changed(tmp_path, change):
    """Copy the preset with a changed table of runs."""
    copy = tmp_path / TINY.name
    shutil.copytree(TINY, copy)
    table = pd.read_csv(copy / "runs.csv", dtype=str, keep_default_na=False)
    change(table).to_csv(copy / "runs.csv", index=False)
    return copy


def section(text, title):
    return text.split(f"### {title}\n")[1].split("\n### ")[0]


def made(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_bytes_are_made_again_without_torch_and_whatever_the_settings(tmp_path):
    first = changed(tmp_path / "first", lambda table: table)
    again = changed(tmp_path / "again", lambda table: table[::-1])
    command = [sys.executable, "-c", WITHOUT_TORCH, str(first)]
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "PYTHONHASHSEED": "1"})
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "savefig.dpi": 50}):
        write_report(again)
    mine, others = made(first), made(again)
    assert mine.pop("runs.csv") != others.pop("runs.csv")
    assert mine == others
    written = mine["REPORT.md"].decode()
    for name in mine:
        if name.startswith(("figures/", "tables/")):
            assert name in written


def test_the_page_begins_with_the_claim_and_ends_with_how_to_make_it_again(text):
    heads = [line for line in text.splitlines() if line.startswith(("# ", "## ", "**Claim"))]
    assert heads[1].startswith("**Claim A**")
    assert [head for head in heads if head.startswith("## ")] == [
        "## Textures",
        "## Runs without results",
        "## Hardware and versions",
        "## Making it again",
    ]


def test_every_experiment_has_its_task_table_and_figures(report, text):
    for result in report.results.values():
        own = section(text, result.experiment.title)
        assert result.experiment.task in own.lower()
        assert f"tables/{result.experiment.slug}.csv" in own
        assert f"figures/{result.experiment.slug}_" in own


def test_the_numbers_of_a_table_are_those_of_its_runs(report):
    table = pd.read_csv(StringIO(tables(report)["textures_laptop.csv"])).set_index("arm")
    runs = report.preset.frames["textures/laptop"]
    masked = runs[runs["kind"] == "masks"].set_index("config.seed")["final.test.error"]
    plain = runs[runs["kind"] == "no masks"].set_index("config.seed")["final.test.error"]
    row = table.loc["fine 0.5, coarse 0.9"]
    assert row["final"] == pytest.approx(masked.mean(), rel=1e-5)
    assert row["difference"] == pytest.approx((masked - plain).mean(), rel=1e-5)
    assert (row["pairs"], row["seeds"], row["unfinished"]) == (4, 4, 0)


def test_runs_without_results_are_named_and_counted(report, text):
    listed = text.split("## Runs without results")[1].split("## ")[0]
    assert "textures/crops, crops of 129 px, seed 2: missing" in listed
    assert "shared over the batch, seed 1: failed: FloatingPointError: loss is NaN" in listed
    table = pd.read_csv(StringIO(tables(report)["textures_crops.csv"])).set_index("arm")
    assert table.loc["crops of 129 px", ["seeds", "unfinished"]].tolist() == [2, 1]


def test_an_arm_and_an_experiment_without_finished_runs_stop_nothing(tmp_path):
    def lose(table):
        lost = (table["config.masks.fine.p"] != "") | table["experiments"].str.contains("crops")
        return table.assign(status=table["status"].mask(lost, "missing"))

    text = page(make_report(changed(tmp_path, lose)))
    assert "No run of this experiment has finished." in section(text, "Random crops")
    assert "not tested by the finished runs" in text
    assert "| fine 0.5, coarse 0.9 | 0 | — |" in text


def test_kinds_of_hardware_are_named_and_not_paired(tmp_path, text):
    assert "2 kinds of hardware" in section(text, "Main contrast")

    def move(table):
        masked = table["config.masks.fine.p"] != ""
        return table.assign(**{"provenance.torch": masked.map({True: "1", False: "2"})})

    assert "| no pairs |" in page(make_report(changed(tmp_path, move)))


def test_a_search_shows_the_best_of_each_arm_and_where_better_may_lie(text):
    own = section(text, "Choice of the rate")
    row = next(line for line in own.splitlines() if line.startswith("| fine 0.5, coarse 0.9 | 2 |"))
    assert "| learning rate 0.01 | lowest learning rate |" in row
    assert "verdict" not in own


def test_rows_that_stand_in_no_experiment_are_counted(tmp_path):
    old = [run("masks", 0, 0.3, id="old")]
    folder = write_preset(tmp_path / "mine", {"textures/a": ({}, [run("no masks", 0, 0.5)])}, old)
    assert "1 finished rows of `runs.csv` belong to no experiment" in page(make_report(folder))


def test_an_experiment_of_no_chapter_is_shown_after_the_chapters(tmp_path):
    folder = write_preset(tmp_path / "mine", {"own/new": ({}, [run("no masks", 0, 0.5)])})
    report = make_report(folder)
    assert page(report).index("## Other experiments") < page(report).index("### Made")
    assert list(tables(report)) == ["own_new.csv"]


def test_a_preset_that_was_not_collected_ends_with_one_line(tmp_path, capsys):
    folder = changed(tmp_path, lambda table: table)
    (folder / "arms.csv").unlink()
    with pytest.raises(SystemExit) as ended:
        main([str(folder)])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said == f"{folder / 'arms.csv'} is not there: make collect PRESET={folder.name}\n"


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.name)
def test_committed_reports_and_tables_are_current(preset):
    report = make_report(preset)
    assert (preset / "REPORT.md").read_text(encoding="utf-8") == page(report), "run make figures"
    written = tables(report)
    assert {path.name for path in (preset / "tables").iterdir()} == set(written)
    for name, content in written.items():
        assert (preset / "tables" / name).read_text(encoding="utf-8") == content
    planned = [plan.name for plans in report.figures.values() for plan in plans]
    planned += [plan.name for plan in report.pictures]
    assert {path.stem for path in (preset / "figures").iterdir()} == set(planned)
