"""Compute the runs of a preset and collect them under results/<preset>/.

python -m experiments.reproduce laptop              every run; finished ones answer at once
python -m experiments.reproduce laptop --complete   only those that the committed table lacks
python -m experiments.reproduce laptop --collect    none: collect what is finished
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.build import construct
from experiments.collect import (
    collect,
    declare,
    finished_by_question,
    keep_reference,
    rows_here,
)
from experiments.configurations import PROJECT, Configurations
from experiments.identity import question_id
from experiments.item_outputs import collect_outputs
from experiments.looks import ask_for, pairs_asked
from experiments.pictures import draw
from experiments.plan import Job, plan
from experiments.progress import expected_seconds
from experiments.refusals import one_line
from experiments.report import declarations
from experiments.run import say_stale
from experiments.run_store import RunStore
from experiments.sweep import run_all, stop
from experiments.sweep_log import report_failures
from experiments.tables import write


def reproduce(
    preset: str,
    results: Path,
    processes: int | None,
    wanted: str = "all",
    uncommitted: bool = False,
    conf: Configurations = PROJECT,
) -> int:
    """Compute ``all`` runs, the ``lacking`` ones or ``none``, and collect; give the status.

    The planned runs as they stand here go to runs/here/<preset>.csv: the collected table holds
    committed rows too, which say nothing about this machine.
    """
    runs = results / "runs"
    folder = results / preset
    here = runs / "here" / f"{preset}.csv"
    experiments = conf.preset(preset)
    keep_reference(folder, runs)
    here.unlink(missing_ok=True)  # if anything fails below, an older one is not taken for this
    pairs = pairs_asked(folder, experiments, conf)
    jobs = plan(experiments, [f"system.runs={runs}"], pairs, conf)
    finished = finished_by_question(folder)
    lacking = [job for job in jobs if question_id(job.settings) not in finished]
    chosen = {"all": jobs, "lacking": lacking, "none": []}[wanted]
    possible = with_data(chosen, runs)
    expected = expected_seconds(jobs, finished)
    status = report_failures(run_all(possible, runs, processes, expected)) if possible else 0
    planned = [(job.id, job.experiments, job.settings) for job in jobs]
    write(pd.DataFrame(rows_here(planned, runs)), here)
    if wanted == "none":
        stores = [RunStore(runs, job.id) for job in jobs]
        say_stale([store for store in stores if store.result() is not None])
    table = collect(planned, runs, folder, uncommitted)
    declare(table, jobs, declarations(experiments, jobs, conf), folder)
    collect_outputs(jobs, pairs, runs, folder)
    draw([job.settings for job in jobs], folder / "pictures", may_train=wanted != "none")
    if left_out := len(chosen) - len(possible):
        print(f"{left_out} runs were not made for want of data, as said above", file=sys.stderr)
    return 1 if left_out else status


def with_data(jobs: list[Job], runs: Path) -> list[Job]:
    """Fetch what unfinished runs need; leave out, mark and name those that cannot have it."""
    problems: dict[tuple[str, ...], str] = {}
    possible = []
    for job in jobs:
        if RunStore(runs, job.id).result() is not None:
            possible.append(job)
            continue
        dataset = construct("dataset", job.settings["dataset"])
        data = (type(dataset).__name__, getattr(dataset, "name", ""))
        if data not in problems:
            problems[data] = _problem(dataset, Path(job.settings["system"]["data"]))
        if problems[data]:
            RunStore(runs, job.id).fail(problems[data])
        else:
            possible.append(job)
    for problem in filter(None, dict.fromkeys(problems.values())):
        print(f"Some runs are left out. {problem}", file=sys.stderr)
    return possible


def _problem(dataset: Any, folder: Path) -> str:
    try:
        getattr(dataset, "prepare", lambda folder: None)(folder)
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return ""


def _pairs(text: str) -> tuple[str, int]:
    name, _, pairs = text.partition("=")
    if not pairs.isdigit():
        raise ValueError(f"--pairs takes EXPERIMENT=PAIRS; got {text!r}")
    return name, int(pairs)


def main() -> int:
    """Parse the command line and reproduce."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("preset")
    parser.add_argument(
        "--complete", dest="wanted", action="store_const", const="lacking", default="all",
        help="compute only what the table lacks",
    )  # fmt: skip
    parser.add_argument(
        "--collect", dest="wanted", action="store_const", const="none",
        help="compute nothing, collect what is finished",
    )  # fmt: skip
    parser.add_argument(
        "--uncommitted", action="store_true",
        help="let runs of uncommitted code enter a table that may be committed",
    )  # fmt: skip
    parser.add_argument(
        "--pairs", nargs="+", default=[], metavar="EXPERIMENT=PAIRS",
        help="ask for so many pairs of primary comparisons: one of their declared looks",
    )  # fmt: skip
    parser.add_argument("--processes", type=int, help="runs side by side (default: one a core)")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument(
        "--config-dir", nargs="+", type=Path, default=[], metavar="FOLDER",
        help="folders of presets and experiments beside conf/, laid out alike",
    )  # fmt: skip
    chosen = parser.parse_args()
    if chosen.processes is not None and chosen.processes < 1:
        parser.error(f"--processes must be at least 1; got {chosen.processes}")
    try:
        if chosen.pairs:
            ask_for(chosen.results / chosen.preset, dict(map(_pairs, chosen.pairs)))
        return reproduce(
            chosen.preset,
            chosen.results,
            chosen.processes,
            chosen.wanted,
            chosen.uncommitted,
            Configurations(tuple(chosen.config_dir)),
        )
    except (ValueError, OSError) as error:
        parser.error(one_line(error))
    except KeyboardInterrupt:
        stop("interrupted; the same command goes on, `make collect` tabulates what is finished")


if __name__ == "__main__":
    sys.exit(main())
