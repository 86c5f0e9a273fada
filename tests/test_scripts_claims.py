"""What comparisons say to a claim: which one stands in for the primary, groups, words, figure."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from scripts.claims import (
    comparisons_that_test,
    distinct,
    evidence,
    pooled_in_words,
    verdict_counts,
)
from scripts.claims_figure import COLOURS, draw_claims
from scripts.comparison import Comparison
from scripts.intervals import t_interval
from scripts.sections import TEST_AUC, Claim, Section
from scripts.verdicts import Verdict

CLAIM = Claim("A", "masks help", 0.05, "masks at full size", ("made/error", "small", ""))
ERROR = Section("made/error", "Made", "?", smallest_effect=0.05)
AUC = Section("made/auc", "Made", "?", metric=TEST_AUC, smallest_effect=0.05)


@dataclass(frozen=True)
class Arm:
    """Stand for an arm: what the wording looks at."""

    finished: pd.DataFrame
    context_label: str = ""
    label: str = "arm"


def compared(mean, spread=0.01, n=10, context="", against="", section=ERROR, runs=()):
    """Make a comparison with n paired differences around a mean."""
    unknown = t_interval([])
    return Comparison(
        section=section,
        arm=Arm(pd.DataFrame({"id": list(runs)}), context),
        baseline=Arm(pd.DataFrame({"id": []}), label="none"),
        final=t_interval([0.5, 0.5]),
        baseline_final=unknown,
        selected=unknown,
        train=unknown,
        seconds=math.nan,
        skipped=math.nan,
        megabytes=math.nan,
        pairs=tuple(mean + spread * np.linspace(-1, 1, n)),
        against=against,
    )


GAIN, LOSS, EQUAL = compared(-0.15, context="small"), compared(0.15), compared(0.0)
WIDE, FEW = compared(0.0, 0.5), compared(-0.15, n=5)


@pytest.mark.parametrize(
    ("one", "verdict"),
    [
        (GAIN, "gain"),
        (LOSS, "loss"),
        (EQUAL, "equivalent"),
        (compared(0.04, 0.09), "no gain of interest"),
        (compared(0.15, section=AUC), "gain"),
        (FEW, "undecided: 5 pairs"),
        (compared(0.1, n=1), "undecided: 1 pair"),
        (compared(0.1, n=0), "no pairs"),
    ],
)
def test_a_comparison_has_a_verdict_in_the_direction_of_its_metric(one, verdict):
    assert one.verdict == verdict


def test_an_undecided_comparison_says_what_it_could_have_shown():
    assert WIDE.verdict.startswith("undecided: 0.3")
    assert WIDE.verdict.endswith("could have been seen")


def test_the_primary_is_found_by_experiment_setting_and_rival():
    others = [EQUAL, compared(-0.1, context="small", against="crops")]
    found = evidence(CLAIM, [*others, GAIN])
    assert found.primary is GAIN
    assert [group.against for group in found.groups] == ["", "crops"]
    assert found.primary_group.comparisons == (EQUAL, GAIN)
    assert evidence(CLAIM, others).primary is None


def test_gains_are_pooled_within_what_they_are_compared_with():
    found = evidence(CLAIM, [GAIN, LOSS, EQUAL, compared(0.0, against="crops")])
    first, second = found.groups
    assert first.pooled.mean.mean == pytest.approx(0, abs=1e-9)
    assert "over 3 comparisons" in pooled_in_words(first)
    assert "that of one more task in [−" in pooled_in_words(first)
    assert pooled_in_words(second) == "nothing to pool in 1 comparison"


def test_verdicts_are_counted_with_those_for_want_of_pairs():
    text = verdict_counts([GAIN, FEW, WIDE, EQUAL])
    assert text == (
        "Verdicts: 1 equivalent, 1 gain and 2 undecided, 1 of these for want of 10 pairs."
    )
    assert verdict_counts([LOSS]) == "Verdicts: 1 loss."


def test_comparisons_within_another_are_left_out():
    large, small, other, again = (compared(0, runs=runs) for runs in ("ab", "a", "c", "c"))
    assert distinct([small, large, other, again]) == [large, other]
    assert comparisons_that_test([]) == []


def test_the_figure_has_a_row_a_comparison_and_a_colour_a_verdict():
    rival = compared(0.05, against="crops", section=AUC)
    other = Claim("B", "masks help", 0.05, "?", ("made/auc", "", "crops"))
    drawn = draw_claims([evidence(CLAIM, [GAIN, LOSS, EQUAL, WIDE]), evidence(other, [rival])])
    panels = {axes.get_title(loc="left")[:7]: axes for axes in drawn.get_axes()}
    labels = [text.get_text() for text in panels["Claim A"].get_yticklabels()]
    assert labels == ["error, small", "error", "error", "error", "pooled"]
    drawn_in = [line.get_color() for line in panels["Claim A"].lines]
    for kind in (Verdict.GAIN, Verdict.LOSS, Verdict.EQUIVALENT, Verdict.UNDECIDED):
        assert COLOURS[kind] in drawn_in
    squares = [line for line in panels["Claim A"].lines if line.get_marker() == "s"]
    assert [line.get_xdata()[0] for line in squares] == pytest.approx([0.15])
    assert len(set(COLOURS.values())) == len(Verdict)
