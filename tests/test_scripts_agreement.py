"""Agreement of new runs with the committed ones."""

from pathlib import Path

import pandas as pd
import pytest

from scripts.agreement import agreement

RUNS = Path(__file__).parent / "fixtures" / "results_tiny" / "runs.csv"
MASKED = "  fine 0.5, coarse 0.9: "


@pytest.fixture
def changed(tmp_path):
    """Give a function that writes the fixture's runs after a change and gives the path."""

    def write(change):
        table = pd.read_csv(RUNS, dtype=str, keep_default_na=False)
        table = table[table["experiments"].str.contains("laptop")]
        table = table.assign(experiments="textures/laptop")
        change(table).to_csv(tmp_path / "new.csv", index=False)
        return tmp_path / "new.csv"

    return write


def shifted(by, also=lambda table: table):
    def change(table):
        masked = table["config.masks.fine.p"] != ""
        error = table["final.test.error"].astype(float) + by * masked
        return also(table.assign(**{"final.test.error": error.map(repr)}))

    return change


def line(text, start=MASKED):
    laptop = text.split("textures/laptop")[1].split("\n\n")[0]
    return next(line for line in laptop.splitlines() if line.startswith(start))


def test_the_same_runs_agree_in_every_digit(changed):
    text = agreement(changed(lambda table: table), RUNS)
    assert "agrees" in line(text)
    assert "4 of 4 runs equal in every digit" in line(text)
    assert "small task, easier than the original" in text


def test_small_changes_agree_without_being_equal(changed):
    text = line(agreement(RUNS, changed(shifted(1e-9))))
    assert "agrees" in text
    assert "0 of 4 runs equal in every digit" in text


def test_large_changes_differ(changed):
    text = agreement(RUNS, changed(shifted(0.3)))
    assert "DIFFERS (difference +0.300" in line(text)
    assert "1 of 2 arms agree" in text
    assert "by chance alone" in text


def test_seeds_share_training_sets_so_a_shift_of_all_of_them_is_seen(changed):
    """The shift is smaller than the spread between seeds, which sets of their own would hide."""

    def spread(by):
        def change(table):
            value = [repr(0.1 + 0.1 * int(seed) + by + 1e-3 * int(seed) * by)
                     for seed in table["config.seed"]]  # fmt: skip
            return table.assign(**{"final.test.error": value})

        return change

    old = changed(spread(0.0))
    reference = old.rename(old.with_name("reference.csv"))
    assert "DIFFERS (difference +0.050" in line(agreement(reference, changed(spread(0.05))))


def test_one_run_agrees_only_if_it_is_equal(changed):
    old = changed(lambda table: table[table["config.seed"] == "0"])
    reference = old.rename(old.with_name("reference.csv"))
    one = lambda table: table[table["config.seed"] == "0"]  # noqa: E731
    assert "agrees; 1 of 1 runs" in line(agreement(reference, changed(one)))
    assert "too few runs to tell; 0 of 1" in line(agreement(reference, changed(shifted(0.1, one))))


def test_other_hardware_is_named_and_its_runs_are_compared_with_their_arm(changed):
    def other(table):
        ids = ["new" + id for id in table["id"]]
        precision = {"config.precision": '"float32"', "provenance.processor": "another"}
        return table.assign(id=ids, **precision)

    text = agreement(RUNS, changed(other))
    assert "no run has the same configuration and seed on both sides" in line(text)
    assert "agrees" in line(text)
    assert "new on another, cpu, float32" in text


def test_arms_on_one_side_only_are_said_to_be_so(changed):
    plain = changed(lambda table: table[table["config.masks.fine.p"] == ""])
    assert "not run now; committed 0.188 (4 seeds)" in line(agreement(RUNS, plain))
    assert "new only, 0.188 (4 seeds)" in line(agreement(plain, RUNS))


def test_without_a_reference_it_says_so(tmp_path, changed):
    nothing = "nothing committed to compare with"
    assert nothing in agreement(tmp_path / "none.csv", RUNS)
    unfinished = changed(lambda table: table.assign(status="missing"))
    assert nothing in agreement(unfinished, RUNS)
    assert "nothing new to compare" in agreement(RUNS, unfinished)
