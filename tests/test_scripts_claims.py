"""The wording of a claim's answer in every case."""

import math
from dataclasses import dataclass

import pandas as pd
import pytest

from scripts import claims
from scripts.claims import distinct
from scripts.comparison import Comparison
from scripts.intervals import Interval, t_interval
from scripts.sections import TEST_AUC, Claim, Section

CLAIM = Claim("A", "masks help", "The gain")
ERROR = Section("made/error", "Made", "?")
AUC = Section("made/auc", "Made", "?", metric=TEST_AUC)


@dataclass(frozen=True)
class Arm:
    """Stand for an arm: what the wording looks at."""

    settings: dict
    finished: pd.DataFrame
    context_label: str = ""


def compared(low, high, net="Net", baseline=0.5, section=ERROR, optimizer="Adam", runs=()):
    """Make a comparison whose difference to a baseline has the interval from low to high."""
    settings = {"model._target_": net, "optimizer._target_": optimizer}
    unknown = t_interval([])
    return Comparison(
        section=section,
        arm=Arm(settings, pd.DataFrame({"id": list(runs)})),
        baseline=None,
        final=unknown,
        baseline_final=Interval(baseline, baseline - 0.01, baseline + 0.01, 5),
        selected=unknown,
        train=unknown,
        seconds=math.nan,
        skipped=math.nan,
        megabytes=math.nan,
        difference=Interval((low + high) / 2, low, high, 5),
    )


def conclusion(claim, tested):
    return " ".join(claims.conclusion(claim, tested)).strip()


GAIN, NONE, LOSS = compared(-0.15, -0.05), compared(-0.05, 0.05), compared(0.05, 0.15)
UNDECIDED = compared(math.nan, math.nan)


@pytest.mark.parametrize(
    ("tested", "words"),
    [
        ([GAIN], "holds in the one comparison made."),
        ([GAIN, GAIN], "holds in all of 2 comparisons."),
        ([NONE, NONE], "was not found in any of 2 comparisons."),
        ([LOSS], "is reversed."),
        ([LOSS, LOSS], "is reversed in all of 2 comparisons."),
        ([NONE, LOSS], "was not found in any of 2 comparisons; it is reversed in 1."),
        ([GAIN, NONE, UNDECIDED], "holds in 1 of 2 comparisons, and was not found in the others."),
        ([GAIN, LOSS], "holds in 1 of 2 comparisons and is reversed in the others."),
        (
            [GAIN, NONE, LOSS],
            "holds in 1 of 3 comparisons, is reversed in 1, and was not found in the",
        ),
        ([UNDECIDED], "cannot be answered yet"),
    ],
)
def test_the_answer_says_what_was_found(tested, words):
    assert conclusion(CLAIM, tested).startswith(words)


def test_a_gain_of_one_net_is_said_to_be_its_own():
    text = conclusion(CLAIM, [GAIN, compared(-0.04, 0.05, "Large")])
    assert text.endswith(
        "The gain, 20 % of the way from the baseline's test error to 0 (interval from 10 % on), "
        "was found with Net under Adam only. With Large under Adam a gain of 10 % of the way is "
        "excluded."
    )


def test_where_a_net_that_gains_elsewhere_does_not_is_said():
    text = conclusion(CLAIM, [GAIN, NONE])
    assert (
        "was found with Net under Adam. With Net under Adam in “Made” a gain of 10 % of the way"
        in text
    )
    assert "only" not in conclusion(CLAIM, [GAIN, NONE, compared(-0.15, -0.05, "Large")])


def test_many_such_comparisons_are_counted():
    text = conclusion(CLAIM, [GAIN, NONE, NONE, compared(-0.04, 0.05)])
    assert text.endswith(
        "With Net under Adam elsewhere a gain of 10 % of the way is excluded in 1 of 3 "
        "comparisons, neither found nor excluded in the others."
    )


def test_a_net_whose_interval_holds_the_gain_of_another_is_left_open():
    text = conclusion(CLAIM, [GAIN, compared(-1.8, 1.8, "Large")])
    assert text.endswith(
        "With Large under Adam a gain of 10 % of the way is neither found nor excluded."
    )


def test_gains_are_compared_as_shares_of_what_the_baseline_leaves():
    """A tenth of 0.1 is 0.01, which the first interval reaches and the second does not."""
    others = [compared(low, 0.03, "Large", baseline=0.1) for low in (-0.03, -0.005)]
    text = conclusion(CLAIM, [GAIN, *others[:1]])
    assert "a gain of 10 % of the way is neither found nor excluded." in text
    text = conclusion(CLAIM, [GAIN, *others])
    assert "is excluded in 1 of 2 comparisons, neither found nor excluded in the others." in text
    text = conclusion(CLAIM, [GAIN, compared(-0.15, -0.11), *others[1:]])
    assert "The gain, at least 20 %" in text


def test_the_share_of_an_auc_is_that_of_the_way_to_one():
    gain, other = (
        compared(0.05, 0.15, baseline=0.8, section=AUC),
        compared(-0.05, 0.01, "Large", baseline=0.95, section=AUC),
    )
    text = conclusion(CLAIM, [gain, other])
    assert (
        "50 % of the way from the baseline's test ROC AUC to 1 (interval from 25 % on), was found"
        in text
    )
    assert (
        "With Large under Adam a gain of 25 % of the way is excluded; its baseline leaves 0.050"
        in text
    )


def test_a_baseline_that_leaves_less_than_was_gained_is_named():
    text = conclusion(CLAIM, [GAIN, compared(-0.005, 0.03, "Large", baseline=0.06)])
    assert "excluded; its baseline leaves 0.060 to gain, less than the 0.100 found." in text
    text = conclusion(CLAIM, [GAIN, compared(-0.01, 0.03, "Large", baseline=0.0)])
    assert "is excluded; its baseline leaves 0.000 to gain" in text
    others = [compared(-0.005, 0.03, "Large", baseline=left) for left in (0.06, 0.2)]
    text = conclusion(CLAIM, [GAIN, *others])
    assert "; in 1 of 2 the baseline leaves less than the 0.100 found: 0.060." in text


def test_one_net_under_two_optimizers_counts_as_two():
    text = conclusion(CLAIM, [GAIN, compared(-0.04, 0.05, optimizer="SGD")])
    assert (
        "with Net under Adam only. With Net under SGD a gain of 10 % of the way is excluded."
        in text
    )


def test_comparisons_within_another_are_left_out():
    large, small, other, again = (compared(0, 1, runs=runs) for runs in ("ab", "a", "c", "c"))
    assert distinct([small, large, other, again]) == [large, other]
