"""Compute the runs of a preset, several processes side by side."""

import os
import queue
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

import torch

from experiments.orphans import end_with
from experiments.plan import Job
from experiments.progress import Progress
from experiments.run import run, say_stale
from experiments.run_store import RunStore
from experiments.sweep_log import SweepLog, describe

KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**28),
}
"""Lets glibc keep freed memory for the next step in place of asking for zeroed pages again."""


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(
    jobs: Sequence[Job],
    runs: Path,
    processes: int | None = None,
    expected: Mapping[str, float] = MappingProxyType({}),
) -> SweepLog:
    """Compute the jobs that are not finished, ``processes`` side by side.

    By default one a core, or one at a time with a GPU; the cores are shared out as threads. A job
    that fails, or whose process dies, is logged as failed and the others go on. Every minute a line
    says how far they are, with the time left by the seconds that runs are ``expected`` to take.
    """
    unfinished = [job for job in jobs if RunStore(runs, job.id).result() is None]
    print(f"{len(jobs)} runs, {len(unfinished)} of them to compute", flush=True)
    todo = {job.id for job in unfinished}
    say_stale([RunStore(runs, job.id) for job in jobs if job.id not in todo])
    count = processes or (1 if torch.cuda.is_available() else cores())
    threads = max(1, cores() // count)
    os.environ |= {"OMP_NUM_THREADS": str(threads), **KEEP_MEMORY}  # for the processes started here
    log = SweepLog.create(runs, len(unfinished), "preset")
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in unfinished:
        waiting.put(job)
    side_by_side = min(count, len(unfinished))
    progress = Progress(unfinished, runs, max(1, side_by_side), expected)
    workers = [
        threading.Thread(target=_work, args=(waiting, log, threads, progress), daemon=True)
        for _ in range(side_by_side)
    ]
    with progress.said():
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    return log


def _work(
    waiting: "queue.SimpleQueue[Job]", log: SweepLog, threads: int, progress: Progress
) -> None:
    """Take jobs until none is left, each into a process that outlives it unless it dies."""
    pool = _process()
    while True:
        try:
            job = waiting.get_nowait()
        except queue.Empty:
            pool.shutdown()
            return
        system = {**job.settings["system"], "threads": threads}
        try:
            with progress.of(job):
                result = pool.submit(run, {**job.settings, "system": system}).result()
        except BrokenProcessPool:
            log.add(job.id, job.label, "its process died", failed=True)
            pool = _process()
        except Exception as error:
            log.add(job.id, job.label, f"failed: {error}", failed=True)
        else:
            log.add(job.id, job.label, describe(result, job.settings["metric"]))


def _process() -> ProcessPoolExecutor:
    """Start a process that ends with this one, and leaves Ctrl-C to it, see ``stop``."""
    context = get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(os.getpid(),))


def _begin(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(parent)


def stop(message: str) -> NoReturn:
    """Kill the processes of ``run_all`` and leave at once; their runs go on another time."""
    for process in active_children():
        process.kill()
    print(message, file=sys.stderr, flush=True)
    os._exit(130)  # the threads that wait for the processes would take them for failed
