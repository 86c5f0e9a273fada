"""When to evaluate, and with what learning rate to step."""

import math


def learning_rate_factor(step: int, steps: int, warmup: float) -> float:
    """Give the factor on the learning rate: a rise over ``warmup`` of training, then a cosine to 0.

    >>> [round(learning_rate_factor(step, 8, 0.25), 2) for step in range(8)]
    [0.5, 1.0, 1.0, 0.93, 0.75, 0.5, 0.25, 0.07]
    """
    rise = math.ceil(warmup * steps)
    if step < rise:
        return (step + 1) / rise
    return 0.5 + 0.5 * math.cos(math.pi * (step - rise) / (steps - rise))


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
