"""The chapters on losses that do not decompose and on natural images, on made-up runs."""

from io import StringIO
from shutil import copytree

import pandas as pd
import pytest

from scripts import summary
from scripts.against_p import against_images
from scripts.batch_figures import against_positives, against_share, rates_by_kind
from scripts.chapters import CHAPTERS, compare_sections, section_of
from scripts.labels import setting_labels
from scripts.learning_curves import learning_curves
from scripts.natural_images import cifar_task
from scripts.non_decomposable import scarce_task
from scripts.report import make_report
from scripts.results_table import read_curves, read_runs
from scripts.sections import TEST_AUC
from tests.made_runs import IMAGES, SCORES, TINY, write_preset

SECTIONS = {section.experiment: section for chapter in CHAPTERS for section in chapter.sections}


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "made"
    write_preset(folder)
    return folder


@pytest.fixture(scope="module")
def report(preset):
    return make_report(preset)


def result(preset, experiment):
    runs, curves = read_runs(preset / "runs.csv"), read_curves(preset / "curves.csv")
    (found,) = compare_sections([SECTIONS[experiment]], runs, curves)
    return found


def numbers(report, name):
    return pd.read_csv(StringIO(report.tables[name])).set_index("arm")


def test_arms_are_named_and_ordered_by_what_an_update_learns_from(preset):
    assert [one.arm.label for one in result(preset, "auc/digits_p_updates").comparisons] == [
        "full batch",
        "sample masks 0.5",
        "sample masks 0.9",
        "minibatches of 80",
        "minibatches of 400",
        "stratified minibatches of 80",
        "stratified minibatches of 400",
        "cross-entropy, minibatches of 80",
        "cross-entropy, minibatches of 400",
    ]


def test_every_arm_has_its_learning_rate_in_a_column_and_the_full_batch_as_baseline(report):
    table = numbers(report, "auc_digits_updates.csv")
    rates = {"full batch": 0.03, "sample masks 0.5": 0.01, "minibatches of 400": 0.003}
    assert {arm: table.loc[arm, "optimizer.lr"] for arm in rates} == rates
    assert set(table["baseline"]) == {"full batch"}
    assert (
        "| arm | learning rate | seeds | test ROC AUC |" in report.tables["auc_digits_updates.md"]
    )


def test_higher_is_better_and_pairs_are_formed(report):
    table = numbers(report, "auc_digits_updates.csv")
    assert table.loc["sample masks 0.5", "difference_low"] > 0
    assert table.loc["minibatches of 400", "difference_high"] < 0
    assert (table["pairs"].drop("full batch") == 3).all()


def test_masks_meet_the_minibatches_of_as_many_samples(preset):
    rivals = result(preset, "auc/digits_p_updates").rivals
    assert [(one.arm.label, one.baseline_label) for one in rivals] == [
        ("sample masks 0.5", "minibatches of 400"),
        ("sample masks 0.9", "minibatches of 80"),
        ("sample masks 0.5", "stratified minibatches of 400"),
        ("sample masks 0.9", "stratified minibatches of 80"),
    ]
    assert all(min(one.gains) > 0 and len(one.gains) == 3 for one in rivals[:2])


def test_the_rivals_stand_in_a_table_of_their_own(report):
    table = numbers(report, "auc_digits_updates_rivals.csv")
    assert list(table["baseline"]) == ["minibatches of 400", "stratified minibatches of 400"]
    text = report.tables["auc_digits_updates.md"]
    assert "Against minibatches as large and stratified minibatches as large:" in text
    assert "textures_laptop_rivals.csv" not in report.tables


def test_skipped_batches_are_counted_a_run_where_runs_count_them(report):
    table = numbers(report, "auc_digits_p_updates.csv")
    assert table.loc["minibatches of 80", "skipped"] == 8
    assert table.loc["full batch", "skipped"] == 0
    assert pd.isna(table.loc["cross-entropy, minibatches of 80", "skipped"])
    assert "batches skipped a run" in report.tables["auc_digits_p_updates.md"]
    assert "skipped" not in report.tables["textures_laptop.csv"]
    assert "skipped" not in report.tables["cifar_laptop.md"]


def test_both_halves_of_the_claim_are_answered(report):
    text = report.text.split("**Claim B")[1].split("**Claim C")[0]
    for rival in ("“full batch”", "minibatches as large", "stratified minibatches as large"):
        assert f"- Against {rival}: " in text
    assert text.count("Verdicts: 2 undecided, 2 of these for want of 10 pairs.") == 3
    assert text.count("| Digits, equal updates |") == 3
    assert "8 positives in 800 samples" in text


def test_keys_that_older_runs_lack_change_nothing_about_them(preset, report):
    (alone,) = compare_sections(
        [SECTIONS["textures/laptop"]],
        read_runs(TINY / "runs.csv"),
        read_curves(TINY / "curves.csv"),
    )
    beside = result(preset, "textures/laptop")
    names = [(one.arm.context_label, one.arm.label) for one in alone.comparisons]
    assert [(one.arm.context_label, one.arm.label) for one in beside.comparisons] == names
    assert make_report(TINY).tables["textures_laptop.md"] == report.tables["textures_laptop.md"]


def test_the_best_learning_rate_of_each_arm_is_named(report):
    text = report.text.split("### Digits, equal updates, choice of the learning rates")[1]
    text = text.split("\n### ")[0]
    assert "best mean validation ROC AUC, the best arm first" in text
    assert "| sample masks 0.5 | learning rate 0.001, the lowest tried |" in text
    assert "| minibatches of 400 | learning rate 0.01, the highest tried |" in text


def test_the_figure_against_p_has_a_line_for_each_kind_and_the_full_batch_across(preset):
    (plan,) = against_share(result(preset, "auc/digits_p_updates"))
    (axes,) = plan.draw().axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "full batch",
        "sample masks",
        "minibatches",
        "stratified minibatches",
        "cross-entropy, minibatches",
    ]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.5", "0.9"]


def test_the_figure_against_positives_has_a_line_for_each_arm(tmp_path, preset):
    def change(table):
        few = table[table["experiments"].str.contains("auc/digits_updates")]
        many = few.assign(id="m" + few["id"], **{"config.dataset.positive_fraction": 0.1})
        return pd.concat([few, many]).assign(experiments="auc/cifar_updates")

    copy = tmp_path / "copy"
    copytree(preset, copy)
    change(pd.read_csv(copy / "runs.csv")).to_csv(copy / "runs.csv", index=False)
    (plan,) = against_positives(result(copy, "auc/cifar_updates"))
    (axes,) = plan.draw().axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "full batch",
        "sample masks 0.5",
        "minibatches of 400",
        "stratified minibatches of 400",
    ]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.01", "0.1"]


def test_learning_rates_are_drawn_for_each_kind(preset):
    (plan,) = rates_by_kind(result(preset, "auc/tuning_digits_updates"))
    titles = [axes.get_title() for axes in plan.draw().axes]
    assert sorted(titles) == [
        "cross-entropy, minibatches",
        "minibatches",
        "sample masks",
        "stratified minibatches",
    ]


def test_the_number_of_images_is_context(preset, report):
    found = result(preset, "cifar/images")
    assert list(found.contexts) == ["1000 images", "5000 images"]
    assert "Claim C was put to this project to test: neither" in report.text
    assert (
        "a part of CIFAR-10's training images, a narrower net" in report.tables["cifar_images.md"]
    )


def test_the_error_is_drawn_against_the_number_of_images_with_a_line_for_each_arm(preset):
    found = result(preset, "cifar/images")
    (plan,) = against_images(found)
    assert plan.name == "cifar_images_against_images"
    axes = plan.draw().axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["no masks", "fine 0.5"]
    assert (axes.get_xlabel(), axes.get_xscale()) == ("training images", "log")
    assert axes.get_xticks().tolist() == [1000, 5000]
    means = [one.final.mean for one in found.comparisons if one.arm.label == "fine 0.5"]
    assert axes.lines[1].get_ydata().tolist() == pytest.approx(means)
    assert against_images(result(preset, "cifar/laptop")) == []


@pytest.mark.parametrize("experiment", ["cifar/images", "cifar/paper"])
def test_experiments_over_numbers_of_images_have_that_figure(experiment):
    assert against_images in SECTIONS[experiment].figures


def test_every_claim_has_its_rows_in_the_summary(preset):
    table = summary.numbers(summary.claims_of(preset.parent))
    assert set(table["claim"]) == {"A", "B", "C"}
    masks = table[(table["experiment"] == "auc/digits_updates")]
    assert set(masks["against"]) == {
        "full batch",
        "minibatches of 400",
        "stratified minibatches of 400",
    }
    images = table[table["claim"] == "C"]
    assert "5000 images" in set(images["setting"])
    assert "1000 images" not in set(images["setting"])  # these are the runs of cifar/laptop


def test_learning_curves_of_an_auc_are_drawn(preset):
    (plan,) = learning_curves(result(preset, "auc/digits_updates"))
    assert plan.caption.startswith("Test ROC AUC and training ROC AUC by epoch")
    panels = plan.draw().axes
    assert [panel.get_ylabel() for panel in panels] == ["test ROC AUC", "training ROC AUC"]
    assert panels[0].get_ylim()[1] <= 1


def test_an_undeclared_experiment_has_the_metric_that_its_runs_have(preset):
    runs = read_runs(preset / "runs.csv")
    scores = runs[runs["experiments"].str.contains("auc/digits")]
    assert section_of("mine/new", scores).metric is TEST_AUC
    assert section_of("mine/new", runs[:0]).metric.key == "test.error"


def test_names_that_arms_share_are_told_apart_by_settings(preset):
    runs = read_runs(preset / "runs.csv")
    own = runs[runs["experiments"].str.contains("auc/digits_updates")].copy()
    again = own.assign(id="x" + own["id"], **{"config.optimizer.lr": 0.3})
    (found,) = compare_sections(
        [SECTIONS["auc/digits_updates"]], pd.concat([own, again]), pd.DataFrame({"id": []})
    )
    names = [arm.label for arm in found.arms]
    assert len(names) == len(set(names)) == 8
    assert "sample masks 0.5 (learning rate 0.3)" in names


def test_a_share_is_written_as_a_percentage():
    rows = [{"dataset.positive_fraction": share} for share in (0.1, 0.005)]
    assert setting_labels(rows, ["dataset.positive_fraction"]) == [
        "10 % positive",
        "0.5 % positive",
    ]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (IMAGES, "a part of CIFAR-10's training images, a narrower net than All-CNN-C"),
        (IMAGES | {"dataset.train": 48000, "model.width": 1.0}, ""),
        (SCORES, ""),
    ],
)
def test_the_task_on_images_is_named(settings, words):
    assert cifar_task(settings) == words


def test_the_positives_are_named():
    assert scarce_task(SCORES) == "8 positives in 800 samples"
    assert scarce_task(SCORES | {"dataset.train": 100}) == "1 positive in 100 samples"
    assert scarce_task(IMAGES) == ""
