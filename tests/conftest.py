"""Tiny configurations, so that a run takes a fraction of a second."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

import experiments.schema  # noqa: F401
from experiments.identity import resolve
from experiments.train import CONF

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


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Give a function from overrides to the settings of a tiny run under ``tmp_path``."""
    folders = [f"system.runs={tmp_path / 'runs'}", f"system.data={tmp_path / 'data'}"]
    folders += ["system.threads=1"]  # the same bits in whatever process

    def tiny(*overrides: str) -> dict[str, Any]:
        with initialize_config_dir(CONF, version_base="1.3"):
            return resolve(compose("train", [*TINY, *folders, *overrides]))

    return tiny
