"""Read what a step of each arm costs beside plain training, as benchmarks on some hardware found.

Each file results/bench/<hardware>.csv has a row for each ``comparison`` (an experiment, with /width
after it where widths vary), ``variant`` (an arm; ``none`` is plain training) and number of
``threads``: the time of a step ``relative`` to plain training, with ``relative_low`` and
``relative_high`` around it, and the peak ``memory_bytes``.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from scripts.intervals import signed

UNKNOWN = "not measured"
COLUMNS = (
    *("comparison", "variant", "threads"),
    *("relative", "relative_low", "relative_high", "memory_bytes"),
)
PLAIN = "none"
MIB = 2**20


@dataclass(frozen=True)
class Cost:
    """What a step of one arm costs on one hardware; NaN where that was not measured."""

    comparison: str
    variant: str
    hardware: str
    relative: float
    low: float
    high: float
    extra_bytes: float


def read_costs(folder: Path) -> list[Cost]:
    """Read the costs of all files of a folder; none where there is no such folder.

    Raises:
        ValueError: if a file lacks a column.
    """
    return [cost for path in sorted(folder.glob("*.csv")) for cost in _read(path)]


def step_time(costs: Iterable[Cost]) -> str:
    """Write the times of a step relative to plain training."""
    return _written(
        (cost.hardware, f"{cost.relative:.2f} [{cost.low:.2f}, {cost.high:.2f}]")
        for cost in costs
        if not math.isnan(cost.relative)
    )


def extra_memory(costs: Iterable[Cost]) -> str:
    """Write the memory needed beside that of plain training."""
    return _written(
        (cost.hardware, f"{signed(cost.extra_bytes / MIB, 1)} MiB")
        for cost in costs
        if not math.isnan(cost.extra_bytes)
    )


def _written(found: Iterable[tuple[str, str]]) -> str:
    """Join what was found; name the hardware if there is more than one."""
    texts = dict(found)
    if len(texts) < 2:
        return "".join(texts.values()) or UNKNOWN
    return "; ".join(f"{text} ({hardware})" for hardware, text in texts.items())


def _read(path: Path) -> list[Cost]:
    table = pd.read_csv(path)
    absent = [column for column in COLUMNS if column not in table]
    if absent:
        raise ValueError(f"{path} lacks the columns {', '.join(absent)}")
    rows = table.to_dict("records")
    plain = {_place(row): row["memory_bytes"] for row in rows if row["variant"] == PLAIN}
    return [
        Cost(
            comparison=row["comparison"],
            variant=row["variant"],
            hardware=_hardware(path, row["threads"], rows),
            relative=row["relative"],
            low=row["relative_low"],
            high=row["relative_high"],
            extra_bytes=row["memory_bytes"] - plain.get(_place(row), math.nan),
        )
        for row in rows
    ]


def _place(row: dict[str, Any]) -> tuple[str, int]:
    return row["comparison"], row["threads"]


def _hardware(path: Path, threads: int, rows: list[dict[str, Any]]) -> str:
    """Name the hardware of a file, with the number of threads if the file has several."""
    several = len({row["threads"] for row in rows}) > 1
    return path.stem + (f", {threads} thread{'s' * (threads > 1)}" if several else "")
