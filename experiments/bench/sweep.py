"""How many runs an hour a sweep computes, with one process and with two."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from experiments.bench.table import Row, Setting, rows
from experiments.bench.timing import Times
from experiments.plan import Job, plan
from experiments.sweep import run_all

RUNS, EPOCHS, ROUNDS = 4, 3, 3
ONE = "1 process"


def measure(setting: Setting) -> Iterator[list[Row]]:
    """Compare the seconds a run, its process's start and its data included."""
    experiment = "textures/smoke" if setting.smoke else "textures/laptop"
    epochs = 1 if setting.smoke else EPOCHS
    variants, times = {ONE: 1, "2 processes": 2}, Times()
    with tempfile.TemporaryDirectory() as folder:
        overrides = [f"device={setting.device}", f"epochs={epochs}", "evaluations=1"]
        overrides += [f"system.data={folder}/data"]
        jobs = plan([experiment], overrides)[:RUNS]
        if not setting.smoke:
            _seconds(jobs, Path(folder) / "first", 1)  # draws the data, which runs then share
        for number in range(1 if setting.smoke else ROUNDS):
            for name, processes in variants.items():
                runs = Path(folder) / f"{number}-{processes}"
                times.setdefault(name, []).append(_seconds(jobs, runs, processes) / len(jobs))
    case = f"{len(jobs)} runs of {experiment}, {epochs} epochs each"
    yield rows("sweep", case, times, ONE)


def _seconds(jobs: list[Job], runs: Path, processes: int) -> float:
    moved = [Job(job.id, job.places, job.label, _with_runs(job, runs)) for job in jobs]
    begin = time.perf_counter()
    log = run_all(moved, runs, processes)
    seconds = time.perf_counter() - begin
    if failures := log.failures():
        raise RuntimeError(f"a run of the sweep failed: {failures[0]}")
    return seconds


def _with_runs(job: Job, runs: Path) -> dict[str, object]:
    return {**job.settings, "system": {**job.settings["system"], "runs": str(runs)}}
