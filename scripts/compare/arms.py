"""Arms: runs of one experiment that differ in their seed only."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scripts.compare.intervals import Interval, t_interval
from scripts.read.preset import ARM
from scripts.read.tables import CONFIG, SEED


@dataclass(frozen=True, eq=False)
class Arm:
    """One arm in one setting, with its runs, finished or not.

    Attributes:
        setting: where it meets its baseline.
        kind: what arms have in common that differ in a number.
        label: its name.
        tried: what a search tries with it.
        table: a table of runs.
        rows: which of them are its own.
    """

    setting: str
    kind: str
    label: str
    tried: str
    table: pd.DataFrame
    rows: NDArray[np.intp]

    @property
    def place(self) -> str:
        """Name the setting, and what is tried in it."""
        return ", ".join(filter(None, (self.setting, self.tried)))

    @property
    def full_label(self) -> str:
        """Name the arm with its place."""
        return f"{self.label} ({self.place})" if self.place else self.label

    @property
    def chosen(self) -> str:
        """Say what a search chose for it."""
        return str(self.first("chosen") or "")

    @cached_property
    def finished(self) -> NDArray[np.intp]:
        """Give the rows of the runs that have results."""
        return self.rows[self._cells("status") == "finished"]

    @property
    def lacking(self) -> NDArray[np.intp]:
        """Give the rows of the runs that failed or are missing."""
        return self.rows[self._cells("status") != "finished"]

    @property
    def ids(self) -> frozenset[str]:
        """Give the ids of the finished runs."""
        return frozenset(self.table["id"].to_numpy()[self.finished])

    def config(self, key: str) -> Any:
        """Give what all runs are set to; None where they lack the key."""
        return self.first(CONFIG + key)

    def first(self, column: str) -> Any:
        """Give what the first run has in a column; None if there is no such."""
        return self.table[column].iloc[self.rows[0]] if column in self.table else None

    def by_seed(self, column: str) -> dict[tuple[int, str], float]:
        """Give the finished runs' values by seed and hardware, in the order of the table."""
        if column not in self.table:
            return {}
        values = self.table[column].to_numpy()[self.finished]
        return {run: float(x) for run, x in zip(self._pairs_by, values, strict=True) if x == x}

    @property
    def ids_by_seed(self) -> dict[tuple[int, str], str]:
        """Give the finished runs' ids by seed and hardware, in the order of the table."""
        ids = self.table["id"].to_numpy()[self.finished]
        return dict(zip(self._pairs_by, ids, strict=True))

    @cached_property
    def _pairs_by(self) -> list[tuple[int, str]]:
        seeds, kinds = (self.table[key].to_numpy()[self.finished] for key in (SEED, "hardware"))
        return list(zip(seeds, kinds, strict=True))

    def over_seeds(self, column: str) -> Interval:
        """Give the mean of the finished runs with its interval."""
        return t_interval(list(self.by_seed(column).values()))

    def mean(self, column: str) -> float:
        """Give the mean of the finished runs that have a value; NaN if none has."""
        return self.over_seeds(column).mean

    def minus(self, other: "Arm", column: str) -> tuple[float, ...]:
        """Give the differences to another arm, for every seed that both have on equal hardware.

        Runs of unequal ``hardware`` (processor, device, versions) are never paired: they need not
        share initialisation and order to the last bit.
        """
        mine, theirs = self.by_seed(column), other.by_seed(column)
        return tuple(value - theirs[run] for run, value in mine.items() if run in theirs)

    def _cells(self, column: str) -> NDArray[Any]:
        return self.table[column].to_numpy()[self.rows]


def arms_of(frame: pd.DataFrame) -> list[Arm]:
    """Split the runs of an experiment into its arms, in the order of the table."""
    groups = frame.groupby(ARM).indices.items()
    return [
        Arm(setting, kind, label, tried, frame, rows)
        for (setting, kind, label, tried), rows in sorted(groups, key=lambda group: group[1][0])
    ]
