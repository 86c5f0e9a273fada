"""The training loop: one configuration's parts in, one finished run's metrics out."""

import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from backdrop.streams import stream_seed
from backdrop.transfer import to_device
from experiments.backward import choose_backward
from experiments.batches import Batches
from experiments.build import Parts, construct
from experiments.evaluation import Split, error, evaluate, is_scores, loss_of, predict
from experiments.identity import Settings
from experiments.memory import PeakMemory
from experiments.precision import autocast
from experiments.refusals import ConfigurationError
from experiments.rehearsal import rehearse, two_of_a_kind_each
from experiments.run_store import Row, RunStore
from experiments.schedule import evaluation_epochs

HIGHER_IS_BETTER = ("auc", "f1")


class NonFiniteLoss(ArithmeticError):
    """The training loss became NaN or infinite."""


def train(settings: Settings, parts: Parts, store: RunStore, report: Callable[[Row], None]) -> Row:
    """Train from the last checkpoint, or from the start, to the end; give the result.

    Every epoch's row goes to the store and then to ``report``.

    Raises:
        NonFiniteLoss: naming the first step whose loss is not finite.
        ConfigurationError: what cannot work, before the first step.
    """
    device = settings["device"]
    splits = _loaded(settings, parts)
    if fit_to := getattr(parts.model, "fit_to", None):
        fit_to(splits["train"][0].cpu())
    parts.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    _rehearse(settings, parts, splits)
    epoch = _restore(parts, store.resume(device))
    batches = batches_of(settings, parts, splits["train"][1])
    shape = _shape_of_full_batches(splits["train"], batches, parts)
    for schedule in parts.schedules:  # the backward pass is chosen for where most is masked
        schedule.step(float(schedule.end > schedule.start))
    used = choose_backward(parts.model, settings, shape)
    if settings["compile"]:
        parts.model.compile()  # type: ignore[no-untyped-call]
    for _ in range(epoch):
        batches.next_epoch()
    evaluations = evaluation_epochs(settings["epochs"], settings["evaluations"])
    memory, saved = PeakMemory(device), time.monotonic()
    while epoch < settings["epochs"]:
        epoch += 1
        row = {"epoch": epoch, **train_epoch(settings, parts, splits["train"], batches, epoch)}
        if epoch in evaluations:
            _add_evaluations(row, settings, parts, splits)
        store.append(row)
        if time.monotonic() - saved >= settings["system"]["checkpoint_seconds"]:
            store.save_checkpoint(_state(parts, epoch))
            saved = time.monotonic()
        report(row)
    if settings["measures"]:
        store.save_checkpoint(_state(parts, epoch))  # epochs are not lost if measuring fails
    store.keep_outputs(*_of_items(settings, parts, splits["test"]))
    return {
        **summarise(store.metrics(), settings["metric"]),
        **measured(settings, parts, splits["validation"]),
        **({"backward": used} if used else {}),
        **memory.result(),
    }


def _of_items(settings: Settings, parts: Parts, split: Split) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give each item's score or predicted class, and its target."""
    inputs, targets = split
    outputs = predict(parts.model, inputs, partial(autocast, settings)).cpu()
    kept = outputs if is_scores(outputs) else outputs.argmax(1).short()
    return kept.numpy(), targets.cpu().short().numpy()


def measured(settings: Settings, parts: Parts, split: Split) -> Row:
    """Give what ``measures`` asks to know of the trained model, on one set, if anything."""
    found = {
        name: construct(
            f"measures.{name}", node, parts.model, *split, allow=settings["system"].get("allow", ())
        )
        for name, node in settings["measures"].items()
    }
    return {"measured": found} if found else {}


def batches_of(settings: Settings, parts: Parts, targets: Tensor) -> Batches:
    """Give the batches of a run whose training set has these targets (N,)."""
    return Batches(settings, targets, getattr(parts.loss, "needs_both_classes", False))


def train_epoch(
    settings: Settings, parts: Parts, train: Split, batches: Batches, epoch: int
) -> Row:
    """Make the updates of an epoch (they count from 1); give their averages."""
    start = time.perf_counter()
    seed, skipped = settings["seed"], batches.skipped
    chosen = batches.next_epoch()
    first, steps = (epoch - 1) * len(chosen), settings["epochs"] * len(chosen)
    sums, rate = [], 0.0
    if hasattr(parts.regulariser, "set_epoch"):
        parts.regulariser.set_epoch(epoch - 1)
    parts.model.train()
    for step, indices in enumerate(chosen, first):
        rate = parts.learning_rate.set(step, steps)
        for p_schedule in parts.schedules:
            p_schedule.step(step / steps)
        batch = _batch(train, indices, seed, step, parts)
        try:
            sums.append(train_step(settings, parts, batch, step))
        except ValueError as problem:
            raise ValueError(f"at step {step} (steps count from 0): {problem}") from problem
    parts.learning_rate.end_epoch()
    row = _averages(torch.stack(sums).tolist(), first)
    if batches.needs_both_classes:
        row["skipped"] = batches.skipped - skipped
    seconds, samples = time.perf_counter() - start, row.pop("samples")
    return row | {
        "learning_rate": rate,
        "seconds": round(seconds, 4),
        "images_per_second": round(samples / seconds, 1),
    }


def train_step(settings: Settings, parts: Parts, batch: Split, step: int) -> Tensor:
    """Make one update; give summed loss, wrong classes, samples, gradient norm on the device."""
    inputs, targets = batch
    _seed(stream_seed(settings["seed"], "step", step), settings["device"])
    if hasattr(parts.regulariser, "update"):
        parts.regulariser.update(inputs, targets)
    for mask in parts.stratified_masks:
        mask.groups = targets
    with autocast(settings):
        outputs = parts.model(inputs)
    loss = loss_of(parts.loss, outputs, targets)
    parts.optimizer.zero_grad()
    loss.backward()
    gradients = [p.grad for p in parts.model.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    parts.optimizer.step()
    with torch.no_grad():
        n = torch.full((), len(targets), device=loss.device)
        wrong = n * torch.nan if is_scores(outputs) else error(outputs, targets)
        return torch.stack([loss * n, wrong, n, norm]).double()


def summarise(metrics: list[Row], metric: str) -> Row:
    """Give the means of the last five evaluations, and the epoch chosen by validation's metric."""
    evaluated = [row for row in metrics if "test" in row]
    last = evaluated[-5:]
    best = max if metric in HIGHER_IS_BETTER else min
    chosen = best(evaluated, key=lambda row: row["validation"][metric])
    return {
        "final": {
            split: {
                name: sum(row[split][name] for row in last) / len(last) for name in last[0][split]
            }
            for split in ("validation", "test")
        },
        "selected": {name: chosen[name] for name in ("epoch", "validation", "test")},
        "train": metrics[-1]["train"],
        **({"skipped": sum(row["skipped"] for row in metrics)} if "skipped" in last[0] else {}),
        "seconds": sum(row["seconds"] + row.get("evaluation_seconds", 0) for row in metrics),
    }


def _averages(sums: list[list[float]], first: int) -> Row:
    """Average the steps of an epoch; stop at the first loss that is not finite."""
    for step, (loss, *_) in enumerate(sums, first):
        if not math.isfinite(loss):
            raise NonFiniteLoss(f"the training loss is {loss} at step {step} (steps count from 0)")
    losses, wrong, samples, norms = (sum(column) for column in zip(*sums, strict=True))
    errors = {} if math.isnan(wrong) else {"error": wrong / samples}
    return {
        "train": {"loss": losses / samples, **errors},
        "gradient_norm": norms / len(sums),
        "samples": samples,
    }


def _add_evaluations(row: Row, settings: Settings, parts: Parts, splits: dict[str, Split]) -> None:
    """Add the quality on validation and test set; for scores also on the training set."""
    start = time.perf_counter()
    names = [name for name in splits if name != "train" or "error" not in row["train"]]
    chosen = {name: splits[name] for name in names}
    try:
        found = evaluate(parts.model, parts.loss, chosen, partial(autocast, settings))
    except ValueError as problem:
        raise ValueError(f"in the evaluation after epoch {row['epoch']}: {problem}") from problem
    row["train"] |= {k: v for k, v in found.pop("train", {}).items() if k != "loss"}
    row |= found
    row["evaluation_seconds"] = round(time.perf_counter() - start, 4)


def _loaded(settings: Settings, parts: Parts) -> dict[str, Split]:
    folder = Path(settings["system"]["data"])
    try:
        return {
            name: _to_device(parts.dataset.load(name, folder), settings["device"])
            for name in ("train", "validation", "test")
        }
    except ValueError as error:
        raise ConfigurationError(f"dataset: {error}") from error


def _rehearse(settings: Settings, parts: Parts, splits: dict[str, Split]) -> None:
    train, validation = splits["train"], splits["validation"]
    two = two_of_a_kind_each(train[1])
    try:
        batch = _batch(train, two.to(train[1].device), settings["seed"], 0, parts)
    except Exception as error:
        raise ConfigurationError(f"augmentation: {error}") from error
    of_validation = two_of_a_kind_each(validation[1])
    classes = 1 + max(int(targets.max()) for _, targets in splits.values())
    held = (validation[0][of_validation], validation[1][of_validation])
    rehearse(settings, parts, batch, held, classes, measured)


def _batch(train: Split, indices: Tensor | slice, seed: int, step: int, parts: Parts) -> Split:
    inputs, targets = train
    if isinstance(indices, Tensor):
        indices = to_device(indices, inputs.device)
        inputs, targets = inputs[indices], targets[indices]
    if parts.augmentation is None:
        return inputs, targets
    generator = torch.Generator().manual_seed(stream_seed(seed, "augmentation", step))
    return parts.augmentation(inputs, targets, generator)


def _shape_of_full_batches(train: Split, batches: Batches, parts: Parts) -> torch.Size:
    inputs, _ = _batch(train, torch.arange(batches.size), 0, 0, parts)
    return inputs.shape


def _seed(seed: int, device: str) -> None:
    """Seed the host and the device in use: torch.manual_seed takes as long as a small step."""
    torch.default_generator.manual_seed(seed)
    if device == "cuda":
        torch.cuda.default_generators[0].manual_seed(seed)


def _to_device(split: Split, device: str) -> Split:
    inputs, targets = split
    layout = torch.channels_last if inputs.dim() == 4 else torch.contiguous_format
    return inputs.to(device, memory_format=layout), targets.to(device)


def _state(parts: Parts, epoch: int) -> Row:
    return {"epoch": epoch, **{name: part.state_dict() for name, part in _stateful(parts).items()}}


def _restore(parts: Parts, state: dict[str, Any] | None) -> int:
    """Load a checkpoint; give the epoch that it followed, 0 without one."""
    if state is None:
        return 0
    for name, part in _stateful(parts).items():
        part.load_state_dict(state[name])
    return int(state["epoch"])


def _stateful(parts: Parts) -> dict[str, Any]:
    found = {"model": parts.model, "optimizer": parts.optimizer, "regulariser": parts.regulariser}
    found |= parts.learning_rate.state()
    return {name: part for name, part in found.items() if part is not None}
