"""What figures show: each declared one drawn from its experiment, seeds as they are."""

import numpy as np
import pytest

from experiments import figures as declared
from scripts.compare.claims import evidence
from scripts.compare.comparison import compare_all
from scripts.compare.verdicts import Verdict
from scripts.figures.against import GROUPS, against
from scripts.figures.claims import draw_claims
from scripts.figures.declared import FIGURES, declared_figures
from scripts.figures.gain_rows import COLOURS
from scripts.figures.learning_curves import by_epoch, learning_curves
from tests.made_runs import TINY, made, read_preset, run


@pytest.fixture(scope="module")
def tiny():
    return compare_all(read_preset(TINY))


def result(tmp_path, own, **block):
    preset = made(tmp_path, {"textures/a": (block, own)})
    return compare_all(preset)["textures/a"]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_experiments_may_declare_what_can_be_drawn():
    assert declared.FIGURES == FIGURES
    assert declared.GROUPS == GROUPS


@pytest.mark.parametrize("figure", ["pie", {"against": "seed", "colour": "arm"}, {"pie": 1}])
def test_an_unknown_figure_is_refused_with_those_there_are(tmp_path, figure):
    with pytest.raises(ValueError, match="learning_curves, gains, heat_map, against"):
        declared_figures(result(tmp_path, [run("no masks", 0, 0.5)], figures=[figure]))


def test_learning_curves_have_a_thin_line_a_seed_and_one_for_the_median(tiny):
    (plan,) = learning_curves(tiny["textures/laptop"])
    test, train = plan.draw().axes
    assert len(test.lines) == len(train.lines) == 2 * (4 + 1)
    arm = tiny["textures/laptop"].comparisons[0].arm
    values = by_epoch(tiny["textures/laptop"], arm, "test.error")
    median = next(line for line in test.lines if line.get_marker() == "o")
    np.testing.assert_allclose(median.get_ydata(), values.median(axis=1))


def test_a_heat_map_prints_the_values_of_few_seeds_and_names_gaps(tmp_path):
    def cell(fine, coarse, seed, status="finished"):
        p = {"masks.fine.p": fine, "masks.coarse.p": coarse}
        arm = f"fine {fine}, coarse {coarse}"
        return run(arm, seed, 0.25 + 0.5 * seed, status=status, **p)

    places = [(0.0, 0.0), (0.5, 0.0), (0.0, 0.9)]
    own = [cell(*place, seed) for place in places for seed in (0, 1)]
    own.append(cell(0.5, 0.9, 0, "missing"))
    (plan,) = declared_figures(result(tmp_path, own, figures=["heat_map"]))
    found = texts(plan.draw().axes[0])
    assert found.count("0.500") == found.count(".25 .75") == 3
    assert "no run" in found
    with pytest.raises(ValueError, match="two masks with several probabilities"):
        declared_figures(result(tmp_path, own[:2], figures=["heat_map"]))


def test_a_dot_for_each_seed_is_drawn_against_the_number(tmp_path):
    own = [
        run(arm, seed, value + rate, tried=f"rate {rate}", **{"optimizer.lr": rate})
        for arm, value in (("no masks", 0.5), ("masks", 0.4))
        for rate in (0.01, 0.1)
        for seed in (0, 1, 2)
    ]
    (plan,) = against(result(tmp_path, own), "optimizer.lr")
    (axes,) = plan.draw().axes
    dots = [line for line in axes.lines if line.get_linestyle() == "None"]
    assert [len(line.get_xdata()) for line in dots] == [6, 6]
    assert axes.get_xscale() == "log"


def test_settings_that_would_fall_on_one_another_have_panels_of_their_own(tmp_path):
    own = [
        run("no masks", 0, 0.5, setting=setting, tried=f"{rate}", **{"optimizer.lr": rate})
        for setting in ("small", "large")
        for rate in (0.01, 0.1)
    ]
    (plan,) = against(result(tmp_path, own), "optimizer.lr")
    assert [axes.get_title() for axes in plan.draw().axes] == ["large", "small"]


def test_what_has_no_place_on_the_axis_is_drawn_across(tmp_path):
    own = [run("full batch", 0, 0.5, "full batch")]
    own += [run(f"masks {p}", 0, 0.4, "masks", **{"masks.samples.p": p}) for p in (0.5, 0.9)]
    (plan,) = against(result(tmp_path, own, kinds=["full batch", "masks"]), "share", "kind")
    (axes,) = plan.draw().axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.5", "0.9"]
    assert any(set(line.get_ydata()) == {0.5} for line in axes.lines)


def test_a_measured_group_has_a_panel_a_column_and_a_number_without_lines_no_figure(tmp_path):
    def wide(width, seed):
        measured = {"measured.share.first": "0.1", "measured.share.second": "0.2"}
        more = {"model.widths": [width, width], "columns": measured}
        return run("no masks", seed, 0.5, setting=f"{width}", **more)

    own = [wide(width, seed) for width in (64, 256) for seed in (0, 1)]
    found = result(tmp_path, own)
    (plan,) = against(found, "model.widths", of="measured.share")
    assert [axes.get_ylabel() for axes in plan.draw().axes] == ["first", "second"]
    assert against(found, "optimizer.lr") == []


def test_gains_have_a_row_an_arm_and_a_panel_for_each_other_side(tmp_path):
    own = [run(arm, seed, 0.5) for arm in ("no masks", "a", "b") for seed in (0, 1)]
    found = result(tmp_path, own, figures=["gains"], rivals={"b": {"against": "b"}})
    (plan,) = declared_figures(found)
    first, second = plan.draw().axes
    assert [tick.get_text() for tick in first.get_yticklabels()] == ["a", "b"]
    assert [tick.get_text() for tick in second.get_yticklabels()] == ["a"]
    assert declared_figures(result(tmp_path / "x", own[:2], figures=["gains"])) == []


def test_the_figure_of_the_claims_has_a_row_a_comparison_and_a_colour_a_verdict(tmp_path):
    values = {"plain": [0.5] * 10, "gain": [0.3 + 0.01 * k for k in range(10)]}
    values["loss"] = [0.8 + 0.01 * k for k in range(10)]
    own = {
        f"textures/{name}": (
            {"claim": ["masks"]},
            [run("no masks", seed, 0.5, setting=name) for seed in range(10)]
            + [run("masks", seed, value, setting=name) for seed, value in enumerate(found)],
        )
        for name, found in values.items()
        if name != "plain"
    }
    preset = made(tmp_path, own)
    claim = preset.declared.chapters["textures"].claim
    (axes,) = draw_claims([evidence(claim, compare_all(preset).values())]).get_axes()
    labels = [tick.get_text() for tick in axes.get_yticklabels()]
    assert labels == ["gain, gain", "loss, loss", "pooled"]
    colours = {line.get_color() for line in axes.lines}
    assert {COLOURS[Verdict.GAIN], COLOURS[Verdict.LOSS]} <= colours
