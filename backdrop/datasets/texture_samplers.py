"""Random textures of a given correlation length, by separable draws.

White noise is multiplied from both sides by the factor of a one-axis covariance, so no covariance
between the pixels of the plane is ever formed. Squared-exponential covariances allow this, for they
are products over the axes. After the generator of Golkar & Cranmer (2018, arXiv:1806.01337), whose
constants come from GP_create.py of github.com/golkar/backdrop.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import make_interp_spline
from threadpoolctl import threadpool_limits
from torch import Tensor

Image = NDArray[np.float32]

ENLARGEMENT = 8  # long textures are drawn on a grid this many times coarser
SHOT_NOISE_BELOW = 50.0  # shorter correlation lengths are sums of patches
PATCH_POINTS = 50  # points a side on which a patch is drawn
PATCH_LENGTH = 8.0  # longest correlation length of a patch, in points; longer ones are enlarged
ENVELOPE = 23.0  # a patch is multiplied by exp(-ENVELOPE |u|^2), u in patch widths
COVERAGE = 6.0  # patches per effective area of a patch, that is of 0.6 of its width
PATCHES_AT_ONCE = 1024  # bounds the memory; no number depends on it


def standardised(texture: NDArray[np.floating[Any]]) -> Image:
    """Shift and scale a texture to mean 0 and standard deviation 1 over its own pixels."""
    mean, deviation = texture.mean(dtype=np.float64), texture.std(dtype=np.float64)
    result: Image = ((texture - mean) / deviation).astype(np.float32)
    return result


def gaussian_texture(size: int, length: float, noise: np.random.Generator) -> Image:
    """Draw a stationary Gaussian field of unit variance on size × size pixels, exactly.

    The covariance of pixels (dx, dy) apart is exp(-(dx² + dy²) / 2ℓ²), ℓ = ``length`` in pixels.
    The field is A Z Aᵀ, A the symmetric square root of the one-axis covariance and Z white noise;
    it is not periodic. That root is unique, so fields agree over machines to rounding.

    Raises:
        ValueError: if ``length`` is not positive and finite, or ``size`` below 1.
    """
    check_length(length)
    if size < 1:
        raise ValueError(f"size must be at least 1 pixel; got {size}")
    return _separable(_gaussian_factor(size, length), _white(noise, size, size))


def published_texture(size: int, length: float, noise: np.random.Generator) -> Image:
    """Draw a texture as the authors' generator does, scaled to unit variance over the draws.

    ``length`` is their correlation length. From 50 on, a Gaussian field on a grid 8 times coarser,
    enlarged by a cubic spline. Below 50, shot noise: a sum of enveloped Gaussian patches at uniform
    places, wrapped so that the image repeats with the period size - strip. Shot noise has the
    covariance of a Gaussian field of ``effective_length``, but heavier tails (excess kurtosis 1.2).

    The published set has size 1024. At other sizes a texture keeps its lengths in pixels and its
    patches per area, as in the authors' generator; ``check_published`` tells which sizes there are.

    Raises:
        ValueError: if ``length`` is not positive and finite, or does not go with ``size``.
    """
    check_published(size, length)
    if length >= SHOT_NOISE_BELOW:
        grid = size // ENLARGEMENT
        return _separable(_enlarged_factor(size, length), _white(noise, grid, grid))
    return _shot_noise(ShotNoise(size, length), noise)


SAMPLERS: dict[str, Callable[[int, float, np.random.Generator], Image]] = {
    "gaussian": gaussian_texture,
    "published": published_texture,
}


def effective_length(correlation_length: float, size: int = 1024) -> float:
    """Give ℓ in pixels of the squared-exponential covariance of a ``published`` texture.

    Below 50, 1/ℓ_eff² = 1/ℓ² + 23/w², w = patch width - 1 in pixels, because the covariance of shot
    noise is that of a patch times the autocorrelation of its envelope; from 50 on, cl · (n - 1) / n
    for n = ``size``, because the n pixels span the unit square from edge to edge.

    >>> round(effective_length(9.5), 2), round(effective_length(10), 2)
    (7.36, 7.74)
    """
    check_length(correlation_length)
    if correlation_length >= SHOT_NOISE_BELOW:
        return correlation_length * (size - 1) / size
    span = ShotNoise(size, correlation_length).patch - 1
    patch_length = min(correlation_length, PATCH_LENGTH) / PATCH_POINTS * span
    return float((1 / patch_length**2 + ENVELOPE / span**2) ** -0.5)


def autocovariance(
    construction: str, length: float, lag: ArrayLike, size: int = 1024
) -> NDArray[np.float64]:
    """Give the covariance of two pixels ``lag`` pixels apart, of a texture before standardisation.

    It is exp(-lag² / 2ℓ²) with ℓ = ``length`` for the ``gaussian`` construction and its
    ``effective_length`` for the ``published`` one: to 3e-4 there, for the envelope is cut off and
    the grids are finite, and at lags below size / 2, for shot noise repeats.
    """
    check_construction(construction)
    check_length(length)
    scale = length if construction == "gaussian" else effective_length(length, size)
    return np.exp(-(np.asarray(lag, dtype=np.float64) ** 2) / (2 * scale**2))


def check_published(size: int, length: float) -> None:
    """Raise ValueError if the ``published`` construction does not exist at this size and length."""
    check_length(length)
    if length >= SHOT_NOISE_BELOW:
        if size % ENLARGEMENT or size < 4 * ENLARGEMENT:
            raise ValueError(
                f"published textures of correlation length {length} are enlarged"
                f" {ENLARGEMENT}-fold: size must be a multiple of {ENLARGEMENT}, at least"
                f" {4 * ENLARGEMENT}; got {size}"
            )
    elif size < 2 * (patch := ShotNoise(size, length).patch):
        raise ValueError(
            f"published textures of correlation length {length} are sums of patches of {patch}"
            f" pixels: size must be at least {2 * patch}; got {size}"
        )


def check_length(length: float) -> None:
    """Raise ValueError unless a correlation length is positive and finite."""
    if not (math.isfinite(length) and length > 0):
        raise ValueError(f"length must be positive and finite; got {length}")


def check_construction(construction: str) -> None:
    """Raise ValueError unless there is a construction of this name."""
    if construction not in SAMPLERS:
        raise ValueError(f"construction must be one of {sorted(SAMPLERS)}; got {construction!r}")


def _white(noise: np.random.Generator, *shape: int) -> Image:
    return noise.standard_normal(shape, dtype=np.float32)


def _separable(factor: Tensor, white: Image) -> Image:
    """Give B Z Bᵀ for the factor B (n, m) and white noise Z (…, m, m), in float32 (…, n, n)."""
    # Called under the trainer's autocast, the products would otherwise be rounded to bfloat16.
    with torch.autocast("cpu", enabled=False):
        field: Image = (factor @ torch.from_numpy(white) @ factor.T).numpy()
    return field


def _covariance_root(points: int, length: float) -> NDArray[np.float64]:
    """Give the symmetric square root of exp(-d² / 2 length²) on ``points`` points, d in points."""
    place = np.arange(points, dtype=np.float64)
    covariance = np.exp(-((place[:, None] - place) ** 2) / (2 * length**2))
    # One thread: the last bits would depend on the number, and busy cores make more of them slower.
    with threadpool_limits(1, user_api="blas"):
        values, vectors = np.linalg.eigh(covariance)
        # Smooth covariances are singular to rounding, so that the least eigenvalues turn negative.
        root: NDArray[np.float64] = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return root


def _enlarge(points: int, size: int) -> NDArray[np.float64]:
    """Give the matrix (size, points) of cubic spline interpolation between equal end points."""
    if size == points:
        return np.eye(points)
    spline = make_interp_spline(np.linspace(0, 1, points), np.eye(points), k=3)
    matrix: NDArray[np.float64] = spline(np.linspace(0, 1, size))
    return matrix


@lru_cache(maxsize=64)
def _gaussian_factor(size: int, length: float) -> Tensor:
    return torch.from_numpy(_covariance_root(size, length).astype(np.float32))


@lru_cache(maxsize=64)
def _enlarged_factor(size: int, length: float) -> Tensor:
    grid = size // ENLARGEMENT
    # The authors give lengths as a share cl / n of the side, which spans grid - 1 spacings.
    root = _covariance_root(grid, length / size * (grid - 1))
    return torch.from_numpy((_enlarge(grid, size) @ root).astype(np.float32))


@dataclass(frozen=True)
class ShotNoise:
    """The numbers of the authors' shot noise: patches of ``patch`` pixels a side, and how many."""

    size: int
    length: float

    @property
    def enlargement(self) -> float:
        """Enlargement of a patch after it was drawn."""
        return max(1.0, self.length / PATCH_LENGTH)

    @property
    def patch(self) -> int:
        """Pixels a side of a patch."""
        return int(PATCH_POINTS * self.enlargement)

    @property
    def strip(self) -> int:
        """Rows and columns at each side that are wrapped onto the opposite one."""
        return int(1.246 * 40 * self.enlargement + 0.5)

    @property
    def number(self) -> int:
        """How many patches an image is the sum of."""
        effective_patch = int(30 * self.enlargement)
        return int(COVERAGE * (self.size / effective_patch) ** 2)


@lru_cache(maxsize=64)
def _patch_factor(shots: ShotNoise) -> Tensor:
    """Give B (patch, points): a patch is B Z Bᵀ, and the sum of all patches has unit variance."""
    patch_length = min(shots.length, PATCH_LENGTH) / PATCH_POINTS * (PATCH_POINTS - 1)
    root = _covariance_root(PATCH_POINTS, patch_length)
    envelope = np.exp(-ENVELOPE * np.linspace(-0.5, 0.5, shots.patch) ** 2)
    factor = envelope[:, None] * (_enlarge(PATCH_POINTS, shots.patch) @ root)
    # The variance is patches per place times the squared patch, summed over the patch's pixels.
    variance = shots.number / (shots.size - shots.patch) ** 2 * (factor**2).sum() ** 2
    return torch.from_numpy((factor / variance**0.25).astype(np.float32))


def _shot_noise(shots: ShotNoise, noise: np.random.Generator) -> Image:
    image = np.zeros((shots.size, shots.size), dtype=np.float32)
    places = noise.integers(shots.size - shots.patch, size=(shots.number, 2))
    for start in range(0, shots.number, PATCHES_AT_ONCE):
        corners = places[start : start + PATCHES_AT_ONCE].tolist()
        white = _white(noise, len(corners), PATCH_POINTS, PATCH_POINTS)
        patches = _separable(_patch_factor(shots), white)
        for (row, column), patch in zip(corners, patches, strict=True):
            image[row : row + shots.patch, column : column + shots.patch] += patch
    for side in (image, image.T):
        side[: shots.strip] += side[-shots.strip :]
        side[-shots.strip :] = side[: shots.strip]
    return image
