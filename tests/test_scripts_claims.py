"""The wording of a claim's answer in every case."""

from dataclasses import dataclass, field

import pytest

from scripts.claims import conclusion, distinct
from scripts.intervals import Interval
from scripts.sections import Claim

CLAIM = Claim("A", "masks help", "The gain")


@dataclass(frozen=True)
class Arm:
    settings: dict


@dataclass(frozen=True, eq=False)
class Compared:
    """Stand for a comparison: what the wording looks at."""

    gain: int | None
    net: str = "Net"
    half_width: float = 0.05
    runs_compared: tuple = field(default=(frozenset(), frozenset()))

    @property
    def arm(self):
        return Arm({"model._target_": self.net})

    @property
    def difference(self):
        mean = -0.1 * (self.gain or 0)
        return Interval(mean, mean - self.half_width, mean + self.half_width, 5)


@pytest.mark.parametrize(
    ("gains", "words"),
    [
        ([1], "holds in the one comparison made."),
        ([1, 1], "holds in all of 2 comparisons."),
        ([0, 0], "was not found in any of 2 comparisons."),
        ([-1], "is reversed."),
        ([-1, -1], "is reversed in all of 2 comparisons."),
        ([0, -1], "was not found in any of 2 comparisons; it is reversed in 1."),
        ([1, 0, None], "holds in 1 of 2 comparisons, and was not found in the others."),
        ([1, -1], "holds in 1 of 2 comparisons and is reversed in the others."),
        ([1, 0, -1], "holds in 1 of 3 comparisons, is reversed in 1, and was not found in the"),
        ([None], "cannot be answered yet"),
    ],
)
def test_the_answer_says_what_was_found(gains, words):
    assert conclusion(CLAIM, [Compared(gain) for gain in gains]).startswith(words)


def test_a_gain_of_one_net_is_said_to_be_its_own():
    text = conclusion(CLAIM, [Compared(1, "Small"), Compared(0, "Small"), Compared(0, "Large")])
    assert "The gain belongs to Small only; with Large none was found." in text
    text = conclusion(CLAIM, [Compared(1, "Small"), Compared(0, "Small"), Compared(1, "Large")])
    assert "only" not in text


def test_a_net_whose_interval_holds_the_gain_of_another_is_left_open():
    text = conclusion(CLAIM, [Compared(1, "Small"), Compared(0, "Large", half_width=1.8)])
    assert "With Large the intervals are too wide to tell." in text
    assert "only" not in text


def test_comparisons_within_another_are_left_out():
    def compared(*runs):
        return Compared(1, runs_compared=(frozenset(runs), frozenset({"z"})))

    large, small, other, again = compared("a", "b"), compared("a"), compared("c"), compared("c")
    assert distinct([small, large, other, again]) == [large, other]
