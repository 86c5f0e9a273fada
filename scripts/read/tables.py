"""Read the committed tables of runs and curves, with every configuration cell decoded."""

import json
import math
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from scripts.read.checked import read_checked

CONFIG = "config."
SEED = "config.seed"
RESULTS = ("final.", "selected.", "train.", "measured.")
COUNTED = ("seconds", "skipped", "peak_megabytes")
DECIDED = ("config.device", "config.precision")
"""What each machine decides for itself: part of the hardware, not of what a run asks."""
HARDWARE = (
    "provenance.processor",
    *DECIDED,
    "provenance.torch",
    "provenance.numpy",
    "provenance.threads",
)
_COUNTS = ("provenance.cores", "provenance.threads")
_REQUIRED = ("id", "status", SEED)


def read_text(path: Path) -> pd.DataFrame:
    """Read a table whose cells stay text; a gap is an empty one.

    Raises:
        ValueError: if the table is damaged, with its path.
    """
    return _read(path, object, keep_default_na=False)


def read_runs(path: Path) -> pd.DataFrame:
    """Read runs.csv, one row a run, sorted by id so that the order in the file plays no part.

    Columns ``config.*`` hold decoded values: lists as tuples, None for null, for an empty group and
    where the run lacks the key. The columns of results and those ``COUNTED`` hold floats, all
    others text. ``hardware`` is added: runs may be paired only where it is equal.

    Raises:
        ValueError: if a required column is missing, an id stands twice or a cell is not JSON.
    """
    table = read_text(path)
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
    try:
        return pd.read_csv(BytesIO(read_checked(path)), dtype=dtype, **options)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged ({error}); take it from git again") from error


def finished(runs: pd.DataFrame) -> pd.DataFrame:
    """Give the runs that have results."""
    return runs[runs["status"] == "finished"]


def config_columns(runs: pd.DataFrame) -> list[str]:
    """Name the columns of the configuration, without seeds and what a machine decides."""
    return [
        name
        for name in runs
        if name.startswith(CONFIG) and name not in DECIDED and not name.endswith((".seed", SEED))
    ]


def numbers(values: pd.Series) -> pd.Series:
    """Give the numbers that settings stand for: a list of widths for its first, none for 0.

    Raises:
        ValueError: if a value is no number.
    """
    return values.map(lambda value: _number(value, str(values.name)))


def _number(value: Any, key: str) -> float:
    while isinstance(value, tuple) and value:
        value = value[0]
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key.removeprefix(CONFIG)} must be a number; got {value!r}")
    return float(value)


def _decode_column(cells: pd.Series, path: Path) -> pd.Series:
    name = str(cells.name)
    if name.startswith(CONFIG):
        try:
            return _mapped(cells, lambda cell: _plain(json.loads(cell)) if cell else None, object)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: column {name} holds a cell that is not JSON") from error
    if name.startswith(RESULTS) or name in COUNTED:
        return _mapped(cells, lambda cell: float(cell) if cell else math.nan, float)
    return cells.str.removesuffix(".0") if name in _COUNTS else cells


def _mapped(cells: pd.Series, decode: Callable[[str], Any], kind: type) -> pd.Series:
    values = {cell: decode(cell) for cell in cells.unique()}
    return pd.Series([values[cell] for cell in cells], cells.index, dtype=kind)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_plain(item) for item in value)
    return None if value == {} else value


def _hardware(runs: pd.DataFrame) -> list[str]:
    known = [column for column in HARDWARE if column in runs]
    return [
        ", ".join(str(value) for value in row if value not in ("", None))
        for row in runs[known].itertuples(index=False)
    ]
