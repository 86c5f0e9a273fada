"""What a run will do, done once on two samples before it trains: what cannot work fails at once."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from experiments.build import Parts, construct
from experiments.evaluation import Split, is_scores, loss_of, predict
from experiments.identity import Settings
from experiments.precision import autocast
from experiments.refusals import ConfigurationError

Measure = Callable[[Settings, Parts, Split], Any]


def two_of_a_kind_each(targets: Tensor) -> Tensor:
    """Give the indices of the first sample and of the first of another class, if there is one."""
    other = (targets != targets[0]).nonzero().flatten()
    second = int(other[0]) if len(other) else min(1, len(targets) - 1)
    return torch.tensor([0, second])


def rehearse(
    settings: Settings,
    parts: Parts,
    train: Split,
    validation: Split,
    classes: int,
    measured: Measure,
) -> None:
    """Evaluate, train a step without its update, and measure on two samples; leave no trace.

    Args:
        settings: of the run.
        parts: of the run; their state is as before afterwards, and so are random streams.
        train: two training samples, augmented as in a step.
        validation: two samples.
        classes: number of the classes in the data set.
        measured: measures the model on a set.

    Raises:
        ConfigurationError: something that cannot work, named by its key.
    """
    _check_features(settings, train[0])
    with _named("model", {}):
        outputs = predict(parts.model, validation[0], partial(autocast, settings))
    _check_outputs(settings, parts, outputs, classes)
    _check_optimizer(settings)
    with _without_a_trace(parts, settings["device"]):
        _step(settings, parts, train)
    if settings["measures"]:
        with _without_a_trace(parts, settings["device"]):
            measured(settings, parts, validation)


def _step(settings: Settings, parts: Parts, train: Split) -> None:
    inputs, targets = train
    for mask in parts.stratified_masks:
        mask.groups = targets
    parts.model.train()
    with _named("model", parts.masks), autocast(settings):
        outputs = parts.model(inputs)
    with _named("loss", {}):
        loss = loss_of(parts.loss, outputs, targets)
    if not isinstance(loss, Tensor) or loss.dim() != 0:
        raise ConfigurationError(f"loss: must be one number a batch; got {loss!r:.60}")
    with _named("model", parts.masks):
        loss.backward()


def _check_features(settings: Settings, inputs: Tensor) -> None:
    wanted, found = settings["model"].get("inputs"), inputs[0].numel()
    if isinstance(wanted, int) and wanted != found:
        raise ConfigurationError(
            f"model.inputs must be {found}, what a sample of the data set holds; got {wanted}"
        )


def _check_outputs(settings: Settings, parts: Parts, outputs: Tensor, classes: int) -> None:
    of = f"for outputs of shape {tuple(outputs[:1].shape)}"
    allowed = ("auc", "f1") if is_scores(outputs) else ("error",)
    if settings["metric"] not in allowed:
        raise ConfigurationError(
            f"metric must be {' or '.join(allowed)} {of}; got {settings['metric']}"
        )
    if is_scores(outputs) and isinstance(parts.loss, nn.CrossEntropyLoss):
        raise ConfigurationError(f"loss: CrossEntropyLoss takes (N, classes), not scores, {of}")
    if outputs.dim() > 2:
        raise ConfigurationError(f"model: outputs must be (N, classes) or scores (N,); {of}")
    if not is_scores(outputs) and outputs.shape[1] < classes:
        named = [key for key in ("classes", "num_classes") if key in settings["model"]]
        key = ".".join(("model", *named[:1]))
        raise ConfigurationError(
            f"{key} must be at least {classes}, the classes of the data set; got {outputs.shape[1]}"
        )


def _check_optimizer(settings: Settings) -> None:
    """Let the optimizer make a step of a parameter of its own."""
    own = nn.Parameter(torch.zeros(2, 2, device=settings["device"]))
    optimizer = construct(
        "optimizer", settings["optimizer"], [own], allow=settings["system"].get("allow", ())
    )
    own.grad = torch.zeros_like(own)
    with _named("optimizer", {}):
        optimizer.step()


@contextmanager
def _without_a_trace(parts: Parts, device: str) -> Iterator[None]:
    """Put back states, gradients and random streams afterwards."""
    stateful = [parts.model, *([parts.regulariser] if parts.regulariser is not None else [])]
    kept = [copy.deepcopy(part.state_dict()) for part in stateful]
    training = parts.model.training
    with torch.random.fork_rng(devices=[0] if device == "cuda" else []):
        yield
    for part, state in zip(stateful, kept, strict=True):
        part.load_state_dict(state)
    parts.model.train(training)
    parts.optimizer.zero_grad()


@contextmanager
def _named(key: str, masks: dict[str, nn.Module]) -> Iterator[None]:
    """Name an error by a key, or by the mask in whose code it was raised."""
    try:
        yield
    except ConfigurationError:
        raise
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise ConfigurationError(f"{_mask_of(error, masks) or key}: {text}") from error


def _mask_of(error: Exception, masks: dict[str, nn.Module]) -> str:
    trace = error.__traceback__
    while trace:
        own = trace.tb_frame.f_locals.get("self")
        for name, mask in masks.items():
            if own is mask:
                return f"masks.{name}"
        trace = trace.tb_next
    return ""
