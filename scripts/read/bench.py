"""Read tables of benchmarks: settings, ratios, exponents."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

TEXT = ("comparison", "case", "variant", "device", "memory_kind", "note", "hardware", "torch",
        "python", "commit")  # fmt: skip
DENSE = "dense mask"
FITTED = 4  # largest sizes that an exponent is fitted to


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
