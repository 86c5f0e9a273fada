"""Tidy tables of runs: their configuration as columns, and back."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.checksums import Damaged, read_checked, write_checked
from experiments.identity import NEUTRAL, Settings, identity
from experiments.run_store import Row, RunStore

CONFIG = "config."
TEXT = ("id", "experiments", "status", "error")


def flatten(value: Mapping[str, Any], prefix: str = "") -> Row:
    """Give nested settings as one level of dotted keys; empty mappings stay as values.

    >>> flatten({"a": {"b": 1}, "c": {}})
    {'a.b': 1, 'c': {}}
    """
    flat: Row = {}
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            flat |= flatten(item, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = item
    return flat


def unflatten(flat: Mapping[str, Any]) -> Row:
    """Undo ``flatten``."""
    nested: Row = {}
    for key, item in flat.items():
        *parents, last = key.split(".")
        node = nested
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = item
    return nested


def run_row(id: str, experiments: Iterable[str], settings: Settings, store: RunStore) -> Row:
    """Give the row of one run: finished, failed, not run for want of data, or missing."""
    result, failure = store.result(), store.failure()
    status = "finished" if result else status_of(failure)
    return {
        "id": id,
        "experiments": ";".join(experiments),
        "status": status,
        "error": None if result else failure,
        **{CONFIG + key: json.dumps(item) for key, item in flatten(identity(settings)).items()},
        **flatten(result or {}),
        **(flatten({"provenance": store.provenance() or {}}) if result else {}),
    }


def status_of(failure: str | None) -> str:
    """Name the status of a run without a result, by the last line of its failure, if any."""
    if failure is None:
        return "missing"
    return "not run" if failure.startswith("FileNotFoundError") else "failed"


def settings_of(row: Mapping[str, Any]) -> Settings:
    """Give the configuration of a row, all but ``system``."""
    cells = {
        key.removeprefix(CONFIG): json.loads(cell)
        for key, cell in row.items()
        if key.startswith(CONFIG) and isinstance(cell, str)
    }
    return {**NEUTRAL, **unflatten(cells)}


def curve_rows(id: str, store: RunStore) -> list[Row]:
    """Give a row for every epoch of a run, rounded to six significant digits."""
    return [
        {"id": id}
        | {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in flatten(row).items()}
        for row in store.metrics()
    ]


def read(path: Path) -> pd.DataFrame:
    """Read a table of runs or curves; give an empty one where there is none.

    Configuration (JSON) and provenance stay text; numbers are read exactly as they were written.

    Raises:
        ValueError: a damaged table, with its path.
    """
    content = read_checked(path)
    if content is None:
        return pd.DataFrame({"id": pd.Series(dtype=str)})
    try:
        table = pd.read_csv(BytesIO(content), dtype=str, keep_default_na=False, na_values=[""])
        _check(table)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise Damaged(f"{path} is damaged ({reason}); take it from git again") from error
    text = (CONFIG, "provenance.")
    numbers = [name for name in table if name not in TEXT and not name.startswith(text)]
    for name in numbers:
        with suppress(ValueError):
            table[name] = table[name].astype(float)
    return table


def _check(table: pd.DataFrame) -> None:
    if not isinstance(table.index, pd.RangeIndex):
        raise ValueError("rows have more cells than there are columns")
    if "id" not in table:
        raise ValueError("it has no column id")
    for name in table:
        if name.startswith(CONFIG):
            for cell in table[name].dropna().unique():
                json.loads(cell)


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a table with its sum, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_checked(path, table.to_csv(index=False).encode())
