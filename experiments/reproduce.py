"""Compute the runs of a preset and collect them under results/<preset>/.

python -m experiments.reproduce laptop              every run; finished ones answer at once
python -m experiments.reproduce laptop --complete   only those that the committed table lacks
python -m experiments.reproduce laptop --collect    none: collect what is finished
"""

import argparse
import sys
from pathlib import Path

from experiments.collect import collect, finished_rows, keep_reference, questions
from experiments.identity import question_id
from experiments.pictures import draw
from experiments.sweep import Job, plan, preset_experiments, run_all
from experiments.sweep_log import report_failures


def reproduce(preset: str, results: Path, processes: int | None, wanted: str = "all") -> int:
    """Compute ``all`` runs, the ``lacking`` ones or ``none``, and collect; give the status."""
    runs = results / "runs"
    folder = results / preset
    keep_reference(folder, runs)
    experiments = preset_experiments(preset)
    jobs = plan(experiments, [f"system.runs={runs}"])
    chosen = {"all": jobs, "lacking": _lacking(jobs, folder), "none": []}[wanted]
    status = report_failures(run_all(chosen, runs, processes)) if chosen else 0
    collect([(job.id, job.experiments, job.settings) for job in jobs], runs, folder)
    draw(jobs[0].settings, folder / "pictures")
    return status


def _lacking(jobs: list[Job], folder: Path) -> list[Job]:
    finished = set(questions(finished_rows(folder)))
    return [job for job in jobs if question_id(job.settings) not in finished]


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
    parser.add_argument("--processes", type=int, help="runs side by side (default: one a core)")
    parser.add_argument("--results", type=Path, default=Path("results"))
    chosen = parser.parse_args()
    try:
        return reproduce(chosen.preset, chosen.results, chosen.processes, chosen.wanted)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
