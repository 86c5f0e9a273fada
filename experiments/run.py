"""One resolved configuration in, one finished run out, whatever happened before."""

import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from experiments.build import build
from experiments.code import CODE, UNKNOWN, differs
from experiments.identity import Settings, run_id
from experiments.loop import train
from experiments.provenance import provenance
from experiments.refusals import ConfigurationError
from experiments.run_store import Row, RunStore


def run(settings: Settings, report: Callable[[Row], None] = lambda row: None) -> Row:
    """Give the result of the run with these settings: read it, resume it, or compute it.

    While another process computes the same run, wait for it. A failure leaves its traceback in
    the run's directory and is raised again.
    """
    store = RunStore(Path(settings["system"]["runs"]), run_id(settings))
    result = store.result()  # before the lock, which a disk that is only read would refuse
    if result is None:
        with store.locked():
            result = store.result()
            if result is None:
                return _compute(settings, store, report)
    if said := stale(store):
        print(said, file=sys.stderr)
    return result


def made_with(store: RunStore) -> str:
    """Name the code that a run was made with."""
    return str((store.provenance() or {}).get("commit", UNKNOWN))


def stale(store: RunStore) -> str:
    """Say in a line that a finished run was made with other code than this; else nothing."""
    code = made_with(store)
    if not differs(code):
        return ""
    return (
        f"{store.path}: made with other code ({code}, now {CODE}) and served as it is; "
        "delete the folder to compute it again"
    )


def say_stale(finished: Sequence[RunStore]) -> None:
    """Print how many of some finished runs were made with other code than this, if any."""
    codes = [made_with(store) for store in finished]
    others = sorted({code for code in codes if differs(code)})
    if others:
        count = sum(code in others for code in codes)
        print(
            f"{count} of {len(codes)} finished runs were made with other code "
            f"({', '.join(others)}; now {CODE}) and stay as they are",
            file=sys.stderr,
        )


def _compute(settings: Settings, store: RunStore, report: Callable[[Row], None]) -> Row:
    try:
        if settings["system"]["threads"] is not None:
            torch.set_num_threads(settings["system"]["threads"])
        torch.backends.cudnn.deterministic = True  # the same bits on the same GPU
        if settings["device"] == "cuda" and not torch.cuda.is_available():
            raise ConfigurationError("device must be cpu here: PyTorch finds no GPU; got cuda")
        store.start(settings, provenance(settings["device"]))
        result = train(settings, build(settings), store, report)
    except Exception:
        store.fail(traceback.format_exc())
        raise
    store.finish(result)
    return result
