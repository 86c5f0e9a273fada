"""The two sides of an agreement: a preset's committed runs, and its runs made on this machine."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scripts.arms import HARDWARE_KEYS
from scripts.results_table import CONFIG, finished, read_runs, stack


class NothingCommitted(Exception):
    """There is no committed run to compare with."""


class NothingMadeHere(Exception):
    """Runs are committed, and none of the preset's was made here."""


@dataclass(frozen=True)
class Sides:
    """The finished runs of a preset on both sides, and how many runs it plans.

    Of ``runs`` the column ``side`` holds ``committed`` or ``here``; ``paired`` tells whether the
    other side has the run too, whatever device and precision the machine decided.
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


def read_sides(reference: Path, here: Path) -> Sides:
    """Read the committed table of a preset, and that of its planned runs as they stand here.

    Raises:
        NothingCommitted: no finished run is committed.
        NothingMadeHere: none is finished here.
    """
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
            f"Nothing was compared: no run of the preset `{here.stem}` has been made here; "
            f"the committed table holds {len(committed)} finished runs."
        )
    return Sides(here.stem, len(planned), pair(committed, made))


def pair(committed: pd.DataFrame, here: pd.DataFrame) -> pd.DataFrame:
    """Put both sides below one another, with the columns ``side`` and ``paired``."""
    both = stack([committed.assign(side="committed"), here.assign(side="here")]).copy()
    asked = _asked(both)
    sides = [
        {one for one, side in zip(asked, both["side"], strict=True) if side == name}
        for name in ("committed", "here")
    ]
    shared = sides[0] & sides[1]
    return both.assign(paired=[one in shared for one in asked])


def _asked(runs: pd.DataFrame) -> list[tuple[object, ...]]:
    """Give what each run asks: its configuration but for what a machine decides."""
    decided = [CONFIG + key for key in HARDWARE_KEYS]
    columns = [name for name in runs if name.startswith(CONFIG) and name not in decided]
    return list(runs[columns].itertuples(index=False, name=None))
