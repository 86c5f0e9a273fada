"""Decide a primary comparison while it runs: looks at more and more pairs, until one decides."""

from collections.abc import Sequence
from dataclasses import dataclass

from scripts.compare.intervals import Interval
from scripts.compare.sign_flip import sign_flip_interval
from scripts.compare.verdicts import Verdict, verdict_of

LEVEL = 0.995
"""Of the intervals that say gain, loss or no gain: five looks at three claims, 5 % over all."""
EQUIVALENCE_LEVEL = 0.966
"""Of the interval that must lie within the smallest effect: at most 5 % over all looks."""


@dataclass(frozen=True)
class Decision:
    """What the looks at a comparison have come to.

    Attributes:
        verdict: at the last look that was reached.
        interval: of the mean gain at that look, by flipping signs, at the level of one look.
        next_look: pairs at the next look; None if it is decided, or at its limit.
    """

    verdict: Verdict
    interval: Interval
    next_look: int | None


def decide(gains: Sequence[float], smallest: float, looks: Sequence[int]) -> Decision:
    """Look at the first pairs, then at more, and stop at the first look that decides.

    Pairs beyond the deciding look change nothing: they were not to be run.

    Args:
        gains: by pair, in the order in which pairs were to be run; above 0 where the arm is better.
        smallest: smallest effect of interest.
        looks: numbers of pairs, growing.
    """
    wide = sign_flip_interval([], LEVEL)
    for look in looks:
        if len(gains) < look:
            return Decision(Verdict.UNDECIDED, wide, look)
        seen = gains[:look]
        narrow, wide = (sign_flip_interval(seen, level) for level in (EQUIVALENCE_LEVEL, LEVEL))
        verdict = verdict_of(narrow, wide, smallest)
        if verdict is not Verdict.UNDECIDED:
            return Decision(verdict, wide, None)
    return Decision(Verdict.UNDECIDED, wide, None)
