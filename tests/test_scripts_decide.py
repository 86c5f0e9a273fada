"""What the primary comparisons have come to, on the committed table and on a part of it."""

import shutil
from pathlib import Path

import pytest

from experiments.checksums import NAME
from scripts.compare.comparison import compare_all
from scripts.compare.two_way import over_items
from scripts.decide import decide, main
from scripts.read.preset import read_preset
from scripts.read.tables import read_text

PRIMARY = Path(__file__).resolve().parent.parent / "results" / "primary"
EXPERIMENT = "auc/letter"


@pytest.fixture
def shorter(tmp_path):
    """Give a function that copies the preset with the seeds below a number."""

    def shorter(seed):
        folder = shutil.copytree(PRIMARY, tmp_path / "primary")
        (folder / NAME).unlink()
        runs = read_text(folder / "runs.csv")
        runs[runs["config.seed"].astype(int) < seed].to_csv(folder / "runs.csv", index=False)
        return folder

    return shorter


def primary(folder):
    (one,) = compare_all(read_preset(folder), [EXPERIMENT])[EXPERIMENT].tested
    return one


def test_a_decided_comparison_asks_for_no_more_pairs(capsys):
    assert decide(PRIMARY) == {}
    assert primary(PRIMARY).decision.verdict.value in capsys.readouterr().err


def test_a_comparison_below_its_first_look_asks_for_that(shorter, capsys):
    main([str(shorter(1010))])
    assert capsys.readouterr().out == f"{EXPERIMENT}=20\n"


def test_a_preset_without_looks_is_refused():
    with pytest.raises(ValueError, match="declares looks"):
        decide(PRIMARY.with_name("laptop"))


def test_the_interval_over_items_is_wider_and_about_the_last_epoch():
    one, kept = primary(PRIMARY), read_preset(PRIMARY).outputs
    found = over_items(one, kept)
    assert found.n == len(one.pairs)
    assert found.mean == pytest.approx(one.gain.mean, abs=0.005)
    assert found.half_width > one.gain.half_width * 0.9


def test_without_the_outputs_of_a_run_there_is_no_interval_over_items():
    one, kept = primary(PRIMARY), dict(read_preset(PRIMARY).outputs)
    del kept[one.paired_ids[3][1]]
    assert over_items(one, kept) is None
