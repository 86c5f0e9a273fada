"""Spend the backward pass on the survivors of the masks alone, with the gradients of the dense one.

A masked gradient is mostly zero, and the dense backward pass multiplies the zeros. Here the model's
own code runs on a stand-in for its input that takes down the operations (:mod:`.recording`); at a
mask, what was taken down since the last one, a stage, is run without a graph, and only its input is
kept (:mod:`.forward`). In the backward pass the stage is run again on the parts that a gradient
arrives for (:mod:`.gradient`): on the receptive fields of surviving positions (:mod:`.patches`), or
on surviving samples. Where a count of operations says that this would be more work, as at small p,
the stage is run densely (:mod:`.work`).
"""

from backdrop.survivors.handle import Survivors, active_masks, survivors, why_inexact, would_use
from backdrop.survivors.recorded import InexactError

__all__ = [
    "InexactError",
    "Survivors",
    "active_masks",
    "survivors",
    "why_inexact",
    "would_use",
]
