"""The AUC loss, whose pairs are taken in blocks or sorted, beside the full matrix of pairs."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from backdrop.losses import Surrogate, auc_loss
from experiments.bench.memory import PEAK, peak_bytes
from experiments.bench.table import Row, Setting, rows
from experiments.bench.timing import alternating

POSITIVE = 0.1  # share of the samples
SIZES, SMALL = (1000, 3000, 10_000, 30_000), (100, 200)
FULL = "full pair matrix"
OURS: dict[Surrogate, str] = {"sigmoid": "blocks of pairs", "squared_hinge": "sorting"}
ON_MATRIX: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": lambda d: (-d).sigmoid().mean(),
    "squared_hinge": lambda d: (1 - d).relu().square().mean(),
}


def measure(setting: Setting) -> Iterator[list[Row]]:
    """Compare value and gradient at growing numbers of samples."""
    for surrogate, name in OURS.items():
        for n in SMALL if setting.smoke else SIZES:
            scores = torch.randn(n, device=setting.device, requires_grad=True)
            targets = torch.arange(n, device=setting.device) < POSITIVE * n
            variants = {
                FULL: lambda: full_matrix(surrogate, scores, targets),  # noqa: B023
                name: lambda: auc_loss(scores, targets, surrogate),  # noqa: B023
            }
            steps = {
                variant: lambda loss=loss: torch.autograd.grad(loss(), scores)  # noqa: B023
                for variant, loss in variants.items()
            }
            times = alternating(steps, setting.seconds / 2, setting.fewest, device=setting.device)
            memory = {variant: peak_bytes(step, setting.device) for variant, step in steps.items()}
            yield rows(f"auc_loss/{surrogate}", f"{n} samples", times, FULL, memory, PEAK, n=n)


def full_matrix(surrogate: str, scores: Tensor, targets: Tensor) -> Tensor:
    """Give the loss from all differences of a positive and a negative at once."""
    return ON_MATRIX[surrogate](scores[targets][:, None] - scores[~targets])
