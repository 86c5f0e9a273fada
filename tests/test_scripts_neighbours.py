"""The chapter of the neighbours: arms beside masks, run times, error against width."""

import pytest

from scripts.comparison import compare
from scripts.neighbours import SECTIONS, against_width
from scripts.section_text import comparison_table
from scripts.sections import Section
from tests.test_scripts_arms import mask, write_runs

TREATMENTS = ("masks", "regulariser")
PAPER = {"regulariser._target_": "backdrop.ChannelDropBack", "regulariser.fraction": 0.7}
CODE = {
    "regulariser._target_": "backdrop.ChannelDropBack",
    "regulariser.rate_layer._target_": "backdrop.channel_dropback.code_schedule",
}


def dropout(p):
    return {"masks.first_dropout._target_": "torch.nn.Dropout", "masks.first_dropout.p": p}


def compared(tmp_path, arms, **options):
    runs = write_runs(tmp_path, arms)
    section = Section("x", "X", "What?", treatments=TREATMENTS, **options)
    return compare(section, runs, runs.assign(epoch=1))


def test_masks_and_regularisers_are_compared_with_neither(tmp_path):
    result = compared(tmp_path, [{}, mask("fine", 0.5), dropout(0.3), PAPER, CODE])
    assert {one.baseline_label for one in result.comparisons} == {"no masks"}
    assert {one.arm.label for one in result.comparisons} == {
        "no masks",
        "fine 0.5",
        "first dropout 0.3",
        "no masks, ChannelDropBack, fraction 0.7",
        "no masks, ChannelDropBack, as in its authors' code",
    }


def test_the_time_of_a_run_is_given_beside_its_baseline(tmp_path):
    result = compared(tmp_path, [{}, PAPER], relative_seconds=True)
    assert [row.split("|")[-2] for row in comparison_table(result).splitlines()[2:]] == [
        " 1.5 ",
        " 1.5 (× 1.00) ",
    ]


def test_the_error_is_drawn_against_the_width_with_a_line_for_each_method(tmp_path):
    arms = [
        {"model.widths": [width, width], **treatment}
        for width in (64, 256)
        for treatment in ({}, dropout(0.1 if width == 64 else 0.5))
    ]
    (plan,) = against_width(compared(tmp_path, arms))
    axes = plan.draw().axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["no masks", "Dropout"]
    assert axes.get_xticks().tolist() == [64, 256]
    (tmp_path / "one").mkdir()
    assert against_width(compared(tmp_path / "one", arms[:2])) == []


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.slug)
def test_sections_compare_masks_and_regularisers(section):
    assert section.treatments == TREATMENTS
    assert not section.tests_claim
