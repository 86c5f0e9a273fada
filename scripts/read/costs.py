"""Read what a step of each arm costs beside plain training, as benchmarks on some hardware found.

Each file results/bench/<hardware>.csv has a row for each ``comparison`` (an experiment, with /width
after it where widths vary), ``variant`` (an arm; ``none`` is plain training), ``device`` and number
of ``threads``: the time of a step ``relative`` to plain training, with ``relative_low`` and
``relative_high`` around it, and the peak ``memory_bytes``.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from scripts.read.bench import threads_text

COLUMNS = (
    *("comparison", "variant", "device", "threads"),
    *("relative", "relative_low", "relative_high", "memory_bytes"),
)
PLAIN = "none"


@dataclass(frozen=True)
class Cost:
    """What a step of one arm costs; NaN where that was not measured.

    ``where`` names the hardware and the threads, as far as the folder holds several of them.
    """

    comparison: str
    variant: str
    where: str
    relative: float
    low: float
    high: float
    extra_bytes: float


def read_costs(folder: Path) -> list[Cost]:
    """Read the costs of all files of a folder; none where there is no such folder.

    Raises:
        ValueError: if a file lacks a column.
    """
    paths = sorted(folder.glob("*.csv"))
    return [cost for path in paths for cost in _read(path, path.stem if len(paths) > 1 else "")]


def _read(path: Path, hardware: str) -> list[Cost]:
    table = pd.read_csv(path)
    absent = [column for column in COLUMNS if column not in table]
    if absent:
        raise ValueError(f"{path} lacks the columns {', '.join(absent)}")
    rows = table.to_dict("records")
    several = len({row["threads"] for row in rows}) > 1
    plain = {_place(row): row["memory_bytes"] for row in rows if row["variant"] == PLAIN}
    return [
        Cost(
            comparison=row["comparison"],
            variant=row["variant"],
            where=", ".join(filter(None, [hardware, _setting(row) if several else None])),
            relative=row["relative"],
            low=row["relative_low"],
            high=row["relative_high"],
            extra_bytes=row["memory_bytes"] - plain.get(_place(row), math.nan),
        )
        for row in rows
    ]


def _place(row: dict[str, Any]) -> tuple[str, int]:
    return row["comparison"], row["threads"]


def _setting(row: dict[str, Any]) -> str:
    return threads_text(row["device"], row["threads"])
