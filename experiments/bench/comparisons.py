"""The comparisons that there are, where each runs, and how: in a process of its own."""

import os
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from experiments.bench import (
    auc_loss,
    defaults,
    large_image,
    mask_cost,
    neighbours,
    sampler,
    survivors,
    sweep,
)
from experiments.bench.table import Row, Setting, add, drop, noted
from experiments.sweep import KEEP_MEMORY, cores

COMPARISONS: dict[str, Callable[[Setting], Iterator[list[Row]]]] = {
    "mask_cost": mask_cost.measure,
    "survivors": survivors.measure,
    "neighbours": neighbours.measure,
    "defaults": defaults.measure,
    "auc_loss": auc_loss.measure,
    "sampler": sampler.measure,
    "sweep": sweep.measure,
    "large_image": large_image.measure,
}
WITH_ALL_THREADS = {"sweep", "large_image"}
ON_CPU = {"sampler", "large_image"}


def settings(name: str, smoke: bool) -> list[Setting]:
    """Give where a comparison runs: one thread and all, and a GPU if there is one."""
    threads = {cores()} if name in WITH_ALL_THREADS else {1} if smoke else {1, cores()}
    found = [Setting("cpu", number, smoke) for number in sorted(threads)]
    if torch.cuda.is_available() and name not in ON_CPU:
        found.append(Setting("cuda", cores(), smoke))
    return found


def run(name: str, setting: Setting, path: Path) -> str:
    """Measure a comparison and write its rows as they come; give an empty string or the failure."""
    torch.set_num_threads(setting.threads)
    try:
        for found in COMPARISONS[name](setting):
            add(path, found, setting)
    except Exception as error:
        traceback.print_exc()
        return f"failed: {type(error).__name__}: {error}"
    return ""


def run_apart(name: str, setting: Setting, path: Path) -> str:
    """Do the same in a process of its own, which may die."""
    os.environ |= {"OMP_NUM_THREADS": str(setting.threads), **KEEP_MEMORY}
    drop(path, name, setting)
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            failure = pool.submit(run, name, setting, path).result()
    except Exception as error:
        failure = f"failed: its process died ({error})"
    if failure:
        add(path, [noted(name, "", "", failure)], setting)
    return failure
