"""Say how far the runs of a preset are here, and which command goes on.

python -m experiments.status laptop
"""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.code import differs
from experiments.collect import finished_by_question
from experiments.configurations import PROJECT
from experiments.identity import question_id
from experiments.looks import pairs_asked
from experiments.plan import Job, plan
from experiments.progress import expected_seconds
from experiments.refusals import one_line
from experiments.run import made_with
from experiments.run_store import CHECKPOINT, Row, RunStore
from experiments.tables import status_of

STATES = ("finished", "in the table", "running", "interrupted", "failed", "not run", "missing")
"""Of a run: finished here, elsewhere (its row is in the preset's table), and so on."""


@dataclass(frozen=True)
class State:
    """What a run is, what is to be said of it, and whether other code than today's made it."""

    name: str
    note: str = ""
    stale: bool = False

    @property
    def is_open(self) -> bool:
        """Tell whether the run is still to be made."""
        return self.name not in STATES[:2]


def state_of(job: Job, runs: Path, table: Mapping[str, Row]) -> State:
    """Give the state of a run under ``runs``, or in a preset's table by what runs ask."""
    store = RunStore(runs, job.id)
    if store.result() is not None:
        return State("finished", stale=differs(made_with(store)))
    if question_id(job.settings) in table:
        return State("in the table")
    epochs = f"epoch {len(store.metrics())} of {job.settings['epochs']}"
    if store.is_held():
        return State("running", epochs)
    if failure := store.failure():
        return State(status_of(failure), failure)
    interrupted = (store.path / CHECKPOINT).exists()
    return State("interrupted", epochs) if interrupted else State(status_of(None))


def status_text(jobs: Sequence[Job], states: Mapping[str, State], seconds: float | None) -> str:
    """Write a line for each experiment, and one for each run of which there is more to say."""
    lines = []
    for name in dict.fromkeys(name for job in jobs for name in job.experiments):
        own = [states[job.id] for job in jobs if name in job.experiments]
        count = Counter(state.name for state in own)
        parts = [f"{count[state]} {state}" for state in STATES if count[state]]
        stale = sum(state.stale for state in own)
        parts += [f"{stale} of them made with other code"] if stale else []
        lines.append(f"{name}: {', '.join(parts)}")
    noted = [(job, states[job.id]) for job in jobs if states[job.id].note]
    lines += [f"  {state.name}: {job.id} {job.label}: {state.note}" for job, state in noted]
    if seconds is not None:
        lines.append(f"about {seconds / 60:.0f} min of one core left")
    return "\n".join(lines)


def status(preset: str, results: Path) -> str:
    """Give the status of a preset, with the command that goes on."""
    folder, runs = results / preset, results / "runs"
    experiments = PROJECT.preset(preset)
    jobs = plan(experiments, [f"system.runs={runs}"], pairs_asked(folder, experiments))
    table = finished_by_question(folder)
    states = {job.id: state_of(job, runs, table) for job in jobs}
    wanted = [job.id for job in jobs if states[job.id].is_open]
    expected = expected_seconds(jobs, table)
    known = [expected[id] for id in wanted if id in expected]
    known_all = wanted and len(known) == len(wanted)
    text = status_text(jobs, states, sum(known) if known_all else None)
    go_on = f"make complete PRESET={preset}" if wanted else f"make collect PRESET={preset}"
    return f"{text}\ngo on with: {go_on}"


def main() -> None:
    """Parse the command line and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("preset")
    parser.add_argument("--results", type=Path, default=Path("results"))
    chosen = parser.parse_args()
    try:
        print(status(chosen.preset, chosen.results))
    except (ValueError, OSError) as error:
        parser.error(one_line(error))


if __name__ == "__main__":
    main()
