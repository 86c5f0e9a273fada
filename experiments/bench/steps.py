"""Training steps of the experiments, on random data of the right shape."""

from collections.abc import Callable
from itertools import count

import torch
from torch import Tensor

from experiments.backward import choose_backward
from experiments.bench.table import Setting
from experiments.build import Parts, build
from experiments.identity import Settings
from experiments.loop import train_step
from experiments.plan import Job, plan


def jobs(experiment: str, setting: Setting, *overrides: str) -> list[Job]:
    """Give the runs of an experiment at one seed, with the device of a setting."""
    return plan([experiment], ["seed=0", f"device={setting.device}", *overrides])


def settings_of(experiment: str, kind: str, setting: Setting, *overrides: str) -> Settings:
    """Give the settings of the first run of a kind of arm of an experiment."""
    return next(
        job.settings for job in jobs(experiment, setting, *overrides) if job.places[0].kind == kind
    )


def built(settings: Settings, channels_last: bool = True) -> Parts:
    """Build a run's parts as its training does, with what acts at every step in full swing.

    The learning rate is 0: a net that has learnt its one batch by heart has denormal gradients,
    which are slow.
    """
    if "warmup" in settings["regulariser"]:
        regulariser = {**settings["regulariser"], "warmup": 0}
        settings = {**settings, "regulariser": regulariser}
    parts = build({**settings, "optimizer": {**settings["optimizer"], "lr": 0.0}})
    layout = torch.channels_last if channels_last else torch.contiguous_format
    parts.model.to(settings["device"], memory_format=layout)  # type: ignore[call-overload]
    if hasattr(parts.regulariser, "set_epoch"):
        parts.regulariser.set_epoch(settings["epochs"] - 1)
    parts.model.train()
    choose_backward(parts.model, settings, _batch_shape(settings, parts))
    return parts


def batch_of(settings: Settings, parts: Parts, channels_last: bool = True) -> tuple[Tensor, Tensor]:
    """Draw a batch of the run's shape, with as many classes as the model has, two for scores."""
    shape = _batch_shape(settings, parts)
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    if channels_last and inputs.ndim == 4:
        inputs = inputs.to(memory_format=torch.channels_last)
    targets = torch.arange(len(inputs)) % max(2, settings["model"].get("classes", 1))
    return inputs.to(settings["device"]), targets.to(settings["device"])


def step_of(settings: Settings, parts: Parts, channels_last: bool = True) -> Callable[[], object]:
    """Give a function that makes one update."""
    batch, steps = batch_of(settings, parts, channels_last), count()
    return lambda: train_step(settings, parts, batch, next(steps))


def _batch_shape(settings: Settings, parts: Parts) -> tuple[int, ...]:
    size = settings["batch_size"] or settings["dataset"]["train"]
    return size, *parts.dataset.input_shape
