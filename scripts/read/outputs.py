"""Read what the runs of primary comparisons gave for each item of their test set."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.read.checked import read_checked

Outputs = NDArray[np.float64] | NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ItemOutputs:
    """Scores or predicted classes of a test set's items, and their targets, each (items,)."""

    outputs: Outputs
    targets: NDArray[np.int64]


def read_outputs(path: Path) -> dict[str, ItemOutputs]:
    """Read outputs.npz, by the ids of runs; empty where there is none.

    Raises:
        ValueError: if the file is damaged, with its path.
    """
    if not path.exists():
        return {}
    found = np.load(BytesIO(read_checked(path)), allow_pickle=False)
    ids = [name.removesuffix(".outputs") for name in found if name.endswith(".outputs")]
    return {id: ItemOutputs(found[f"{id}.outputs"], found[f"{id}.targets"]) for id in ids}
