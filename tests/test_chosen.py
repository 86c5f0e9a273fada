"""What an experiment fixes beforehand is what validation chose, by the committed tuning table."""

import json
from collections import defaultdict
from pathlib import Path
from statistics import mean

import pytest

from experiments.sweep import plan
from experiments.tables import read, settings_of

TABLE = Path(__file__).resolve().parent.parent / "results" / "tuning" / "runs.csv"


def probabilities(settings):
    return {name: mask["p"] for name, mask in settings["masks"].items() if mask["p"]}


def arm(settings):
    """Give all that tells arms of one experiment apart, but the learning rate."""
    loss, size = settings["loss"]["_target_"], settings["batch_size"]
    return json.dumps([probabilities(settings), loss, size, settings["batching"]])


def validated(experiment):
    """Give the mean validation metric by arm and learning rate, higher for better."""
    table = read(TABLE)
    values = defaultdict(lambda: defaultdict(list))
    for row in table[table["experiments"] == experiment].to_dict("records"):
        settings = settings_of(row)
        sign = -1 if settings["metric"] == "error" else 1
        value = sign * row[f"final.validation.{settings['metric']}"]
        values[arm(settings)][settings["optimizer"]["lr"]].append(value)
    return {
        name: {rate: mean(found) for rate, found in by_rate.items()}
        for name, by_rate in values.items()
    }


@pytest.mark.parametrize("task", ["digits", "letter"])
@pytest.mark.parametrize("budget", ["updates", "passes"])
def test_every_arm_of_the_auc_experiments_has_the_rate_that_validation_chose(task, budget):
    rates = validated(f"auc/tuning_{task}_{budget}")
    for job in plan([f"auc/{task}_{budget}", f"auc/{task}_p_{budget}"]):
        by_rate = rates[arm(job.settings)]
        assert job.settings["optimizer"]["lr"] == max(by_rate, key=by_rate.get), job.label


@pytest.mark.parametrize("task", ["digits", "letter"])
@pytest.mark.parametrize("budget", ["updates", "passes"])
def test_the_sample_masks_have_the_probability_that_validation_chose(task, budget):
    best = {name: max(v.values()) for name, v in validated(f"auc/tuning_{task}_{budget}").items()}
    masked = {name: value for name, value in best.items() if json.loads(name)[0]}
    (chosen,) = {
        arm(job.settings) for job in plan([f"auc/{task}_{budget}"]) if job.settings["masks"]
    }
    assert chosen == max(masked, key=masked.get)


def test_the_main_contrast_on_natural_images_has_the_rate_and_masks_that_validation_chose():
    (by_rate,) = validated("cifar/tuning").values()
    masked = {
        name: value
        for name, by in validated("cifar/tuning_masks").items()
        if json.loads(name)[0]
        for value in by.values()
    }
    for job in plan(["cifar/laptop", "cifar/images"]):
        assert job.settings["optimizer"]["lr"] == max(by_rate, key=by_rate.get)
        if job.settings["masks"]:
            assert arm(job.settings) == max(masked, key=masked.get)
