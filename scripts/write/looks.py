"""Write how a primary comparison is decided, and what the draw of its test set adds."""

from collections.abc import Mapping

from scripts.compare.comparison import Comparison, Result
from scripts.compare.looks import LEVEL
from scripts.compare.two_way import over_items
from scripts.read.outputs import ItemOutputs
from scripts.write.markdown import listed, with_interval


def looks_text(result: Result, kept: Mapping[str, ItemOutputs]) -> str:
    """Write a paragraph for each comparison of an experiment that declares looks."""
    decided = [one for one in result.tested if one.decision]
    return "\n\n".join(_text(one, kept) for one in decided)


def _text(one: Comparison, kept: Mapping[str, ItemOutputs]) -> str:
    looks = listed([str(look) for look in one.experiment.looks])
    parts = [
        f"Declared before the first run: looks at {looks} pairs, the first that decides "
        f"is the last, by {100 * LEVEL:g} % intervals from flipping the signs of the gains. "
        f"{one.arm.label} against {one.other_label}: {one.verdict}."
    ]
    if interval := over_items(one, kept):
        parts.append(
            "That is given the test set. Over the draw of its items as well, the gain after the "
            f"last epoch is {with_interval(interval, sign=True)} (95 %)."
        )
    return " ".join(parts)
