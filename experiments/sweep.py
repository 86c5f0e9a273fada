"""Plan the runs of a preset and compute them, several processes side by side."""

import os
import queue
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import NoReturn

import torch
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import OmegaConf

from experiments.identity import Settings, resolve, run_id
from experiments.orphans import end_with
from experiments.run import run
from experiments.run_store import RunStore
from experiments.search import arm_runs, read_chosen
from experiments.sweep_log import SweepLog, describe, expand, sweep_parameters
from experiments.train import CONF

KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**28),
}
"""Lets glibc keep freed memory for the next step in place of asking for zeroed pages again."""


@dataclass(frozen=True)
class Job:
    """A run that a preset asks for, and the experiments that it belongs to.

    ``arm`` is its name in its first experiment, if that names its arms, and ``tried`` the
    configuration that it tries of it in a search.
    """

    id: str
    experiments: tuple[str, ...]
    label: str
    settings: Settings
    arm: str = ""
    tried: Settings = field(default_factory=dict)


def preset_experiments(preset: str) -> list[str]:
    """Give the experiments of a preset.

    Raises:
        ValueError: an unknown preset, with the known ones.
    """
    path = Path(CONF) / "preset" / f"{preset}.yaml"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml")))
        raise ValueError(f"unknown preset {preset!r}; the presets are {known}")
    return list(OmegaConf.load(path).experiments)


def plan(experiments: Sequence[str], overrides: Sequence[str] = ()) -> list[Job]:
    """List the runs of experiments, each once, in the order of their files."""
    jobs: dict[str, Job] = {}
    with initialize_config_dir(CONF, version_base="1.3"):
        for experiment in experiments:
            for job in _expand(experiment, overrides):
                known = jobs.get(job.id, job)
                names = dict.fromkeys((*known.experiments, experiment))
                jobs[job.id] = replace(known, experiments=tuple(names))
    return list(jobs.values())


def _expand(experiment: str, overrides: Sequence[str]) -> list[Job]:
    chosen = [f"experiment={experiment}", *overrides]
    config = compose("train", chosen, return_hydra_config=True)
    jobs = []
    compose_once = cache(lambda groups: compose("train", list(groups)))
    swept = expand([*sweep_parameters(config), *chosen])
    found = read_chosen(Path(CONF), config.chosen) if config.chosen else {}
    for each, given in product(arm_runs(config, found), swept):
        values = [*given, *each.overrides]
        plain = [text for text in values if _sets_a_value(text)]
        config = deepcopy(compose_once(tuple(text for text in values if text not in plain)))
        for override in map(_parsed, plain):
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        settings = resolve(config)
        label = " ".join([experiment, *(value for value in values if value not in chosen)])
        jobs.append(Job(run_id(settings), (experiment,), label, settings, each.arm, each.tried))
    return jobs


def _sets_a_value(text: str) -> bool:
    """Tell an override that gives a value from one that chooses a file of conf/, adds or deletes.

    Hydra sets values last of all. Composing takes a tenth of a second, setting a value does not.
    """
    override = _parsed(text)
    chooses = (Path(CONF) / override.key_or_group).is_dir()
    return override.type == OverrideType.CHANGE and not chooses


@cache
def _parsed(text: str) -> Override:
    return OverridesParser.create().parse_override(text)


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(jobs: Sequence[Job], runs: Path, processes: int | None = None) -> SweepLog:
    """Compute the jobs that are not finished, ``processes`` side by side.

    By default one a core, or one at a time with a GPU; the cores are shared out as threads. A job
    that fails, or whose process dies, is logged as failed and the others go on.
    """
    unfinished = [job for job in jobs if RunStore(runs, job.id).result() is None]
    print(f"{len(jobs)} runs, {len(unfinished)} of them to compute", flush=True)
    count = processes or (1 if torch.cuda.is_available() else cores())
    threads = max(1, cores() // count)
    os.environ |= {"OMP_NUM_THREADS": str(threads), **KEEP_MEMORY}  # for the processes started here
    log = SweepLog.create(runs, len(unfinished), "preset")
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in unfinished:
        waiting.put(job)
    workers = [
        threading.Thread(target=_work, args=(waiting, log, threads), daemon=True)
        for _ in range(min(count, len(unfinished)))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return log


def _work(waiting: "queue.SimpleQueue[Job]", log: SweepLog, threads: int) -> None:
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
