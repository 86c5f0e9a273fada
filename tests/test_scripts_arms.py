"""Splitting runs into arms, their labels, their baselines, and what the arms are compared by."""

import json
import re

import pandas as pd
import pytest

from scripts.arms import baseline_of, settings_of, split_into_arms
from scripts.comparison import compare
from scripts.labels import optimizer_name
from scripts.results_table import ABSENT, read_runs, stack
from scripts.sections import Metric, Section

ADAM = {"optimizer._target_": "torch.optim.Adam", "optimizer.lr": 0.001}


def mask(name, p, dims="sample+spatial"):
    return {
        f"masks.{name}._target_": "backdrop.Backdrop",
        f"masks.{name}.p": p,
        f"masks.{name}.dims": dims,
    }


def crop(size):
    target = "backdrop.datasets.augmentation.RandomCrop"
    return {"augmentation._target_": target, "augmentation.size": size}


def write_runs(path, arms, seeds=(0, 1), values=None):
    """Write runs.csv with every arm (settings) at every seed; ``values`` give the test error."""
    rows = []
    for place, arm in enumerate(arms):
        for seed in seeds:
            config = {"seed": seed, "dataset.seed": seed, "device": "cpu", **ADAM, **arm}
            row = {"id": f"run{place}x{seed}", "experiments": "x;y", "status": "finished"}
            row |= {f"config.{key}": json.dumps(value) for key, value in config.items()}
            error = values(place, seed) if values else 0.1 * place + 0.01 * seed
            rows.append(row | {"error": "", "final.test.error": repr(error), "seconds": "1.5"})
    pd.DataFrame(rows).fillna("").to_csv(path / "runs.csv", index=False)
    return read_runs(path / "runs.csv")


def arm_labels(runs, **options):
    return [arm.label for arm in split_into_arms(runs, **options)]


def test_configuration_cells_are_decoded_and_empty_ones_absent(tmp_path):
    runs = write_runs(tmp_path, [{}, {"dataset.lengths": [[1.5, 2], [3]], "note": None}])
    assert runs["config.dataset.lengths"].tolist() == [ABSENT, ABSENT, *[((1.5, 2), (3,))] * 2]
    assert runs["config.note"].tolist() == [ABSENT, ABSENT, None, None]
    assert runs["config.device"].tolist() == ["cpu"] * 4


def test_the_order_of_the_file_plays_no_part(tmp_path):
    runs = write_runs(tmp_path, [{}, mask("fine", 0.5)])
    table = pd.read_csv(tmp_path / "runs.csv", dtype=str, keep_default_na=False)
    table[::-1].to_csv(tmp_path / "runs.csv", index=False)
    pd.testing.assert_frame_equal(read_runs(tmp_path / "runs.csv"), runs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="status"), "lacks the columns status"),
        (lambda table: pd.concat([table, table[:1]]), "run0x0 more than once"),
        (lambda table: table.assign(**{"config.epochs": "1 2"}), "config.epochs"),
    ],
)
def test_a_damaged_table_is_refused_by_name(tmp_path, change, message):
    write_runs(tmp_path, [{}])
    table = pd.read_csv(tmp_path / "runs.csv", dtype=str, keep_default_na=False)
    change(table).to_csv(tmp_path / "runs.csv", index=False)
    with pytest.raises(ValueError, match=message):
        read_runs(tmp_path / "runs.csv")


def test_seeds_and_what_equals_them_make_no_arm(tmp_path):
    runs = write_runs(tmp_path, [{}], seeds=(3, 4, 5))
    runs["config.order"] = runs["config.seed"]
    (arm,) = split_into_arms(runs)
    assert (arm.label, len(arm.runs)) == ("no masks", 3)


def test_masks_are_labelled_by_scale_fine_before_coarse(tmp_path):
    both = mask("coarse", 0.9) | mask("fine", 0.5)
    runs = write_runs(tmp_path, [both, {}, mask("coarse", 0.9)])
    assert arm_labels(runs) == ["no masks", "coarse 0.9", "fine 0.5, coarse 0.9"]


def test_the_mask_shape_is_named_where_it_differs(tmp_path):
    arms = [{}] + [
        mask("fine", 0.5, dims) | mask("coarse", 0.9, dims)
        for dims in ("sample+spatial", "spatial")
    ]
    assert arm_labels(write_runs(tmp_path, arms)) == [
        "no masks",
        "fine 0.5, coarse 0.9",
        "fine 0.5, coarse 0.9, shared over the batch",
    ]


def test_masks_with_p_zero_are_no_masks(tmp_path):
    grid = [
        mask("fine", fine) | mask("coarse", coarse) for fine in (0, 0.5) for coarse in (0.0, 0.9)
    ]
    runs = write_runs(tmp_path, [*grid, {"masks": {}}])
    arms = split_into_arms(runs)
    assert [arm.label for arm in arms] == [
        "no masks",
        "coarse 0.9",
        "fine 0.5",
        "fine 0.5, coarse 0.9",
    ]
    assert len(arms[0].runs) == 4


def test_other_varying_settings_are_context_with_its_own_baseline(tmp_path):
    sgd = {"optimizer._target_": "torch.optim.SGD", "optimizer.lr": 0.1}
    arms = split_into_arms(
        write_runs(tmp_path, [{}, mask("fine", 0.5), sgd, sgd | mask("fine", 0.5)])
    )
    assert [(arm.context_label, arm.label) for arm in arms] == [
        ("Adam", "no masks"),
        ("Adam", "fine 0.5"),
        ("SGD", "no masks"),
        ("SGD", "fine 0.5"),
    ]
    assert [baseline_of(arm, arms) for arm in arms] == [arms[0], arms[0], arms[2], arms[2]]


def test_device_and_precision_belong_to_the_hardware_and_not_to_the_arm(tmp_path):
    cpu = {"precision": "bfloat16"}
    runs = write_runs(tmp_path, [cpu, cpu | {"device": "cuda"}, {"precision": "float32"}])
    assert arm_labels(runs) == ["no masks"]
    assert runs["hardware"].nunique() == 3


def test_crops_are_context_unless_they_are_under_test(tmp_path):
    runs = write_runs(tmp_path, [{"augmentation": {}}, crop(17), crop(129), mask("fine", 0.5)])
    as_context = split_into_arms(runs)
    assert {arm.context_label for arm in as_context} == {
        "",
        "random crops, 17 px",
        "random crops, 129 px",
    }
    tested = split_into_arms(runs, ("masks", "augmentation"))
    assert [arm.label for arm in tested] == [
        "no masks, whole images",
        "no masks, random crops, 17 px",
        "no masks, random crops, 129 px",
        "fine 0.5, whole images",
    ]
    assert {baseline_of(arm, tested) for arm in tested} == {tested[0]}


def test_a_key_that_is_never_absent_needs_a_named_baseline(tmp_path):
    runs = write_runs(tmp_path, [{"batch_size": size} for size in (10, 100)])
    arms = split_into_arms(runs, ("masks", "batch_size"))
    assert [arm.label for arm in arms] == ["no masks, batch size 10", "no masks, batch size 100"]
    assert baseline_of(arms[0], arms) is None
    assert baseline_of(arms[0], arms, {"batch_size": 100}) is arms[1]


def test_tables_with_different_keys_can_be_stacked(tmp_path):
    first = write_runs(tmp_path, [{}])
    both = stack([first, write_runs(tmp_path, [mask("fine", 0.5)])])
    assert both["config.masks.fine.p"].tolist() == [ABSENT, ABSENT, 0.5, 0.5]
    assert [row.get("masks.fine.p") for row in settings_of(both)] == [None, None, 0.5, 0.5]


def test_an_adam_with_other_betas_than_usual_is_named_so(tmp_path):
    betas = [{}, {"optimizer.betas": [0.9, 0.999]}, {"optimizer.betas": [0.9, 0.95]}]
    names = [optimizer_name(row) for row in settings_of(write_runs(tmp_path, betas, seeds=(0,)))]
    assert names == ["Adam", "Adam", "Adam (betas 0.9, 0.95)"]


def result(tmp_path, metric=None, **options):
    runs = write_runs(tmp_path, [{}, mask("fine", 0.5)], **options)
    section = Section("x", "title", "question", **({"metric": metric} if metric else {}))
    return compare(section, runs, pd.DataFrame({"id": [], "epoch": []}))


def test_the_comparison_is_paired_over_seeds(tmp_path):
    baseline, arm = result(tmp_path, values=lambda arm, seed: seed - 0.1 * arm).comparisons
    assert (baseline.verdict, arm.verdict) == ("baseline", "undecided: 2 pairs")
    assert arm.gains == pytest.approx((0.1, 0.1))
    assert arm.final.half_width > 1
    assert arm.difference.mean == pytest.approx(-0.1)
    assert arm.difference.half_width == pytest.approx(0, abs=1e-6)
    assert arm.baseline is baseline.arm


def test_a_metric_may_be_better_when_higher(tmp_path):
    metric = Metric("test.error", "AUC", "AUC", "train.error", "AUC", lower_is_better=False)
    arm = result(tmp_path, metric, values=lambda arm, seed: seed - 0.1 * arm).comparisons[1]
    assert arm.gains == pytest.approx((-0.1, -0.1))


@pytest.mark.parametrize(("step", "verdict"), [(0.1, "gain"), (-0.1, "loss"), (0, "equivalent")])
def test_ten_pairs_are_judged(tmp_path, step, verdict):
    found = result(tmp_path, seeds=range(10), values=lambda arm, seed: seed - step * arm)
    assert found.comparisons[1].verdict == verdict


def test_ten_pairs_that_scatter_are_undecided_and_say_what_they_could_have_shown(tmp_path):
    found = result(tmp_path, seeds=range(10), values=lambda arm, seed: arm * (-1) ** seed)
    assert re.fullmatch(r"undecided: 1\.05\d could have been seen", found.comparisons[1].verdict)


def test_one_seed_has_no_interval_and_decides_nothing(tmp_path):
    arm = result(tmp_path, seeds=(0,)).comparisons[1]
    assert (arm.final.n, arm.final.defined) == (1, False)
    assert arm.verdict == "undecided: 1 pair"


def test_a_metric_that_no_run_has_leaves_gaps(tmp_path):
    metric = Metric("test.auc", "AUC", "AUC", "train.auc", "AUC", lower_is_better=False)
    assert [one.final.n for one in result(tmp_path, metric).comparisons] == [0, 0]
