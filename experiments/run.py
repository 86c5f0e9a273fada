"""One resolved configuration in, one finished run out, whatever happened before."""

import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from experiments.build import build
from experiments.identity import Settings, run_id
from experiments.loop import train
from experiments.provenance import provenance
from experiments.run_store import Row, RunStore


def run(settings: Settings, report: Callable[[Row], None] = lambda row: None) -> Row:
    """Give the result of the run with these settings: read it, resume it, or compute it.

    While another process computes the same run, wait for it. A failure leaves its traceback in
    the run's directory and is raised again.
    """
    store = RunStore(Path(settings["system"]["runs"]), run_id(settings))
    with store.locked():
        result = store.result()
        if result is None:
            try:
                result = _compute(settings, store, report)
            except Exception:
                store.fail(traceback.format_exc())
                raise
            store.finish(result)
    return result


def _compute(settings: Settings, store: RunStore, report: Callable[[Row], None]) -> Row:
    if settings["system"]["threads"] is not None:
        torch.set_num_threads(settings["system"]["threads"])
    torch.backends.cudnn.deterministic = True  # the same bits on the same GPU
    store.start(settings, provenance(settings["device"]))
    parts = build(settings)
    return train(settings, parts, store, report)
