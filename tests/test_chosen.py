"""What an experiment fixes beforehand is what validation chose, by the committed tuning table."""

from functools import cache
from pathlib import Path

import pytest
import yaml

from experiments import choose
from experiments.choose import (
    CHOICES,
    RATES,
    STRENGTHS,
    Choice,
    Unfinished,
    chosen_file,
    validated,
)
from experiments.collect import finished_rows
from experiments.sweep import plan
from experiments.train import CONF

TASKS, BUDGETS = ("digits", "letter", "cifar"), ("updates", "passes")
TUNING = Path(__file__).resolve().parent.parent / "results" / "tuning"


FINAL = {name: f"neighbours/{name.removeprefix('strengths/')}" for name in STRENGTHS}
FINAL |= {f"rates/{t}_{b}": f"auc/{t}_p_{b}" for t in TASKS for b in BUDGETS}


@cache
def planned(experiment):
    return plan([experiment])


@cache
def scores(choice):
    return validated(choice, TUNING)


def committed(name):
    return (Path(CONF) / f"{name}.yaml").read_text()


def options(name):
    """Give the committed options by arm and by p or width, as text."""
    return {
        (arm, str(at)): str(option)
        for arm, found in yaml.safe_load(committed(name)).items()
        for at, option in (found if isinstance(found, dict) else {"": found}).items()
    }


def trained_by(settings):
    """Give all that a training depends on but its seed."""
    left_out = ("seed", "validation", "test", "measures", "system")
    kept = {key: value for key, value in settings.items() if key not in left_out}
    return kept | {"dataset": {k: v for k, v in kept["dataset"].items() if k not in left_out}}


@pytest.mark.parametrize("name", CHOICES)
def test_a_committed_choice_is_what_validation_chose_or_says_that_it_is_not_made(name):
    try:
        chosen = chosen_file(CHOICES[name], scores(CHOICES[name]))
    except Unfinished:
        assert name not in RATES
        assert "until validation has chosen" in committed(name).splitlines()[0]
    else:
        assert committed(name) == chosen


@pytest.mark.parametrize("name", STRENGTHS)
def test_every_treated_arm_has_one_of_three_strengths_at_each_width(name):
    tried = {}
    for job in planned(CHOICES[name].experiment):
        *where, level = choose.place(job, CHOICES[name])
        tried.setdefault(tuple(where), []).append(level)
    found = options(name)
    assert set(found) == {(arm, at) for arm, at in tried if arm != "none"}
    for where, level in found.items():
        assert tried[where] == 3 * ["weak", "middle", "strong"]  # at three seeds
        assert level in tried[where]


@pytest.mark.parametrize(("name", "final"), FINAL.items())
def test_a_final_run_is_a_tuning_run_with_the_chosen_option(name, final):
    choice = CHOICES[name]
    tried = {choose.place(job, choice): job.settings for job in planned(choice.experiment)}
    for job in planned(final):
        arm, at, _ = choose.place(job, choice)
        option = options(name).get((arm, at)) or options(name).get((arm, ""), "weak")
        assert trained_by(job.settings) == trained_by(tried[arm, at, option]), job.label


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("budget", BUDGETS)
def test_the_sample_masks_have_the_probability_that_validation_chose(task, budget):
    by_p = scores(RATES[f"rates/{task}_{budget}"])["sample_masks"]
    jobs = planned(f"auc/{task}_{budget}")
    (chosen,) = {mask["p"] for job in jobs for mask in job.settings["masks"].values()}
    assert str(chosen) == max(by_p, key=lambda p: max(by_p[p].values()))


@pytest.mark.parametrize(
    ("finals", "net"), [(("cifar/laptop", "cifar/images"), ""), (("cifar/no_norm",), "_no_norm")]
)
def test_runs_on_natural_images_have_the_rate_and_masks_that_validation_chose(finals, net):
    by_masks = scores(Choice(f"cifar/tuning{net}", "optimizer.lr", "masks"))[""]
    rates = by_masks.get("none", by_masks.get(""))
    by_fine = scores(Choice(f"cifar/tuning_masks{net}", "masks.coarse.p", "masks.fine.p"))[""]
    pairs = {
        (float(fine), float(coarse)): score
        for fine, by_coarse in by_fine.items()
        for coarse, score in by_coarse.items()
    }
    del pairs[0.0, 0.0]
    for job in plan(finals):
        assert job.settings["optimizer"]["lr"] == float(max(rates, key=rates.get))
        if masks := job.settings["masks"]:
            ps = tuple(masks.get(name, {"p": 0.0})["p"] for name in ("fine", "coarse"))
            assert ps == max(pairs, key=pairs.get)


def test_the_best_mean_is_chosen_and_of_equals_the_first():
    scores = {
        "none": {"8": {"weak": 0.1}, "9": {"weak": 0.1}},
        "dropout": {"8": {"weak": -0.3, "strong": -0.2}, "9": {"weak": -0.2, "strong": -0.2}},
        "backdrop": {"8": {"weak": 0.1, "strong": 0.2}},
    }
    text = chosen_file(Choice("neighbours/x", "choices.level"), scores)
    assert text.splitlines() == [
        "# Strengths of the arms, chosen by validation (neighbours/x).",
        "dropout: {8: strong, 9: weak}",
        "backdrop: strong",
    ]


def test_files_are_written_from_finished_tuning_runs_and_the_others_left_alone(
    tmp_path, monkeypatch, capsys
):
    names = ["rates/digits_passes", "rates/letter_passes"]
    monkeypatch.setattr(choose, "CHOICES", {name: CHOICES[name] for name in names})
    table = finished_rows(TUNING)
    letters = table["experiments"] == "auc/tuning_letter_passes"
    table.loc[letters, "final.validation.auc"] = table["config.optimizer.lr"].astype(float)
    last_digits = table.index[table["experiments"] == "auc/tuning_digits_passes"][-1]
    table.drop(index=last_digits).to_csv(tmp_path / "runs.csv", index=False)
    (tmp_path / "rates").mkdir()
    choose.write_choices(tmp_path, tmp_path)
    said = "rates/digits_passes: left alone, 1 of 378 runs of auc/tuning_digits_passes are not"
    assert said in capsys.readouterr().out
    (written,) = (tmp_path / "rates").iterdir()
    highest = yaml.safe_load(written.read_text())
    assert highest["full_batch"] == min(highest["minibatch"].values()) == 0.3
