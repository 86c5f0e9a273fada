"""When to evaluate, and with what learning rate to step.

Without a ``schedule`` the learning rate rises over ``warmup`` of training, then falls as a cosine.
A schedule says what it does in place of that: a function of this file, by the share of the training
after the warm-up that has passed, or a class of ``torch.optim.lr_scheduler``, which steps after
every epoch.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

Shape = Callable[[float], float]


def learning_rate_factor(step: int, steps: int, warmup: float) -> float:
    """Give the factor on the learning rate: a rise over ``warmup`` of training, then a cosine to 0.

    >>> [round(learning_rate_factor(step, 8, 0.25), 2) for step in range(8)]
    [0.5, 1.0, 1.0, 0.93, 0.75, 0.5, 0.25, 0.07]
    """
    rise = math.ceil(warmup * steps)
    if step < rise:
        return (step + 1) / rise
    return 0.5 + 0.5 * math.cos(math.pi * (step - rise) / (steps - rise))


def shaped_factor(step: int, steps: int, warmup: float, shape: Shape) -> float:
    """Give the factor of a rise over ``warmup`` of training, then of a shape, of a share in [0, 1).

    >>> [shaped_factor(step, 8, 0.25, step_down()) for step in range(8)]
    [0.5, 1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.1]
    """
    rise = math.ceil(warmup * steps)
    if step < rise:
        return (step + 1) / rise
    return shape((step - rise) / (steps - rise))


def constant() -> Shape:
    """Give a schedule that leaves the learning rate as it is."""
    return lambda share: 1.0


def step_down(at: list[float] = [0.5], factor: float = 0.1) -> Shape:  # noqa: B006  (read only)
    """Give a schedule that multiplies the learning rate by a factor at some shares of training.

    Raises:
        ValueError: a share outside (0, 1), or a factor that is not positive.
    """
    if not all(0 < share < 1 for share in at):
        raise ValueError(f"at must hold shares of training in (0, 1); got {at}")
    if not factor > 0:
        raise ValueError(f"factor must be positive; got {factor}")
    return lambda share: float(factor ** sum(share >= each for each in at))


def cosine(end: float = 0.0) -> Shape:
    """Give a schedule that falls as half a cosine from 1 to a share ``end`` (arXiv:1608.03983).

    Raises:
        ValueError: an end outside [0, 1).
    """
    if not 0 <= end < 1:
        raise ValueError(f"end must be in [0, 1); got {end}")
    return lambda share: end + (1 - end) * (0.5 + 0.5 * math.cos(math.pi * share))


class LearningRate:
    """Sets the learning rate of every step.

    Args:
        optimizer: whose parameter groups are set.
        rate: the learning rate that the optimizer was configured with.
        warmup: the share of training over which the rate rises.
        schedule: what it does then: a function of the share that has passed, or torch's scheduler;
            nothing for a cosine to 0.

    Raises:
        ValueError: a scheduler that wants to know the loss.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        rate: float,
        warmup: float,
        schedule: Shape | LRScheduler | None = None,
    ) -> None:
        if isinstance(schedule, ReduceLROnPlateau):
            raise ValueError(
                "schedule: ReduceLROnPlateau wants the loss of every epoch, which is not measured"
            )
        self.optimizer, self.rate = optimizer, rate
        self.scheduler = schedule if isinstance(schedule, LRScheduler) else None
        if schedule is None:
            self._factor = partial(learning_rate_factor, warmup=warmup)
        else:
            shape = constant() if isinstance(schedule, LRScheduler) else schedule
            self._factor = partial(shaped_factor, warmup=warmup, shape=shape)

    def set(self, step: int, steps: int) -> float:
        """Set the rate of a step (from 0) of so many in all; give that of the first group."""
        factor = self._factor(step, steps)
        groups = self.optimizer.param_groups
        rates = self.scheduler.get_last_lr() if self.scheduler else [self.rate] * len(groups)
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate * factor
        return float(rates[0] * factor)

    def end_epoch(self) -> None:
        """Let torch's scheduler step from the rates that it has set itself."""
        if self.scheduler:
            rates = self.scheduler.get_last_lr()
            for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
            self.scheduler.step()

    def state(self) -> dict[str, Any]:
        """Give the parts whose state must be kept, by name."""
        return {"schedule": self.scheduler} if self.scheduler else {}


def evaluation_epochs(epochs: int, evaluations: int) -> list[int]:
    """Give the epochs (from 1) after which to evaluate: five in the last tenth, the others before.

    Fewer where the epochs do not suffice: epochs are never evaluated twice.

    >>> evaluation_epochs(60, 10)
    [11, 22, 32, 43, 54, 55, 56, 58, 59, 60]
    """
    late = min(5, evaluations)
    early = evaluations - late
    start = 0.9 * epochs
    points = [round(start * i / early) for i in range(1, early + 1)]
    points += [round(epochs - i * epochs / 50) for i in range(late)]
    return sorted({point for point in points if point >= 1})
