"""The targets of the benchmarks, what was reached of them, and what stands in the way."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from scripts.read.bench import with_memory_ratio

OURS = "survivors"
GIB = 2**30


@dataclass(frozen=True)
class Target:
    """A bound on a number of one variant.

    Attributes:
        what: the number, in words.
        bound: what it should not exceed.
        comparison, variant: the rows; of several, the one with the largest number counts.
        where: values of further columns.
        number: ``relative``, to the dense mask's or the step's time; ``memory``, to the dense
            mask's; or ``GiB``.
        why: what stands in the way where it is not met.
    """

    what: str
    bound: float
    comparison: str
    variant: str = OURS
    where: tuple[tuple[str, float], ...] = ()
    number: str = "relative"
    why: str = ""


def _survivors(
    task: str, name: str, p: dict[str, float], time: float, memory: float, why: str = ""
) -> list[Target]:
    """Give the bounds on time and memory of a step through survivors at one choice of p."""
    kind = "peak memory" if len(p) > 1 else "bytes kept for the backward pass"
    at = ", ".join(f"{key.replace('_', ' ')} = {value:g}" for key, value in p.items())
    bound = partial(Target, comparison=task, where=tuple(p.items()), why=why)
    return [
        bound(f"{name}, {at}: time of the dense mask's", time),
        bound(f"{name}, {at}: {kind} of the dense mask's", memory, number="memory"),
    ]


def _textures(task: str, name: str, why: str = "") -> list[Target]:
    both, fine = {"p_fine": 0.95, "p_coarse": 0.9}, {"p_fine": 0.95, "p_coarse": 0.0}
    return [
        *_survivors(task, name, both, 0.35, 0.25, why),
        *_survivors(task, name, fine, 0.5, 0.25, why),
    ]


_SMALL_STEP = (
    "the worst is the small perceptron on digits: what a call costs however little it has to do is "
    "more than that share of so short a step"
)
_STAYS_DENSE = (
    "a step of this perceptron is so little work that, by the count of operations, finding the "
    "survivors would cost more than they save: it stays dense"
)
_NEAR = (
    "near the bound, a few per cent decide: peaks differ with the mask that is drawn and with what "
    "malloc has at hand, times with the machine"
)
_HALF = (
    "in bfloat16 the forward pass, which survivors need as well, is a larger share of a step (see "
    "“forward only” on the page of all numbers), and patches are dearer beside whole maps"
)
_LOOKS = (
    "on the small perceptron, looking for active masks at every call takes that share of a step so "
    "short; in training runs `backward=auto` leaves such a net alone"
)

TARGETS = (
    Target("masks alone: time of the step's, on the worst task", 0.02, "mask_cost", "masks alone",
           why=_SMALL_STEP),
    *_survivors("survivors/small_conv", "small conv net, sample masks", {"p": 0.95}, 0.5, 0.2),
    *_survivors("survivors/mlp", "multi-layer perceptron, sample masks", {"p": 0.95}, 0.5, 0.2,
                _STAYS_DENSE),
    *_textures("survivors/textures_1024", "texture net, 1024 × 1024, float32", _NEAR),
    *_textures("survivors/textures_1024_bfloat16", "texture net, 1024 × 1024, bfloat16", _HALF),
    Target("any of these nets, at any p: time of the dense mask's", 1.05, "survivors", why=_LOOKS),
    Target("a step on 8192 × 8192: GiB", 8, "large_image", where=(("n", 8192),), number="GiB"),
)  # fmt: skip


def reached(table: pd.DataFrame, target: Target) -> float:
    """Give the number that a target bounds, NaN if it was not measured."""
    names = table["comparison"]
    rows = table[(names == target.comparison) | names.str.startswith(f"{target.comparison}/")]
    for column, value in target.where:
        rows = rows[np.isclose(rows[column], value)]
    if target.number == "memory":
        rows = with_memory_ratio(rows)
    own = rows[rows["variant"] == target.variant]
    if target.number == "GiB":
        return float((own["memory_bytes"] / GIB).max())
    return float(own["memory_ratio" if target.number == "memory" else "relative"].max())
