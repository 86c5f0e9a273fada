"""Collect finished runs into the tidy tables of a preset, or of a sweep of one's own.

    python -m experiments.collect [results/runs/sweeps/<log>.jsonl]

prints the folder into which it collected a sweep, by default the last one.
"""

import argparse
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from omegaconf import OmegaConf

from experiments.identity import Settings
from experiments.run_store import Row, RunStore
from experiments.sweep_log import SweepLog
from experiments.tables import curve_rows, read, run_row, write

Planned = tuple[str, Sequence[str], Settings]  # id, experiments, configuration


def collect(planned: Sequence[Planned], runs: Path, folder: Path) -> pd.DataFrame:
    """Merge the runs that are planned into runs.csv and curves.csv under ``folder``.

    A run that is finished here replaces its row. Every other row stays: as it is if the run is
    planned, without an experiment if it no longer is, so that it enters no table. A planned run
    that is nowhere finished is a row whose status says so.
    """
    old_runs, old_curves = read(folder / "runs.csv"), read(folder / "curves.csv")
    names = {id: ";".join(experiments) for id, experiments, _ in planned}
    if len(old_runs):
        old_runs["experiments"] = old_runs["id"].map(names).fillna("")
    kept = set(old_runs.loc[old_runs.get("status") == "finished", "id"]) if len(old_runs) else set()
    rows: list[Row] = []
    curves: list[Row] = []
    for id, experiments, settings in planned:
        store = RunStore(runs, id)
        row = run_row(id, experiments, settings, store)
        if row["status"] == "finished":
            curves += curve_rows(id, store)
        elif id in kept:
            continue
        rows.append(row)
    table = _replace(old_runs, pd.DataFrame(rows))
    table = table[~((table["experiments"] == "") & (table["status"] != "finished"))]
    order = {id: position for position, id in enumerate(names)}
    table = table.sort_values(
        "id", key=lambda ids: ids.map(order).fillna(len(order)), kind="stable"
    )
    write(table[_columns(table)], folder / "runs.csv")
    write(_replace(old_curves, pd.DataFrame(curves)), folder / "curves.csv")
    return table


def _replace(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Put the rows of ``new`` in the place of those of ``old`` with the same id."""
    if not len(new):
        return old
    left = old[~old["id"].isin(new["id"])]
    return pd.concat([left, new], ignore_index=True) if len(left) else new


def _columns(table: pd.DataFrame) -> list[str]:
    """Order columns: what the run is, its configuration, its results, its provenance."""
    first = ["id", "experiments", "status", "error"]
    config = sorted(c for c in table if c.startswith("config."))
    last = sorted(c for c in table if c.startswith("provenance."))
    results = sorted(c for c in table if c not in {*first, *config, *last})
    return [*first, *config, *results, *last]


def keep_reference(folder: Path, runs: Path) -> Path:
    """Put the committed runs.csv of a preset aside, before any of its rows is replaced.

    The committed one is git's; without git, the one found when the preset first ran here.
    """
    reference = runs / "reference" / f"{folder.name}.csv"
    table = folder / "runs.csv"
    reference.parent.mkdir(parents=True, exist_ok=True)
    shown = (
        subprocess.run(["git", "show", f"HEAD:./{table.name}"], cwd=folder, capture_output=True)
        if folder.exists()
        else None
    )
    if shown and shown.returncode == 0:
        reference.write_bytes(shown.stdout)
    elif table.exists() and not reference.exists():
        shutil.copy(table, reference)
    return reference


def swept_runs(log: SweepLog) -> list[Planned]:
    """List the runs of a sweep by its log."""
    runs = log.path.parent.parent
    ids = dict.fromkeys(line["id"] for line in log.lines()[1:])
    return [
        (id, ["sweep"], OmegaConf.to_container(OmegaConf.load(runs / id / "config.yaml")))  # type: ignore[misc]
        for id in ids
        if (runs / id / "config.yaml").exists()
    ]


def main() -> None:
    """Collect a sweep into results/runs/sweeps/<its name>/."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("log", nargs="?", type=Path, help="log of a sweep; default: the last one")
    parser.add_argument("--runs", type=Path, default=Path("results/runs"))
    chosen = parser.parse_args()
    logs = sorted((chosen.runs / "sweeps").glob("*.jsonl"))
    if not chosen.log and not logs:
        parser.error(f"no sweep has been run: {chosen.runs / 'sweeps'} holds no log")
    log = SweepLog(chosen.log or logs[-1])
    folder = log.path.with_suffix("")
    collect(swept_runs(log), log.path.parent.parent, folder)
    print(folder)


if __name__ == "__main__":
    main()
