"""What each run of a primary comparison gives for each item of its test set, beside the tables.

results/<preset>/outputs.npz holds ``<id>.outputs``, scores (items,) in half precision or predicted
classes (items,), and ``<id>.targets`` (items,), after the last epoch. An interval over runs and
items is made from them.
"""

from collections.abc import Collection, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from experiments.checksums import read_checked, write_checked
from experiments.plan import Job
from experiments.run_store import RunStore

FILE = "outputs.npz"


def collect_outputs(
    jobs: Sequence[Job], primaries: Collection[str], runs: Path, folder: Path
) -> None:
    """Add the outputs of the finished runs of primary comparisons to those that are there.

    Args:
        jobs: the planned runs.
        primaries: the experiments whose comparisons are primary.
        runs: folder of run directories.
        folder: of the preset's tables.
    """
    path = folder / FILE
    content = read_checked(path)
    kept = dict(np.load(BytesIO(content), allow_pickle=False)) if content else {}
    for job in jobs:
        found = RunStore(runs, job.id).outputs() if {*job.experiments} & {*primaries} else None
        if found and RunStore(runs, job.id).result():
            outputs, targets = found["outputs"], found["targets"]
            half = outputs.astype(np.float16) if outputs.dtype.kind == "f" else outputs
            kept |= {f"{job.id}.outputs": half, f"{job.id}.targets": targets}
    if kept:
        buffer = BytesIO()
        np.savez_compressed(buffer, **dict(sorted(kept.items())))
        write_checked(path, buffer.getvalue())
