"""Loss and quality of a model on whole sets: errors of classes, or AUC and F1 of scores."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import f1_score, precision_recall_curve, roc_auc_score
from torch import Tensor, nn

ELEMENTS = 2**20  # input elements in a batch: larger ones are slower on a CPU

Split = tuple[Tensor, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
Autocast = Callable[[], AbstractContextManager[None]]


@torch.inference_mode()
def predict(model: nn.Module, inputs: Tensor, autocast: Autocast) -> Tensor:
    """Give the outputs in eval mode on inputs (N, …): logits (N, classes) or scores (N,)."""
    was_training = model.training
    model.eval()
    size = max(1, ELEMENTS // inputs[0].numel())
    with autocast():
        outputs = torch.cat([model(batch) for batch in inputs.split(size)]).float()
    model.train(was_training)
    return outputs


def is_scores(outputs: Tensor) -> bool:
    """Tell scores (N,) of two classes from logits (N, classes)."""
    return outputs.dim() == 1


def loss_of(loss: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    """Give the loss in float32; beside scores (N,) targets become floating-point."""
    outputs = outputs.float()
    return loss(outputs, targets.float() if is_scores(outputs) else targets)


def evaluate(
    model: nn.Module,
    loss: Loss,
    splits: Mapping[str, Split],
    autocast: Autocast,
) -> dict[str, dict[str, float]]:
    """Give, for each set, the loss and the error of classes, or AUC and F1 of scores.

    F1 is that at the threshold which is best on the set ``validation``.
    """
    outputs = {name: predict(model, inputs, autocast) for name, (inputs, _) in splits.items()}
    threshold = 0.0
    if is_scores(outputs["validation"]):
        threshold = best_threshold(*_arrays(outputs["validation"], splits["validation"][1]))
    return {
        name: {
            "loss": loss_of(loss, outputs[name], targets).item(),
            **quality(outputs[name], targets, threshold),
        }
        for name, (_, targets) in splits.items()
    }


def quality(outputs: Tensor, targets: Tensor, threshold: float) -> dict[str, float]:
    """Give the share of wrong classes of logits (N, classes); AUC and F1 of scores (N,)."""
    if not is_scores(outputs):
        return {"error": error(outputs, targets).item() / len(targets)}
    truth, scores = _arrays(outputs, targets)
    return {
        "auc": float(roc_auc_score(truth, scores)),
        "f1": float(f1_score(truth, scores >= threshold)),
    }


def best_threshold(truth: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Give the score from which on to call samples positive, so that F1 is largest."""
    precision, recall, thresholds = precision_recall_curve(truth, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[f1[:-1].argmax()])


def error(logits: Tensor, targets: Tensor) -> Tensor:
    """Count the samples whose largest logit (N, classes) is not their target's (N,)."""
    return (logits.argmax(1) != targets).sum()


def _arrays(outputs: Tensor, targets: Tensor) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    return targets.cpu().numpy(), outputs.cpu().double().numpy()
