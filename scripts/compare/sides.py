"""The two sides of an agreement: a preset's committed runs, and its runs made on this machine."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scripts.read.tables import CONFIG, DECIDED, finished, read_runs


class NothingCommitted(Exception):
    """There is no committed run to compare with."""


class NothingMadeHere(Exception):
    """Runs are committed, and none of the preset's was made here."""


@dataclass(frozen=True)
class Sides:
    """The finished runs of a preset on both sides, and how many runs it plans.

    Of ``runs`` the column ``side`` holds ``committed`` or ``here``; ``asked`` is equal for runs
    that ask the same, whatever device and precision the machine decided; ``paired`` tells whether
    the other side has the run too.
    """

    preset: str
    planned: int
    runs: pd.DataFrame

    @property
    def committed(self) -> pd.DataFrame:
        """Give the committed runs that were made here too."""
        return self.runs[(self.runs["side"] == "committed") & self.runs["paired"]]

    @property
    def here(self) -> pd.DataFrame:
        """Give the runs made here."""
        return self.runs[self.runs["side"] == "here"]

    @property
    def new(self) -> pd.DataFrame:
        """Give the runs made here that the committed table lacks."""
        return self.here[~self.here["paired"]]


def read_sides(folder: Path) -> Sides:
    """Read the committed table of a preset, and that of its planned runs as they stand here.

    Raises:
        NothingCommitted: no finished run is committed.
        NothingMadeHere: none is finished here.
    """
    runs = folder.parent / "runs"
    reference, here = (runs / side / f"{folder.name}.csv" for side in ("reference", "here"))
    nothing = "There is nothing committed to compare with:"
    if not reference.exists():
        raise NothingCommitted(f"{nothing} {reference} does not exist.")
    committed = finished(read_runs(reference))
    if committed.empty:
        raise NothingCommitted(f"{nothing} {reference} holds no finished run.")
    if not here.exists():
        raise NothingMadeHere(f"Nothing was compared: {here} does not exist.")
    planned = read_runs(here)
    made = finished(planned)
    if made.empty:
        raise NothingMadeHere(
            f"Nothing was compared: no run of the preset `{folder.name}` has been made here; "
            f"the committed table holds {len(committed)} finished runs."
        )
    return Sides(folder.name, len(planned), pair(committed, made))


def pair(committed: pd.DataFrame, here: pd.DataFrame) -> pd.DataFrame:
    """Put both sides below one another, with the columns ``side``, ``asked`` and ``paired``."""
    both = pd.concat(
        [committed.assign(side="committed"), here.assign(side="here")], ignore_index=True
    )
    keys = [name for name in both if name.startswith(CONFIG) and name not in DECIDED]
    cells = both[keys].astype(object)
    asked = pd.factorize(cells.where(cells.notna(), None).apply(tuple, axis=1))[0]
    both = both.assign(asked=asked)
    sides = both.groupby("asked")["side"].transform("nunique")
    return both.assign(paired=sides == 2)
