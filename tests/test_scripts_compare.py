"""Comparisons: pairs by seed and hardware, baselines and rivals, claims, earlier designs."""

from pathlib import Path

import pytest

from scripts.compare.claims import distinct, evidence
from scripts.compare.comparison import compare_all
from scripts.compare.earlier_designs import earlier_comparisons, left_over
from scripts.compare.evaluations import are_late, counts
from scripts.compare.intervals import t_interval
from scripts.summary import claims_of
from tests.made_runs import made, run


def runs(arm, values, **more):
    return [run(arm, seed, value, **more) for seed, value in enumerate(values)]


def compared(tmp_path, own, name="textures/a", **block):
    preset = made(tmp_path, {name: (block, own)})
    return compare_all(preset)[name]


def by_arm(result):
    return {(one.arm.label, one.arm.tried): one for one in result.comparisons}


def test_an_arm_meets_the_baseline_of_its_setting_by_seed(tmp_path):
    own = [
        *runs("no masks", [0.5, 0.6, 0.7], setting="small"),
        *runs("masks", [0.4, 0.4, 0.8], setting="small"),
        *runs("no masks", [0.9], setting="large"),
    ]
    found = compared(tmp_path, own)
    small = found.settings["small"]
    assert [one.is_baseline for one in small] == [True, False]
    assert small[1].pairs == pytest.approx((-0.1, -0.2, 0.1))
    assert small[1].gain.mean == pytest.approx(t_interval([0.1, 0.2, -0.1]).mean)
    assert len(found.settings["large"]) == 1


def test_runs_on_unequal_hardware_make_no_pair(tmp_path):
    other = {"columns": {"provenance.processor": "another"}}
    own = [*runs("no masks", [0.5, 0.6]), run("masks", 0, 0.4), run("masks", 1, 0.4, **other)]
    one = by_arm(compared(tmp_path, own))["masks", ""]
    assert one.pairs == pytest.approx((-0.1,))
    assert one.final.n == 2


def test_runs_without_results_count_as_lacking_and_make_no_pair(tmp_path):
    lost = run("masks", 1, None, status="failed", error="loss is NaN")
    own = [*runs("no masks", [0.5, 0.6]), run("masks", 0, 0.4), lost]
    one = by_arm(compared(tmp_path, own))["masks", ""]
    assert (one.final.n, len(one.pairs), len(one.arm.lacking)) == (1, 1, 1)


def test_an_arm_of_a_search_meets_the_baseline_that_tried_the_same_or_the_only_one(tmp_path):
    search = {"seeds": [0], "space": {}, "statistic": "mean"}
    rates = [
        run(arm, 0, value, tried=f"rate {rate}")
        for rate in (1, 2)
        for arm, value in (("no masks", 0.5 / rate), ("masks", 0.4))
    ]
    found = by_arm(compared(tmp_path, rates, search=search))
    assert found["masks", "rate 2"].pairs == pytest.approx((0.15,))
    assert found["masks", "rate 2"].verdict == ""
    strengths = [run("no masks", 0, 0.5), run("masks", 0, 0.4, tried="p 1")]
    assert by_arm(compared(tmp_path, strengths, search=search))["masks", "p 1"].pairs


def test_a_baseline_may_be_one_of_the_things_an_arm_tries(tmp_path):
    own = [run("masks", 0, 0.5, tried="p 0"), run("masks", 0, 0.4, tried="p 1")]
    found = by_arm(compared(tmp_path, own, baseline="masks (p 0)"))
    assert found["masks", "p 0"].is_baseline
    assert found["masks", "p 1"].pairs == pytest.approx((-0.1,))


SHARES = {
    f"{kind} {p}": {
        "kind": kind,
        "dataset.train": 100,
        "batch_size": None if kind == "masks" else round(100 * (1 - p)),
        "masks.samples.p": p if kind == "masks" else None,
    }
    for p in (0.5, 0.9)
    for kind in ("masks", "batches")
}


def test_rivals_of_a_kind_leave_out_the_same_share_of_samples(tmp_path):
    own = runs("no masks", [0.5, 0.5])
    for arm, more in SHARES.items():
        row_place = [run(arm, seed, 0.4) for seed in (0, 1)]
        for place, row in row_place:
            place["kind"] = more["kind"]
            row |= {
                f"config.{key}": str(value).replace("None", "null")
                for key, value in more.items()
                if key != "kind"
            }
        own += row_place
    for _, row in own:
        row.setdefault("config.batch_size", "null")
    rivals = {"as large": {"arms": "masks", "against": "batches", "same": "share"}}
    found = compared(tmp_path, own, rivals=rivals, kinds=["no masks", "masks", "batches"])
    assert [(one.arm.label, one.other_label) for one in found.rivals] == [
        ("masks 0.5", "batches 0.5"),
        ("masks 0.9", "batches 0.9"),
    ]


def test_a_rival_meets_all_arms_but_the_baseline_and_itself(tmp_path):
    own = [each for arm in ("no masks", "a", "b", "dropout") for each in runs(arm, [0.5, 0.4])]
    found = compared(tmp_path, own, rivals={"dropout": {"against": "dropout"}})
    assert [one.arm.label for one in found.rivals] == ["a", "b"]


@pytest.mark.parametrize(
    ("pairs", "looks", "verdict"),
    [
        (10, [], "gain"),
        (4, [], "undecided: 4 pairs"),
        (10, [12], "undecided: next look at 12 pairs"),
        (14, [12], "gain: [+0.291, +0.298] at 99.5 %, looked at 12 pairs"),
    ],
)
def test_looks_decide_where_they_are_declared(tmp_path, pairs, looks, verdict):
    own = runs("no masks", [0.5] * pairs) + runs("masks", [0.2 + 0.001 * k for k in range(pairs)])
    found = compared(tmp_path, own, claim=["masks"], looks=looks)
    assert by_arm(found)["masks", ""].verdict == verdict


def claimed(tmp_path, **experiments):
    preset = made(
        tmp_path,
        {
            f"textures/{name}": ({"claim": ["masks"], "smallest_effect": None}, own)
            for name, own in experiments.items()
        },
    )
    chapter = preset.declared.chapters["textures"]
    return evidence(chapter.claim, compare_all(preset).values())


def test_a_claim_has_its_closest_comparison_and_pools_all(tmp_path):
    plain, masked = runs("no masks", [0.5, 0.6, 0.7]), runs("masks", [0.4, 0.55, 0.5])
    other = [
        run(arm, seed, value, setting="other")
        for arm, values in (("no masks", [0.5, 0.5]), ("masks", [0.6, 0.7]))
        for seed, value in enumerate(values)
    ]
    found = claimed(tmp_path, laptop=plain + masked, other=other)
    assert found.primary.experiment.name == "textures/laptop"
    assert found.primary_group.pooled.mean.n == 2
    assert len(found.comparisons) == 2


def test_a_comparison_within_another_one_counts_once(tmp_path):
    many = runs("no masks", [0.5, 0.6, 0.7]) + runs("masks", [0.4, 0.55, 0.5])
    few = [each for each in many if each[1]["config.seed"] in "01"]
    found = claimed(tmp_path, laptop=few, other=many)
    assert [one.experiment.name for one in found.comparisons] == ["textures/other"]
    assert distinct([]) == []


def test_rows_that_stand_in_no_experiment_are_compared_with_the_arms_of_a_claim(tmp_path):
    def with_rate(rows, rate):
        for _, row in rows:
            row |= {"config.optimizer.lr": str(rate), "config.dataset._target_": '"x.Textures"'}
            row["config.masks.fine.p"] = "0.5" if row["id"].startswith("masks") else ""
        return rows

    own = with_rate(runs("no masks", [0.5, 0.6]) + runs("masks", [0.4, 0.5]), 0.1)
    old = with_rate([run("masks", seed, 0.3, id=f"masks-old-{seed}") for seed in (0, 1)], 0.1)
    for _, row in old:
        row["config.masks.fine.p"] = "0.9"
    apart = with_rate([run("masks", 0, 0.3, id="masks-apart")], 0.2)
    block = {"claim": ["masks"]}
    preset = made(tmp_path, {"textures/laptop": (block, own)}, [*old, *apart])
    assert len(left_over(preset)) == 3
    (one,) = earlier_comparisons(preset)
    assert one.other_label == "no masks"
    assert one.pairs == pytest.approx((-0.2, -0.3))


def test_the_evaluations_behind_a_value_are_counted(tmp_path):
    found = compared(tmp_path, runs("no masks", [0.5, 0.6]))
    assert counts(found) == (2, 2)
    assert not are_late(found)
    found.curves.loc[found.curves["epoch"] == 1, "test.error"] = None
    assert counts(found) == (1, 1)
    assert are_late(found)


def test_a_primary_comparison_that_was_run_is_called_so():
    results = Path(__file__).parent.parent / "results"
    found = {one.claim.letter: one for one in claims_of(results)}
    primary = found["B"].primary
    assert (primary.experiment.name, found["B"].role(primary)) == ("auc/letter", "primary")
    assert found["A"].role(found["A"].primary) == "closest"
    others = [one for one in found["B"].comparisons if one is not primary]
    assert {found["B"].role(one) for one in others} == {""}
