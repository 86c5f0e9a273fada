"""Agreement of the runs made here with the committed ones."""

from pathlib import Path

import pandas as pd
import pytest

from scripts import agreement as module
from scripts.agreement import main
from scripts.sides import NothingCommitted, NothingMadeHere, read_sides

RUNS = Path(__file__).parent / "fixtures" / "results_tiny" / "runs.csv"
MASKED = "  fine 0.5, coarse 0.9: "


def agreement(reference, here):
    return module.agreement(read_sides(reference, here))


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
    assert "8 of 8 runs of the preset `new` were made here, on another, cpu, float32" in text
    assert "The committed ones were made on made-up processor" in text
    assert "only to be expected on equal hardware" in text


def test_equal_hardware_is_named_once(changed):
    same = changed(lambda table: table[table["config.seed"] == "0"])
    text = agreement(same, same)
    assert "The committed ones were made on the same." in text
    assert text.count("made-up processor") == 1


def test_arms_on_one_side_only_are_said_to_be_so(changed):
    plain = changed(lambda table: table[table["config.masks.fine.p"] == ""])
    assert "not run now; committed 0.188 (4 seeds)" in line(agreement(RUNS, plain))
    text = agreement(plain, RUNS)
    assert line(text).endswith(": new 0.188 (4 seeds), not in the committed table")
    assert "1 of 1 arms agree" in text


def only(*seeds):
    return lambda table: table[table["config.seed"].isin(seeds)]


def unfinished(*seeds):
    def change(table):
        status = ["missing" if seed in seeds else "finished" for seed in table["config.seed"]]
        return table.assign(status=status)

    return change


def test_only_runs_that_are_finished_here_count(changed):
    text = agreement(RUNS, changed(unfinished("2", "3")))
    assert "4 of 8 runs of the preset `new` were made here" in text
    assert "committed 0.188 (4 seeds), here" in line(text)
    assert "(difference on 2 seeds 0.000, " in line(text)
    assert "2 of 2 runs equal in every digit" in line(text)
    assert " new" not in line(text)


def test_one_run_of_an_arm_is_too_few_to_tell(changed):
    text = agreement(RUNS, changed(unfinished("1", "2", "3")))
    assert "too few runs to tell; 1 of 1 runs equal in every digit" in line(text)
    assert "No arm has enough runs on both sides to tell." in text


def test_runs_that_the_committed_table_lacks_are_new_and_do_not_agree(changed):
    old = changed(only("0", "1"))
    reference = old.rename(old.with_name("reference.csv"))
    text = agreement(reference, changed(lambda table: table))
    assert "2 of 2 runs equal in every digit; new 0." in line(text)
    assert "(2 seeds), not in the committed table" in line(text)
    assert "4 of them are new: not in the committed table." in text
    text = agreement(reference, changed(only("2", "3")))
    assert "not run now; committed" in line(text)
    assert "agree" not in text
    assert "Nothing was compared: no run made here is in the committed table." in text


def test_without_a_committed_run_it_says_so_and_ends_well(tmp_path, changed, capsys):
    with pytest.raises(NothingCommitted, match="nothing committed to compare with"):
        agreement(tmp_path / "none.csv", RUNS)
    empty = changed(lambda table: table.assign(status="missing"))
    with pytest.raises(NothingCommitted, match="holds no finished run"):
        agreement(empty, RUNS)
    assert main([str(tmp_path / "none.csv"), str(RUNS), "--required"]) == 0
    assert "nothing committed" in capsys.readouterr().out


def test_without_a_run_made_here_it_says_so_and_ends_with_an_error_if_required(
    tmp_path, changed, capsys
):
    empty = changed(lambda table: table.assign(status="missing"))
    with pytest.raises(NothingMadeHere, match=r"no run of the preset `new` .* holds \d+ finished"):
        agreement(RUNS, empty)
    with pytest.raises(NothingMadeHere, match=r"none\.csv does not exist"):
        agreement(RUNS, tmp_path / "none.csv")
    assert main([str(RUNS), str(empty)]) == 0
    assert main([str(RUNS), str(empty), "--required"]) == 1
    said = capsys.readouterr().out
    assert said.count("Nothing was compared") == len(said.splitlines()) == 2


def test_what_agrees_not_at_all_ends_well_too(changed):
    assert main([str(RUNS), str(changed(shifted(0.3))), "--required"]) == 0
