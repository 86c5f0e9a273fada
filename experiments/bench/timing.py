"""Times alternatives in turn, so that whatever slows the machine slows all of them alike."""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

Times = dict[str, list[float]]

LEAST_SECONDS = 0.02  # of one measurement: what is quicker is repeated within it


class Spread(NamedTuple):
    """A median with the quartiles around it."""

    median: float
    low: float
    high: float


def alternating(
    variants: Mapping[str, Callable[[], object]],
    seconds: float,
    fewest: int = 5,
    most: int = 50,
    device: str = "cpu",
) -> Times:
    """Call variants in rounds, each once a round in an order drawn anew; give seconds per call.

    Every variant is called twice beforehand. Rounds go on for ``seconds``, at least ``fewest`` and
    at most ``most`` of them, so that entries of one index belong together.
    """
    calls = {}
    for name, call in variants.items():
        call()
        calls[name] = max(1, math.ceil(LEAST_SECONDS / _seconds(call, 1, device)))
    order, shuffle = list(variants), random.Random(0).shuffle
    times: Times = {name: [] for name in variants}
    begin = time.perf_counter()
    for done in range(most):
        if done >= fewest and time.perf_counter() - begin > seconds:
            break
        shuffle(order)
        for name in order:
            times[name].append(_seconds(variants[name], calls[name], device) / calls[name])
    return times


def spread(values: Sequence[float]) -> Spread:
    """Give median and quartiles.

    >>> spread([1.0, 2.0, 3.0, 4.0, 9.0])
    Spread(median=3.0, low=2.0, high=4.0)
    """
    low, median, high = np.percentile(values, (25, 50, 75)).tolist()
    return Spread(median, low, high)


def paired_ratio(values: Sequence[float], baseline: Sequence[float]) -> Spread:
    """Give median and quartiles of the ratios of values that were measured in the same rounds.

    >>> paired_ratio([1.0, 4.0, 3.0], [2.0, 4.0, 1.0]).median
    1.0
    """
    return spread([value / base for value, base in zip(values, baseline, strict=True)])


def _seconds(call: Callable[[], object], times: int, device: str) -> float:
    _wait(device)
    begin = time.perf_counter()
    for _ in range(times):
        call()
    _wait(device)
    return time.perf_counter() - begin


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
