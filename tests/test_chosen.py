"""What experiments take as chosen is what validation chose, by the committed tuning table."""

from functools import cache
from pathlib import Path

import pytest

from experiments.arms import read_chosen
from experiments.choose import searches, write_chosen
from experiments.chosen import Unfinished, choose, chosen_text
from experiments.collect import finished_by_question
from experiments.configurations import PROJECT
from experiments.plan import plan
from experiments.schema import CONF

TUNING = Path(__file__).resolve().parent.parent / "results" / "tuning"
SEARCHES = searches()


@cache
def finished():
    return finished_by_question(TUNING)


@pytest.mark.parametrize("name", SEARCHES)
def test_a_committed_choice_is_what_validation_chose(name):
    search, jobs = SEARCHES[name].search, plan([name])
    path = Path(CONF) / "chosen" / f"{name}.yaml"
    try:
        found = choose(name, jobs, finished(), search.statistic.name)
    except Unfinished:
        assert not path.exists()
        return
    metric = jobs[0].settings["metric"]
    text = chosen_text(name, found, metric, len(search.seeds), search.statistic.name)
    assert path.read_text() == text


def test_every_file_of_choices_is_that_of_a_search():
    folder = Path(CONF) / "chosen"
    names = {p.relative_to(folder).with_suffix("").as_posix() for p in folder.rglob("*.yaml")}
    assert names <= set(SEARCHES) <= set(PROJECT.names("experiment"))


def trained_by(settings):
    """Give all that a training depends on but its seed."""
    left_out = ("seed", "validation", "test", "measures", "system")
    kept = {key: value for key, value in settings.items() if key not in left_out}
    return kept | {"dataset": {k: v for k, v in kept["dataset"].items() if k not in left_out}}


@pytest.mark.parametrize("name", ["auc/digits_p", "neighbours/cifar", "neighbours/mlp_letter"])
def test_a_final_run_is_a_tuning_run_of_the_chosen_configuration(name):
    search = {
        "auc/digits_p": "auc/tuning_digits",
        "neighbours/cifar": "neighbours/tuning_cifar",
        "neighbours/mlp_letter": "neighbours/tuning_mlp_letter",
    }[name]
    tried = [trained_by(job.settings) for job in plan([search])]
    assert all(trained_by(job.settings) in tried for job in plan([name]))


@pytest.mark.parametrize("task", ["digits", "letter"])
@pytest.mark.parametrize("budget", ["updates", "passes"])
def test_the_sample_masks_have_the_probability_that_validation_chose(task, budget):
    search = f"auc/tuning_{task}"
    found = choose(search, plan([search]), finished(), "mean")
    setting = f"equal {budget}"
    of_masks = {
        arm: each.value
        for arm, each in found.items()
        if arm.startswith("sample masks") and arm.endswith(f"({setting})")
    }
    jobs = plan([f"auc/{task}_{budget}"])
    (arm,) = {f"{p.arm} ({setting})" for j in jobs for p in j.places if p.kind == "sample masks"}
    assert arm == max(of_masks, key=of_masks.__getitem__)


@pytest.mark.parametrize(
    ("finals", "net"), [(("cifar/laptop", "cifar/images"), ""), (("cifar/no_norm",), "_no_norm")]
)
def test_runs_on_natural_images_have_the_rate_and_mask_that_validation_chose(finals, net):
    rate = read_chosen(PROJECT, f"cifar/tuning{net}")["no masks"]["optimizer.lr"]
    masks = read_chosen(PROJECT, f"cifar/tuning_masks{net}")["masks"]
    for job in plan(finals):
        assert job.settings["optimizer"]["lr"] == rate
        for name, mask in job.settings["masks"].items():
            assert (name, mask["p"]) == ("fine", masks["masks.fine.p"] or 0.5)


def test_what_is_no_search_is_refused(tmp_path):
    with pytest.raises(ValueError, match="textures/laptop is no search; the searches are auc/"):
        write_chosen(["textures/laptop"], tmp_path, tmp_path)


def test_an_unfinished_search_is_left_alone_and_named(tmp_path, capsys):
    write_chosen(["textures/tuning"], tmp_path, tmp_path)
    assert "textures/tuning: left alone, 27 of 27 runs" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
