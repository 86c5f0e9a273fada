"""Run a row of a committed table again, from the table alone, and compare.

python -m experiments.rerun 3f2a9c01d4e7
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pandas as pd
from omegaconf import OmegaConf

from experiments.identity import Settings, run_id
from experiments.refusals import check_keys, one_line
from experiments.run_store import Row
from experiments.schema import Config, System
from experiments.tables import flatten, read, settings_of
from experiments.train import run_alone

COSTS = ("seconds", "peak_megabytes")


def find(id: str, results: Path) -> Row:
    """Give the row of a run from the tables under ``results``.

    Raises:
        ValueError: no such row, or one whose configuration no longer has this id.
    """
    for path in sorted(results.glob("*/runs.csv")):
        table = read(path)
        for _, row in table[table["id"] == id].iterrows():
            if run_id(settings_of(row)) != id:
                raise ValueError(f"{path}: the configuration of row {id} hashes to another id")
            return dict(row)
    raise ValueError(f"no table under {results} has a run {id!r}")


def as_it_ran(row: Row) -> Settings:
    """Give the configuration of a row with the backward pass that its run took.

    A run that says nothing of it was made before there was another than the dense one.
    """
    settings = settings_of(row)
    recorded = any(key.startswith("backward.") and not pd.isna(row[key]) for key in row)
    if settings["masks"] and settings["backward"] == "auto" and not recorded:
        settings["backward"] = "dense"
    return settings


def rerun(id: str, results: Path, allow: Sequence[str] = ()) -> int:
    """Compute the run in a directory of its own; give 0 if its numbers are the table's.

    Args:
        id: of the row.
        results: the folder of the tables.
        allow: names of code that the row may use beyond what experiments/slots.py takes.
    """
    row = find(id, results)
    system: Row = OmegaConf.to_container(OmegaConf.structured(System), resolve=True)  # type: ignore[assignment]
    system["runs"] = str(results / "runs" / "reruns" / f"{datetime.now():%Y-%m-%d-%H-%M-%S}")
    if not pd.isna(row["provenance.threads"]):
        system["threads"] = int(row["provenance.threads"])
    system["allow"] = list(allow)
    settings = {**as_it_ran(row), "system": system}
    check_keys(settings, Config)
    result = flatten(run_alone(settings))
    compared = [key for key in result if key not in COSTS and not pd.isna(row.get(key))]
    different = [key for key in compared if row[key] != result[key]]
    for key in different:
        print(f"{key}: the table has {row[key]}, this run {result[key]}")
    if not compared:
        print(f"row {id} is {row['status']}: nothing to compare with")
    elif not different:
        print(f"identical to the table in all {len(compared)} results")
    return 1 if different else 0


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("id")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument(
        "--allow", action="append", default=[], metavar="NAME",
        help="code of your own that the row may name, such as my_package.Net",
    )  # fmt: skip
    chosen = parser.parse_args()
    try:
        return rerun(chosen.id, chosen.results, chosen.allow)
    except (ValueError, OSError) as error:
        parser.error(one_line(error))


if __name__ == "__main__":
    sys.exit(main())
