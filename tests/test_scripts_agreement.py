"""Agreement of the runs made here with the committed ones."""

import shutil

import pandas as pd
import pytest

from scripts.agreement import agreement, main
from scripts.compare.sides import NothingCommitted, NothingMadeHere
from tests.made_runs import TINY

MASKED = "  fine 0.5, coarse 0.9: "


def same(table):
    return table


def only(*seeds):
    return lambda table: table[table["config.seed"].isin(seeds)]


def lost(*seeds):
    def change(table):
        status = table["status"].mask(table["config.seed"].isin(seeds), "missing")
        return table.assign(status=status)

    return change


def shifted(by):
    def change(table):
        masked = table["config.masks.fine.p"] != ""
        error = table["final.test.error"].astype(float) + by * masked
        return table.assign(**{"final.test.error": error.map(repr)})

    return change


@pytest.fixture
def preset(tmp_path):
    """Give a function that writes both sides of the main contrast, each after a change."""

    def write(reference, here):
        folder = tmp_path / "results" / "tiny"
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("arms.csv", "experiments.json"):
            shutil.copy(TINY / name, folder)
        table = pd.read_csv(TINY / "runs.csv", dtype=str, keep_default_na=False)
        table = table[table["experiments"].str.contains("laptop")]
        for side, change in (("reference", reference), ("here", here)):
            path = folder.parent / "runs" / side / "tiny.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            if change:
                change(table).to_csv(path, index=False)
        return folder

    return write


@pytest.fixture
def said(preset):
    return lambda reference, here: agreement(preset(reference, here))


def line(text):
    laptop = text.split("textures/laptop")[1].split("\n\n")[0]
    return next(line for line in laptop.splitlines() if line.startswith(MASKED))


@pytest.mark.parametrize(
    ("here", "words"),
    [
        (same, ("agrees", "4 of 4 runs equal in every digit")),
        (shifted(1e-9), ("agrees", "0 of 4 runs equal in every digit")),
        (shifted(0.3), ("DIFFERS (difference +0.300",)),
        (lost("2", "3"), ("difference on 2 seeds 0.000", "2 of 2 runs equal in every digit")),
        (lost("1", "2", "3"), ("too few runs to tell; 1 of 1 runs equal",)),
        (lambda t: t[t["config.masks.fine.p"] == ""], ("not run now; committed",)),
    ],
)
def test_an_arm_agrees_as_far_as_its_runs_tell(said, here, words):
    found = line(said(same, here))
    assert all(word in found for word in words)


def test_seeds_share_training_sets_so_a_shift_of_all_of_them_is_seen(said):
    """The shift is smaller than the spread between seeds, which sets of their own would hide."""

    def spread(by):
        def change(table):
            seeds = table["config.seed"].astype(int)
            value = 0.1 + 0.1 * seeds + by + 1e-3 * seeds * by
            return table.assign(**{"final.test.error": value.map(repr)})

        return change

    assert "DIFFERS (difference +0.050" in line(said(spread(0.0), spread(0.05)))


def test_one_run_agrees_only_if_it_is_equal(said):
    one = only("0")
    assert "agrees; 1 of 1 runs" in line(said(one, one))
    other = line(said(one, lambda table: shifted(0.1)(one(table))))
    assert "too few runs to tell; 0 of 1" in other


def test_other_hardware_is_named_and_its_runs_are_compared_with_their_arm(said):
    def other(table):
        precision = {"config.precision": '"float32"', "provenance.processor": "another"}
        return table.assign(id="new" + table["id"], **precision)

    text = said(same, other)
    assert "no run has the same configuration and seed on both sides" in line(text)
    assert "agrees" in line(text)
    assert "8 of 8 runs of the preset `tiny` were made here, on another, cpu, float32" in text
    assert "The committed ones were made on made-up processor" in text


def test_runs_that_the_committed_table_lacks_are_new_and_do_not_agree(said):
    text = said(only("0", "1"), same)
    assert "2 of 2 runs equal in every digit; new 0." in line(text)
    assert "4 of them are new: not in the committed table." in text
    text = said(only("0", "1"), only("2", "3"))
    assert "not run now; committed" in line(text)
    assert "agree" not in text
    assert "Nothing was compared: no run made here is in the committed table." in text


@pytest.mark.parametrize("reference", [None, lost("0", "1", "2", "3")])
def test_without_a_committed_run_it_says_so_and_ends_well(preset, reference, capsys):
    folder = preset(reference, same)
    with pytest.raises(NothingCommitted, match="nothing committed to compare with"):
        agreement(folder)
    assert main([str(folder), "--required"]) == 0
    assert "nothing committed" in capsys.readouterr().out


@pytest.mark.parametrize("here", [None, lost("0", "1", "2", "3")])
def test_without_a_run_made_here_it_ends_with_an_error_if_required(preset, here, capsys):
    folder = preset(same, here)
    with pytest.raises(NothingMadeHere, match="Nothing was compared"):
        agreement(folder)
    assert main([str(folder)]) == 0
    assert main([str(folder), "--required"]) == 1


def test_what_agrees_not_at_all_ends_well_too(preset):
    assert main([str(preset(same, shifted(0.3))), "--required"]) == 0
