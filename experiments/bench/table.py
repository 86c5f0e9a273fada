"""The table of measurements: one row for each variant of each case of a comparison."""

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.bench.timing import Times, paired_ratio, spread
from experiments.provenance import provenance

COLUMNS = (
    "comparison", "case", "variant", "device", "threads", "seconds", "seconds_low", "seconds_high",
    "relative", "relative_low", "relative_high", "memory_bytes", "memory_kind", "p", "p_fine",
    "p_coarse", "n", "rounds", "note", "hardware", "cores", "torch", "python", "commit",
)  # fmt: skip

Row = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """Where comparisons run: a device, a number of threads, and whether only to show that they do.

    Attributes:
        seconds: what one case of a comparison may take, about.
    """

    device: str = "cpu"
    threads: int = 1
    smoke: bool = False

    @property
    def seconds(self) -> float:
        """Give the seconds for one case."""
        return 0.0 if self.smoke else 4.0

    @property
    def fewest(self) -> int:
        """Give the fewest rounds."""
        return 2 if self.smoke else 5


def rows(
    comparison: str,
    case: str,
    times: Times,
    baseline: str,
    memory: Mapping[str, float] | None = None,
    memory_kind: str = "",
    **columns: Any,
) -> list[Row]:
    """Write the times of a case as rows, with each variant's time over the baseline's."""
    found = []
    for variant, values in times.items():
        row: Row = {"comparison": comparison, "case": case, "variant": variant, **columns}
        seconds, ratio = spread(values), None
        if baseline in times and len(times[baseline]) == len(values):
            ratio = paired_ratio(values, times[baseline])
        row |= {"seconds": seconds.median, "seconds_low": seconds.low}
        row |= {"seconds_high": seconds.high, "rounds": len(values)}
        if ratio:
            row |= {"relative": ratio.median, "relative_low": ratio.low}
            row |= {"relative_high": ratio.high}
        if memory and not math.isnan(memory.get(variant, math.nan)):
            row |= {"memory_bytes": int(memory[variant]), "memory_kind": memory_kind}
        found.append(row)
    return found


def noted(comparison: str, case: str, variant: str, note: str, **columns: Any) -> Row:
    """Give the row of what could not be measured, with the reason."""
    row = {"comparison": comparison, "case": case, "variant": variant}
    return {**row, "note": " ".join(note.split()), **columns}


def path_of(folder: Path, device: str) -> Path:
    """Give the file for the hardware of a device."""
    name = re.sub(r"[^a-z0-9]+", "-", provenance(device)["processor"].lower()).strip("-")
    return folder / f"{name}.csv"


def add(path: Path, new: Sequence[Row], setting: Setting) -> None:
    """Append rows to the table, with where and with what they were measured."""
    about = provenance(setting.device)
    where = {"device": setting.device, "threads": setting.threads, "cores": about["cores"]}
    where |= {name: about[name] for name in ("torch", "python", "commit")}
    where["hardware"] = about["processor"]
    _write(path, [*_read(path), *({**where, **row} for row in new)])


def drop(path: Path, comparison: str, setting: Setting) -> None:
    """Remove the rows of a comparison, and of those named under it, at one number of threads."""
    _write(
        path,
        [
            row
            for row in _read(path)
            if row["comparison"].split("/")[0] != comparison
            or row["threads"] != str(setting.threads)
        ],
    )


def _read(path: Path) -> list[Row]:
    if not path.exists():
        return []
    return pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")  # type: ignore[return-value]


def _write(path: Path, table: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = pd.DataFrame(table, columns=list(COLUMNS)).map(_text)
    written = path.with_suffix(f".{os.getpid()}.partial")
    text.to_csv(written, index=False, lineterminator="\n")
    written.replace(path)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.5g}"
    return "" if value is None else str(value)
