"""Tiny configurations, so that a run takes a fraction of a second."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

import experiments.schema  # noqa: F401
from experiments.identity import resolve
from experiments.schema import CONF

pytest_plugins = ["tests.cifar10_images"]

TINY = [
    "dataset.size=32",
    "dataset.train_per_class=3",
    "dataset.validation=8",
    "dataset.test=8",
    "model.channels=4",
    "model.fine_layers=2",
    "model.coarse_layers=1",
    "masks=two_scale",
    "epochs=6",
    "batch_size=5",
]
SCORED = [
    "experiment=auc/tuning_digits",  # 800 rows, 8 of them positive; needs no files
    "model.widths=[8]",
    "optimizer.lr=0.01",
    "epochs=6",
    "batch_size=20",
]
BY_SAMPLES = {
    "full batch": ["batch_size=null"],
    "sample masks": ["batch_size=null", "masks=samples"],
    "stratified masks": ["batch_size=null", "masks=stratified_samples"],
    "minibatches": [],
    "stratified minibatches": ["batching=stratified"],
    "cross-entropy": ["loss=binary_cross_entropy"],
}
"""Ways of choosing the samples of an update, as overrides of SCORED."""


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Give a function from overrides to the settings of a tiny run under ``tmp_path``."""
    return partial(composed, TINY, tmp_path)


@pytest.fixture
def scored_settings(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Give a function from overrides to the settings of a tiny run on scores: no files needed."""
    return partial(composed, SCORED, tmp_path)


def composed(base: Sequence[str], folder: Path, *overrides: str) -> dict[str, Any]:
    """Give the settings of a run whose data and directory are under ``folder``."""
    folders = [f"system.runs={folder / 'runs'}", f"system.data={folder / 'data'}"]
    folders += ["system.threads=1"]  # the same bits in whatever process
    with initialize_config_dir(CONF, version_base="1.3"):
        return resolve(compose("train", [*base, *folders, *overrides]))
