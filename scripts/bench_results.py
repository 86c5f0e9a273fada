"""Read a table of benchmarks, and say which targets it meets."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from scripts.markdown_table import GAP, markdown_table

TEXT = ("comparison", "case", "variant", "device", "memory_kind", "note", "hardware", "torch",
        "python", "commit")  # fmt: skip
OURS, DENSE = "survivors", "dense mask"
FITTED = 4  # largest sizes that an exponent is fitted to
GIB = 2**30


@dataclass(frozen=True)
class Target:
    """A bound on a number of one variant.

    Attributes:
        what: the number, in words.
        bound: what it should not exceed.
        comparison, variant: the rows; of several, the one with the largest number counts.
        where: values of further columns.
        number: ``relative``, to the baseline's time; ``memory``, to the dense mask's; or ``GiB``.
    """

    what: str
    bound: float
    comparison: str
    variant: str = OURS
    where: tuple[tuple[str, float], ...] = ()
    number: str = "relative"


def _survivors(
    task: str, name: str, p: dict[str, float], time: float, memory: float
) -> list[Target]:
    """Give the bounds on time and memory of a step through survivors at one choice of p."""
    at = ", ".join(f"{key.replace('_', ' ')} = {value:g}" for key, value in p.items())
    where = tuple(p.items())
    return [
        Target(f"{name}, {at}: time of the dense mask's", time, task, where=where),
        Target(f"{name}, {at}: memory of the dense mask's", memory, task, where=where,
               number="memory"),
    ]  # fmt: skip


def _textures(task: str, name: str) -> list[Target]:
    both, fine = {"p_fine": 0.95, "p_coarse": 0.9}, {"p_fine": 0.95, "p_coarse": 0.0}
    return _survivors(task, name, both, 0.35, 0.25) + _survivors(task, name, fine, 0.5, 0.25)


TARGETS = (
    Target("masks alone: time of the step's, on the worst task", 0.02, "mask_cost", "masks alone"),
    *_survivors("survivors/small_conv", "small conv net, sample masks", {"p": 0.95}, 0.5, 0.2),
    *_survivors("survivors/mlp", "multi-layer perceptron, sample masks", {"p": 0.95}, 0.5, 0.2),
    *_textures("survivors/textures_1024", "texture net, 1024 × 1024, float32"),
    *_textures("survivors/textures_1024_bfloat16", "the same, bfloat16"),
    Target("any of these nets, at any p: time of the dense mask's", 1.05, "survivors"),
    Target("a step on 8192 × 8192: GiB", 8, "large_image", where=(("n", 8192),), number="GiB"),
)


def read_bench(path: Path) -> pd.DataFrame:
    """Read a table with its numbers as numbers."""
    table = pd.read_csv(path, dtype=dict.fromkeys(TEXT, str))
    return table.assign(**{column: table[column].fillna("") for column in TEXT})


def tables(results: Path) -> list[Path]:
    """List the tables of benchmarks, one for each hardware."""
    return sorted((results / "bench").glob("*.csv"))


def threads_text(device: str, threads: int) -> str:
    """Name a setting: a GPU, or a number of threads."""
    if device == "cuda":
        return "GPU"
    return f"{threads} thread{'s' if threads > 1 else ''}"


def settings(table: pd.DataFrame) -> list[tuple[str, int]]:
    """List the devices and numbers of threads that were measured."""
    found = table[["device", "threads"]].drop_duplicates().sort_values(["device", "threads"])
    return [(str(device), int(threads)) for device, threads in found.itertuples(index=False)]


def of_setting(table: pd.DataFrame, setting: tuple[str, int]) -> pd.DataFrame:
    """Give the rows of one device and number of threads."""
    return table[(table["device"] == setting[0]) & (table["threads"] == setting[1])]


def target_table(table: pd.DataFrame) -> str:
    """Write what was reached of every target, for each setting; those not measured are left out."""
    columns = settings(table)
    rows = []
    for target in TARGETS:
        found = [reached(of_setting(table, setting), target) for setting in columns]
        if not all(map(math.isnan, found)):
            cells = [_cell(value, target.bound) for value in found]
            rows.append([target.what, f"{target.bound:g}", *cells])
    header = ["what", "at most", *(threads_text(*setting) for setting in columns)]
    return markdown_table(header, rows) if rows else "None of the targets was measured."


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


def with_memory_ratio(rows: pd.DataFrame) -> pd.DataFrame:
    """Add the memory over that of the dense mask in the same case."""
    keys = ["comparison", "case", "device", "threads"]
    dense = rows[rows["variant"] == DENSE].set_index(keys)["memory_bytes"]
    baseline = dense.reindex(pd.MultiIndex.from_frame(rows[keys])).to_numpy()
    return rows.assign(memory_ratio=rows["memory_bytes"].to_numpy() / baseline)


def exponent(n: Sequence[float], seconds: Sequence[float]) -> float:
    """Fit a in seconds ∝ nᵃ to the largest sizes.

    >>> round(exponent([1, 2, 4, 8, 16], [9, 4, 16, 64, 256]), 6)
    2.0
    """
    largest = np.argsort(n)[-FITTED:]
    x, y = np.log(np.asarray(n, float)[largest]), np.log(np.asarray(seconds, float)[largest])
    return float(np.polyfit(x, y, 1)[0])


def _cell(value: float, bound: float) -> str:
    if math.isnan(value):
        return GAP
    text = f"{value:.3f}" if bound < 0.1 else f"{value:.2f}"
    return f"{text}, {'met' if value <= bound else '**not met**'}"
