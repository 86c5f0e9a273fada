"""Collect finished runs into the tidy tables of a preset, or of a sweep of one's own.

    python -m experiments.collect [results/runs/sweeps/<log>.jsonl]

prints the folder into which it collected a sweep, by default the last one.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.checksums import Damaged, write_checked
from experiments.code import is_committed_place, is_uncommitted
from experiments.identity import NEUTRAL, Settings, identity, question_id, run_id
from experiments.naming import in_words
from experiments.plan import Job
from experiments.refusals import one_line
from experiments.run_store import Row, RunStore
from experiments.sweep_log import SweepLog
from experiments.tables import CONFIG, TEXT, curve_rows, flatten, read, run_row, settings_of, write

Planned = tuple[str, Sequence[str], Settings]  # id, experiments, configuration


def collect(
    planned: Sequence[Planned], runs: Path, folder: Path, uncommitted: bool = False
) -> pd.DataFrame:
    """Merge the runs that are planned into runs.csv and curves.csv under ``folder``.

    A run that is finished here replaces its row. Every other finished row stays: as it is if the
    run is planned, also where a machine decided device or precision otherwise; without an
    experiment if it no longer is, so that it enters no table. A planned run that is nowhere
    finished is a row whose status says so; so is, where the table may be committed and they are not
    asked for, one that was made with ``uncommitted`` code.
    """
    refused = not uncommitted and is_committed_place(folder)
    order = {question_id(settings): place for place, (_, _, settings) in enumerate(planned)}
    old_runs, old_curves = finished_rows(folder), read(folder / "curves.csv")
    asked = questions(old_runs)
    names = [";".join(experiments) for _, experiments, _ in planned]
    old_runs["experiments"] = [names[order[q]] if q in order else "" for q in asked]
    rows: list[Row] = []
    curves: list[Row] = []
    here = rows_here(planned, runs)
    if refused:
        here = _of_committed_code(here)
    for row, (id, _, settings) in zip(here, planned, strict=True):
        if row["status"] == "finished":
            curves += curve_rows(id, RunStore(runs, id))
        elif question_id(settings) in asked:
            continue
        rows.append(row)
    table = _replace(old_runs, pd.DataFrame(rows))
    places = [order.get(question, len(order)) for question in questions(table)]
    table = table.assign(place=places).sort_values(["place", "id"])
    write(table[_columns(table)], folder / "runs.csv")
    write(_replace(old_curves, pd.DataFrame(curves)), folder / "curves.csv")
    return table


def declare(
    table: pd.DataFrame, jobs: Sequence[Job], declared: Mapping[str, Any], folder: Path
) -> None:
    """Write what experiments say of themselves: arms.csv and experiments.json under ``folder``.

    arms.csv has a row for each run of the table in each experiment that asks for it: its arm, the
    kind of it, the setting in which it meets its baseline, what a search tries with it, and what
    one chose for it.
    """
    ids = dict(zip(questions(table), table["id"], strict=True))
    rows = [
        {
            "experiment": place.experiment,
            "id": ids[question_id(job.settings)],
            "arm": place.arm,
            "kind": place.kind,
            "setting": place.setting,
            "tried": in_words(place.tried),
            "chosen": place.chosen,
        }
        for experiment in declared["experiments"]
        for job in jobs
        for place in job.places
        if place.experiment == experiment
    ]
    write(pd.DataFrame(rows), folder / "arms.csv")
    _write_json(declared, folder)


def _write_json(declared: Mapping[str, Any], folder: Path) -> None:
    text = json.dumps(declared, indent=1, ensure_ascii=False)
    write_checked(folder / "experiments.json", f"{text}\n".encode())


def rows_here(planned: Sequence[Planned], runs: Path) -> list[Row]:
    """Give the row of every planned run as it stands under ``runs``, whatever a table holds."""
    return [
        _with_text(run_row(id, experiments, settings, RunStore(runs, id)))
        for id, experiments, settings in planned
    ]


def _of_committed_code(rows: Sequence[Row]) -> list[Row]:
    """Take the results from rows of finished runs whose code was not committed, and say so."""
    dirty = [is_uncommitted(row.get("provenance.commit", "")) for row in rows]
    if any(dirty):
        print(
            f"{sum(dirty)} runs were made with uncommitted code and do not enter the table: commit "
            "it and make them again, or give --uncommitted",
            file=sys.stderr,
        )
    empty = {"status": "missing", "error": "it was made here with uncommitted code"}
    return [_asked(row) | empty if out else row for row, out in zip(rows, dirty, strict=True)]


def _asked(row: Row) -> Row:
    return {key: row[key] for key in row if key in TEXT or key.startswith(CONFIG)}


def _with_text(row: Row) -> Row:
    """Make provenance text, as it is read: one thread is not 1.0 beside a run that has none."""
    text = {k: str(v) for k, v in row.items() if k.startswith("provenance.") and v is not None}
    return row | text


def finished_rows(folder: Path) -> pd.DataFrame:
    """Give the rows of finished runs in the table of a preset."""
    table = read(folder / "runs.csv")
    return table[table["status"] == "finished"].copy() if len(table) else table


def questions(table: pd.DataFrame) -> list[str]:
    """Give what each row asks, whatever device and precision it was run with."""
    return [question_id(settings_of(row)) for row in table.to_dict("records")]


def finished_by_question(folder: Path) -> dict[str, Row]:
    """Give the rows of finished runs in the table of a preset, by what they ask."""
    table = finished_rows(folder)
    return dict(zip(questions(table), table.to_dict("records"), strict=True))


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
    results = sorted(c for c in table if c not in {*first, *config, *last, "place"})
    return [*first, *config, *results, *last]


def keep_reference(folder: Path, runs: Path) -> Path:
    """Put the committed runs.csv of a preset aside, before any of its rows is replaced.

    The committed one is git's: none if git has none. Without git it is the one found when the
    preset first ran here, empty if there was none: what came later was made here.
    """
    reference = runs / "reference" / f"{folder.name}.csv"
    table = folder / "runs.csv"
    reference.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)

    def git(*words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True)

    if git("rev-parse", "--is-inside-work-tree").returncode == 0:
        shown = git("show", f"HEAD:./{table.name}")
        reference.unlink(missing_ok=True)
        if shown.returncode == 0:
            reference.write_bytes(shown.stdout)
    elif not reference.exists() and table.exists():
        shutil.copy(table, reference)
    elif not reference.exists():
        write(pd.DataFrame(columns=["id", "experiments", "status", "config.seed"]), reference)
    return reference


def last_sweep(runs: Path) -> SweepLog:
    """Give the log of the sweep that was started last, by the time that it says itself."""
    logs = [SweepLog(path) for path in (runs / "sweeps").glob("multirun-*.jsonl")]
    return max(logs, key=lambda log: float(log.lines()[0]["start"]))


def swept_runs(log: SweepLog) -> list[Planned]:
    """List the runs of a sweep by its log.

    Raises:
        ValueError: a configuration that is not that of its run, with the file.
    """
    runs = log.path.parent.parent
    ids = dict.fromkeys(line["id"] for line in log.lines()[1:])
    return [
        (id, ["sweep"], settings)
        for id in ids
        if (settings := _settings_here(RunStore(runs, id))) is not None
    ]


def _settings_here(store: RunStore) -> Settings | None:
    settings = store.settings()
    if settings is not None and _id_of(settings) != store.id:
        path = store.path / "config.yaml"
        raise Damaged(
            f"{path} is damaged (it hashes to another run); "
            f"delete its folder to compute the run again: {store.path}"
        )
    return settings


def _id_of(settings: Settings) -> str:
    return run_id({**NEUTRAL, **settings})


def swept_keys(planned: Sequence[Planned]) -> list[str]:
    """Give the settings that a sweep varied, beside seeds."""
    rows = [flatten(identity(settings)) for _, _, settings in planned]
    keys = dict.fromkeys(key for row in rows for key in row)
    return [
        key
        for key in keys
        if key.rpartition(".")[2] != "seed"
        and len({json.dumps(row.get(key), sort_keys=True) for row in rows}) > 1
    ]


def main() -> None:
    """Collect a sweep into results/runs/sweeps/<its name>/."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("log", nargs="?", type=Path, help="log of a sweep; default: the last one")
    parser.add_argument("--runs", type=Path, default=Path("results/runs"))
    chosen = parser.parse_args()
    if not chosen.log and not list((chosen.runs / "sweeps").glob("multirun-*.jsonl")):
        parser.error(f"no sweep has been run: {chosen.runs / 'sweeps'} holds no multirun log")
    try:
        log = SweepLog(chosen.log) if chosen.log else last_sweep(chosen.runs)
        planned = swept_runs(log)
        if not planned:
            parser.error(f"{log.path} names no run: none has ended")
        folder = log.path.with_suffix("")
        collect(planned, log.path.parent.parent, folder)
        metric = f"test.{planned[0][2]['metric']}"
        sweep = {"sweep": {"swept": swept_keys(planned), "metric": metric}}
        _write_json({"experiments": sweep}, folder)
    except (ValueError, OSError) as error:
        parser.error(one_line(error))
    print(folder)


if __name__ == "__main__":
    main()
