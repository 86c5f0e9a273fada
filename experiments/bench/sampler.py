"""Gaussian textures by separable draws, beside draws from the covariance of all pixels."""

from collections.abc import Callable, Iterator
from itertools import count

import numpy as np
from numpy.typing import NDArray

from backdrop.datasets.textures import gaussian_texture
from experiments.bench.memory import PEAK, peak_bytes
from experiments.bench.table import Row, Setting, rows
from experiments.bench.timing import alternating

LENGTH = 3.0  # correlation length in pixels
JITTER = 1e-6  # on the diagonal: the covariance is singular to rounding
DENSE, SMALL_DENSE = (16, 24, 32, 48, 64, 80), (8, 16)
SEPARABLE, SMALL_SEPARABLE = (16, 24, 32, 48, 64, 80, 128, 256, 512, 1024), (8, 16, 32)
Draw = Callable[[], object]


def measure(setting: Setting) -> Iterator[list[Row]]:
    """Compare the first texture of a length, and those after it, at growing sizes."""
    sizes = SMALL_SEPARABLE if setting.smoke else SEPARABLE
    largest = max(SMALL_DENSE if setting.smoke else DENSE)
    for n in sizes:
        further, first = _separable(n)
        cases: dict[str, dict[str, Draw]] = {
            "first": {"separable": first},
            "further": {"separable": further},
        }
        if n <= largest:
            further, first = _dense(n)
            cases["first"]["dense covariance"] = first
            cases["further"]["dense covariance"] = further
        for case, draws in cases.items():
            times = alternating(draws, setting.seconds / 4, min(3, setting.fewest), most=20)
            memory = {name: peak_bytes(draw) for name, draw in draws.items()}
            yield rows(f"sampler/{case}", f"{n} pixels a side", times, "dense covariance", memory,
                       PEAK, n=n)  # fmt: skip


def _separable(n: int) -> tuple[Draw, Draw]:
    """Give draws with the factor at hand, and with a factor of their own."""
    noise, lengths = np.random.default_rng(0), count(1)
    return (
        lambda: gaussian_texture(n, LENGTH, noise),
        lambda: gaussian_texture(n, LENGTH + 1e-6 * next(lengths), noise),
    )


def _dense(n: int) -> tuple[Draw, Draw]:
    noise = np.random.default_rng(0)
    factor = dense_factor(n, LENGTH)
    return (
        lambda: dense_texture(n, factor, noise),
        lambda: dense_texture(n, dense_factor(n, LENGTH), noise),
    )


def dense_factor(n: int, length: float) -> NDArray[np.float64]:
    """Give the Cholesky factor (n², n²) of the covariance of all pixels."""
    place = np.stack(np.meshgrid(np.arange(n), np.arange(n)), -1).reshape(-1, 2).astype(float)
    square = (place**2).sum(1)
    distance = square[:, None] + square - 2 * place @ place.T
    covariance = np.exp(-distance / (2 * length**2))
    covariance[np.diag_indices(n * n)] += JITTER
    factor: NDArray[np.float64] = np.linalg.cholesky(covariance)
    return factor


def dense_texture(
    n: int, factor: NDArray[np.float64], noise: np.random.Generator
) -> NDArray[np.float64]:
    """Draw a texture (n, n) from the factor of its covariance."""
    return (factor @ noise.standard_normal(n * n)).reshape(n, n)
