"""Loss and error of a model on a whole set."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

ELEMENTS = 2**20  # input elements in a batch: larger ones are slower on a CPU


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    inputs: Tensor,
    targets: Tensor,
    autocast: AbstractContextManager[None],
) -> dict[str, float]:
    """Give the loss and the share of wrong classes on inputs (N, …) and targets (N,)."""
    was_training = model.training
    model.eval()
    size = max(1, ELEMENTS // inputs[0].numel())
    with autocast:
        logits = torch.cat([model(batch) for batch in inputs.split(size)]).float()
    model.train(was_training)
    return {
        "loss": loss(logits, targets).item(),
        "error": error(logits, targets).item() / len(targets),
    }


def error(logits: Tensor, targets: Tensor) -> Tensor:
    """Count the samples whose largest logit (N, classes) is not their target's (N,)."""
    return (logits.argmax(1) != targets).sum()
