"""The training loop: one configuration's parts in, one finished run's metrics out."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backdrop.streams import stream_seed
from experiments.build import Parts
from experiments.evaluation import error, evaluate
from experiments.identity import Settings
from experiments.run_store import Row, RunStore
from experiments.schedule import evaluation_epochs, learning_rate_factor

Split = tuple[Tensor, Tensor]


class NonFiniteLoss(ArithmeticError):
    """The training loss became NaN or infinite."""


def train(settings: Settings, parts: Parts, store: RunStore, report: Callable[[Row], None]) -> Row:
    """Train from the last checkpoint, or from the start, to the end; give the result.

    Every epoch's row goes to the store and then to ``report``.

    Raises:
        NonFiniteLoss: naming the first step whose loss is not finite.
    """
    device = settings["device"]
    splits = {
        name: _to_device(parts.dataset.load(name, Path(settings["system"]["data"])), device)
        for name in ("train", "validation", "test")
    }
    if fit_to := getattr(parts.model, "fit_to", None):
        fit_to(splits["train"][0].cpu())
    parts.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    epoch = _restore(parts, store.resume(device))
    evaluations = evaluation_epochs(settings["epochs"], settings["evaluations"])
    saved = time.monotonic()
    while epoch < settings["epochs"]:
        epoch += 1
        row = {"epoch": epoch, **train_epoch(settings, parts, splits["train"], epoch)}
        if epoch in evaluations:
            row |= _evaluations(settings, parts, splits)
        store.append(row)
        if time.monotonic() - saved >= settings["system"]["checkpoint_seconds"]:
            store.save_checkpoint(_state(parts, epoch))
            saved = time.monotonic()
        report(row)
    return summarise(store.metrics())


def train_epoch(settings: Settings, parts: Parts, train: Split, epoch: int) -> Row:
    """Go once through the training set (epochs count from 1); give the epoch's averages."""
    start = time.perf_counter()
    seed, inputs = settings["seed"], train[0]
    order = torch.Generator().manual_seed(stream_seed(seed, "order", epoch))
    batches = torch.randperm(len(inputs), generator=order).split(settings["batch_size"])
    first = (epoch - 1) * len(batches)
    factor = partial(
        learning_rate_factor, steps=settings["epochs"] * len(batches), warmup=settings["warmup"]
    )
    rate = settings["optimizer"]["lr"]
    sums = []
    parts.model.train()
    for step, batch in enumerate(batches, first):
        for group in parts.optimizer.param_groups:
            group["lr"] = rate * factor(step)
        sums.append(train_step(settings, parts, _batch(train, batch, seed, step, parts), step))
    return _averages(torch.stack(sums).tolist(), first) | {
        "learning_rate": rate * factor(first + len(batches) - 1),
        **_speed(len(inputs), time.perf_counter() - start),
    }


def train_step(settings: Settings, parts: Parts, batch: Split, step: int) -> Tensor:
    """Make one update; give summed loss, wrong answers, samples, gradient norm on the device."""
    inputs, targets = batch
    torch.manual_seed(stream_seed(settings["seed"], "step", step))
    with autocast(settings):
        logits = parts.model(inputs)
    loss = parts.loss(logits.float(), targets)
    parts.optimizer.zero_grad()
    loss.backward()
    gradients = [p.grad for p in parts.model.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    parts.optimizer.step()
    with torch.no_grad():
        n = torch.tensor(len(targets), device=loss.device)
        return torch.stack([loss * n, error(logits, targets), n, norm]).double()


def autocast(settings: Settings) -> AbstractContextManager[None]:
    """Give the context in which forward passes run: bfloat16 autocast or none."""
    return torch.autocast(
        settings["device"], torch.bfloat16, enabled=settings["precision"] == "bfloat16"
    )


def summarise(metrics: list[Row]) -> Row:
    """Give the means of the last five evaluations, and the epoch chosen by validation."""
    evaluated = [row for row in metrics if "test" in row]
    last = evaluated[-5:]
    chosen = min(evaluated, key=lambda row: row["validation"]["error"])
    return {
        "final": {
            split: {
                name: sum(row[split][name] for row in last) / len(last) for name in last[0][split]
            }
            for split in ("validation", "test")
        },
        "selected": {name: chosen[name] for name in ("epoch", "validation", "test")},
        "train": metrics[-1]["train"],
        "seconds": sum(row["seconds"] + row.get("evaluation_seconds", 0) for row in metrics),
    }


def _averages(sums: list[list[float]], first: int) -> Row:
    """Average the steps of an epoch; stop at the first loss that is not finite."""
    for step, (loss, *_) in enumerate(sums, first):
        if not math.isfinite(loss):
            raise NonFiniteLoss(f"the training loss is {loss} at step {step} (steps count from 0)")
    losses, wrong, samples, norms = (sum(column) for column in zip(*sums, strict=True))
    return {
        "train": {"loss": losses / samples, "error": wrong / samples},
        "gradient_norm": norms / len(sums),
    }


def _speed(images: int, seconds: float) -> Row:
    return {"seconds": round(seconds, 4), "images_per_second": round(images / seconds, 1)}


def _evaluations(settings: Settings, parts: Parts, splits: dict[str, Split]) -> Row:
    start = time.perf_counter()
    rows: Row = {
        name: evaluate(parts.model, parts.loss, *splits[name], autocast(settings))
        for name in ("validation", "test")
    }
    return rows | {"evaluation_seconds": round(time.perf_counter() - start, 4)}


def _batch(train: Split, indices: Tensor, seed: int, step: int, parts: Parts) -> Split:
    inputs, targets = (tensor[indices.to(tensor.device)] for tensor in train)
    if parts.augmentation is None:
        return inputs, targets
    generator = torch.Generator().manual_seed(stream_seed(seed, "augmentation", step))
    return parts.augmentation(inputs, targets, generator)


def _to_device(split: Split, device: str) -> Split:
    inputs, targets = split
    layout = torch.channels_last if inputs.dim() == 4 else torch.contiguous_format
    return inputs.to(device, memory_format=layout), targets.to(device)


def _state(parts: Parts, epoch: int) -> Row:
    return {
        "epoch": epoch,
        "model": parts.model.state_dict(),
        "optimizer": parts.optimizer.state_dict(),
    }


def _restore(parts: Parts, state: dict[str, Any] | None) -> int:
    """Load a checkpoint; give the epoch that it followed, 0 without one."""
    if state is None:
        return 0
    parts.model.load_state_dict(state["model"])
    parts.optimizer.load_state_dict(state["optimizer"])
    return int(state["epoch"])
