"""Read the committed tables of runs and curves, with every configuration cell decoded."""

import json
import math
from collections.abc import Iterable
from enum import Enum
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.checksums import read_checked

CONFIG = "config."
RESULTS = ("final.", "selected.", "train.", "measured.")
COUNTED = ("seconds", "skipped", "peak_megabytes")
HARDWARE = (
    "provenance.processor",
    "config.device",
    "config.precision",
    "provenance.torch",
    "provenance.numpy",
    "provenance.threads",
)
_COUNTS = ("provenance.cores", "provenance.threads")
_REQUIRED = ("id", "experiments", "status", "config.seed")


class Absent(Enum):
    """Stand for a configuration key that a run does not have, which differs from null."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT


def read_runs(path: Path) -> pd.DataFrame:
    """Read runs.csv, one row a run, sorted by id so that the order in the file plays no part.

    Columns ``config.*`` hold decoded values (lists as tuples, ``ABSENT`` where the run lacks the
    key), the columns of results and those ``COUNTED`` hold floats, all others text; counts in it
    are written without decimals, however the table writes them.
    ``hardware`` is added: runs may be paired only where it is equal.

    Raises:
        ValueError: if the table is damaged, a required column is missing, an id stands twice or a
            cell is not JSON.
    """
    table = _read(path, str, keep_default_na=False)
    absent = [column for column in _REQUIRED if column not in table]
    if absent:
        raise ValueError(f"{path} lacks the columns {', '.join(absent)}")
    twice = table["id"][table["id"].duplicated()]
    if len(twice):
        raise ValueError(f"{path} holds run {twice.iloc[0]} more than once")
    decoded = {column: _decode_column(table[column], path) for column in table.columns}
    runs = pd.DataFrame(decoded).sort_values("id", ignore_index=True)
    return runs.assign(hardware=_hardware(runs))


def read_curves(path: Path) -> pd.DataFrame:
    """Read curves.csv: one row a run and epoch; epochs without evaluation hold NaN there."""
    curves = _read(path, {"id": str})
    if "epoch" not in curves:
        return pd.DataFrame({"id": [], "epoch": []})
    return curves.sort_values(["id", "epoch"], ignore_index=True)


def _read(path: Path, dtype: Any, **options: Any) -> pd.DataFrame:
    content = read_checked(path)
    if content is None:
        raise ValueError(f"there is no {path}")
    try:
        return pd.read_csv(BytesIO(content), dtype=dtype, **options)
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); take it from git again") from error


def experiments_in(runs: pd.DataFrame) -> list[str]:
    """List the experiments that any run belongs to."""
    return sorted({name for cell in runs["experiments"] for name in cell.split(";") if name})


def of_experiment(runs: pd.DataFrame, experiment: str) -> pd.DataFrame:
    """Give the runs that belong to ``experiment``; a run may belong to several."""
    belongs = [experiment in cell.split(";") for cell in runs["experiments"]]
    return runs[belongs].reset_index(drop=True)


def finished(runs: pd.DataFrame) -> pd.DataFrame:
    """Give the runs that have results."""
    return runs[runs["status"] == "finished"]


def result_columns(runs: pd.DataFrame) -> list[str]:
    """Name the columns that hold what was measured, without times and provenance."""
    return [column for column in runs.columns if column.startswith(RESULTS)]


def stack(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Put tables of runs below one another; keys that one of them lacks become ``ABSENT``."""
    joined = pd.concat([table.astype(object) for table in tables], ignore_index=True)
    for column in joined.columns:
        if column.startswith(CONFIG):
            gaps = [isinstance(value, float) and value != value for value in joined[column]]
            joined.loc[gaps, column] = ABSENT
        elif column.startswith(RESULTS) or column in COUNTED:
            joined[column] = joined[column].astype(float)
        else:
            joined[column] = joined[column].fillna("")
    return joined


def _decode_column(cells: pd.Series, path: Path) -> pd.Series:
    if cells.name.startswith(CONFIG):
        try:
            values = [_hashable(json.loads(cell)) if cell else ABSENT for cell in cells]
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{path}: column {cells.name} holds a cell that is not JSON"
            ) from error
        return pd.Series(values, index=cells.index, dtype=object)
    if cells.name.startswith(RESULTS) or cells.name in COUNTED:
        values = [float(cell) if cell else math.nan for cell in cells]
        return pd.Series(values, index=cells.index)
    if cells.name in _COUNTS:
        cells = cells.str.removesuffix(".0")
    return cells.astype(object)


def _hashable(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_hashable(item) for item in value)
    if isinstance(value, dict):
        return tuple(sorted((key, _hashable(item)) for key, item in value.items()))
    return value


def _hardware(runs: pd.DataFrame) -> list[str]:
    known = [column for column in HARDWARE if column in runs]
    return [
        ", ".join(str(value) for value in row if value not in ("", ABSENT, None))
        for row in runs[known].itertuples(index=False)
    ]
