"""The whole report of a small made-up preset."""

import os
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path

import matplotlib
import pandas as pd
import pytest

from experiments.checksums import write_checked
from scripts.report import main, make_report, write_report
from scripts.textures import EASIER, texture_task

ROOT = Path(__file__).resolve().parent.parent
TINY = Path(__file__).parent / "fixtures" / "results_tiny"

KINDS = {"textures/laptop", "textures/grid"}
"""Experiments that together have every kind of figure."""

WITHOUT_TORCH = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name in {"experiments", "experiments.checksums"}:  # of the standard library alone
            return None
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
    return report.text


def numbers(report, experiment):
    return pd.read_csv(StringIO(report.tables[f"{experiment}.csv"])).set_index("arm")


def without(tmp_path, change):
    """Copy the preset with a changed table of runs."""
    copy = tmp_path / "changed"
    shutil.copytree(TINY, copy)
    table = pd.read_csv(copy / "runs.csv", dtype=str, keep_default_na=False)
    change(table).to_csv(copy / "runs.csv", index=False)
    return copy


def only_kinds(table):
    names = [KINDS.intersection(cell.split(";")) for cell in table["experiments"]]
    return table.assign(experiments=[";".join(sorted(kept)) for kept in names])


def made(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_bytes_are_made_again_without_torch_and_whatever_the_settings(tmp_path):
    first = without(tmp_path / "first", only_kinds)
    again = tmp_path / "again" / first.name
    shutil.copytree(first, again)
    command = [sys.executable, "-c", WITHOUT_TORCH, str(first)]
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "PYTHONHASHSEED": "1"})
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "savefig.dpi": 50}):
        write_report(again)
    assert made(first) == made(again)
    assert not any(b"CreationDate" in content for content in made(again).values())
    text = (again / "REPORT.md").read_text(encoding="utf-8")
    for name in made(again):
        if name.startswith(("figures/", "tables/")) and not name.endswith(".md"):
            assert name in text


def test_the_order_of_the_runs_plays_no_part(text, tmp_path):
    copy = without(tmp_path, lambda table: table[::-1]).rename(tmp_path / TINY.name)
    assert make_report(copy).text == text


def test_the_first_chapter_answers_the_claim_from_the_tables(report, text):
    claim, primary, groups, page, note, answers = text.split("\n\n")[1:7]
    row = numbers(report, "textures_laptop").loc["fine 0.5, coarse 0.9"]
    assert claim.startswith("**Claim A**")
    assert f"gain +{-row['difference']:.3f}" in primary
    assert "undecided" in groups
    assert "docs/findings.md" in page
    assert f"{row['difference']:.3f}".replace("-", "−") in answers
    assert EASIER in note.lower()


def test_the_task_is_named_with_every_table(report, text):
    sections = text.split("\n### ")[1:]
    assert all(EASIER in section.lower() for section in sections if "| seeds |" in section)
    written = [table for name, table in report.tables.items() if name.endswith(".md")]
    assert all(table.startswith(EASIER) for table in written)


def test_runs_without_results_are_named_and_leave_gaps(report, text):
    assert "random crops, 129 px, seed 2: missing" in text
    assert "shared over the batch, seed 1: failed: FloatingPointError: loss is NaN" in text
    crops = numbers(report, "textures_crops")
    assert crops.loc["no masks, random crops, 129 px", ["seeds", "unfinished"]].tolist() == [2, 1]


def test_an_arm_and_an_experiment_without_finished_runs_stop_nothing(tmp_path):
    def change(table):
        masked = table["config.masks.fine.p"] != ""
        lost = masked | table["experiments"].str.contains("crops")
        return table.assign(status=table["status"].mask(lost, "missing"))

    report = make_report(without(tmp_path, change))
    crops = report.text.split("### Random crops")[1].split("### ")[0]
    assert "No run of this experiment has finished." in crops
    assert "not tested by the finished runs" in report.text
    assert "| fine 0.5, coarse 0.9 | 0 | — |" in report.text
    assert "<details>" in report.text


def test_rows_that_no_experiment_plans_any_more_are_compared_all_the_same(tmp_path, report):
    def unplan(table):
        plain = (table["config.masks.fine.p"] == "") & (table["config.augmentation._target_"] == "")
        laptop = table["experiments"].str.contains("textures/laptop")
        return table.assign(experiments=table["experiments"].mask(plain & laptop, ""))

    changed = make_report(without(tmp_path, unplan))
    row = numbers(report, "textures_laptop").loc["fine 0.5, coarse 0.9"]
    earlier = changed.tables["earlier_designs.md"]
    assert f"{row['difference']:+.3f}".replace("-", "−") in earlier
    assert earlier.strip() in changed.text
    assert "## Earlier designs" in changed.text
    assert "Earlier designs" not in report.text


def test_a_preset_without_any_result_has_a_report(tmp_path):
    folder = without(
        tmp_path,
        lambda table: (
            table[[c for c in table if c.startswith("config.") or "." not in c]]
            .assign(status="missing")
            .drop(columns="seconds")
        ),
    )
    (folder / "curves.csv").write_text("id\n")
    shutil.rmtree(folder / "pictures")
    write_report(folder)
    text = (folder / "REPORT.md").read_text(encoding="utf-8")
    assert "No run of this experiment has finished." in text
    assert "`pictures/gradients.npz` is not there" in text


def test_kinds_of_hardware_are_named_and_not_paired(tmp_path, text):
    laptop = text.split("### Main contrast")[1].split("### ")[0]
    assert "2 kinds of hardware" in laptop

    def change(table):
        masked = table["config.masks.fine.p"] != ""
        return table.assign(**{"provenance.torch": masked.map({True: "1", False: "2"})})

    report = make_report(without(tmp_path, change))
    assert "| no pairs |" in report.text
    assert "not tested by the finished runs" in report.text


def test_an_undeclared_experiment_is_shown_all_the_same(tmp_path):
    folder = without(tmp_path, lambda table: table.assign(experiments="mine/new"))
    report = make_report(folder)
    assert "### mine/new" in report.text
    assert "mine_new.csv" in report.tables


def test_the_chosen_setting_of_each_arm_is_named(text):
    tuning = text.split("### Choice of SGD's learning rate")[1].split("### ")[0]
    best = "fine 0.5, coarse 0.9 (learning rate 0.01, the lowest tried)"
    assert f"The best mean validation error: {best}" in tuning


def test_a_chosen_setting_is_no_end_where_worse_ones_lie_on_both_sides(tmp_path):
    def change(table):
        lower = table["experiments"].eq("textures/tuning_sgd")
        lower &= table["config.optimizer.lr"].eq("0.1")
        lower = table[lower].assign(**{"config.optimizer.lr": "0.001"})
        return pd.concat([table, lower.assign(id="lower" + lower["id"])])

    tuning = make_report(without(tmp_path, change)).text.split("### Choice of SGD's")[1]
    best = "fine 0.5, coarse 0.9 (learning rate 0.01), "
    assert f"The best mean validation error: {best}" in tuning.split("### ")[0]


def test_the_heat_map_shows_numbers_and_gaps(tmp_path):
    def change(table):
        grid = table["experiments"].str.contains("grid")
        cell = grid & (table["config.masks.fine.p"] == "0.95")
        lost = cell & (table["config.masks.coarse.p"] == "0.9")
        once = cell & ~lost & (table["config.seed"] != "0")
        return table.assign(status=table["status"].mask(lost | once, "missing"))

    figures = make_report(without(tmp_path, change)).figures
    (heat_map,) = [plan for plan in figures if plan.name == "textures_grid_heat_map"]
    cells = [text.get_text() for text in heat_map.draw().axes[0].texts]
    assert len(cells) == 6
    assert cells.count("no run") == 1
    assert sum("one seed" in cell for cell in cells) == 1
    assert sum("*" in cell for cell in cells) == 3
    assert "0.315\n±0.050" in cells


@pytest.mark.parametrize(
    ("lengths", "size", "words"),
    [
        (((2.375, 2.75), (20.0, 35.0)), 256, EASIER),
        (((3.77, 3.97), (40.0, 70.0)), 512, "the original's proportions at 512 px"),
        (((9.5, 10.0), (80.0, 140.0)), 1024, ""),
        (None, 64, EASIER),
    ],
)
def test_the_task_is_named_by_its_lengths(lengths, size, words):
    assert texture_task({"dataset.lengths": lengths, "dataset.size": size}) == words


def test_other_data_have_no_task_name():
    assert texture_task({"dataset._target_": "backdrop.datasets.CIFAR10", "dataset.size": 32}) == ""


def test_a_table_that_was_changed_is_refused_and_one_without_a_sum_is_said(tmp_path, capsys):
    preset = tmp_path / "tiny"
    shutil.copytree(TINY, preset)
    main([str(preset)])
    assert "has no SHA256SUMS yet" in capsys.readouterr().err
    runs = preset / "runs.csv"
    write_checked(runs, runs.read_bytes())
    main([str(preset)])
    assert "SHA256SUMS" not in capsys.readouterr().err
    runs.write_bytes(runs.read_bytes().replace(b"0.", b"1.", 1))
    with pytest.raises(SystemExit):
        main([str(preset)])
    said = capsys.readouterr().err
    assert f"{runs} is damaged" in said
    assert f"--renew {preset}" in said
