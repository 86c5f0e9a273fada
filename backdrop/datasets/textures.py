"""Two-scale textures: every image is a weighted sum of one random texture per scale.

The task of Golkar & Cranmer (2018, arXiv:1806.01337): tell which correlation length each scale has.
"""

from dataclasses import dataclass
from itertools import product
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from backdrop.datasets.texture_samplers import (
    SAMPLERS,
    Image,
    autocovariance,
    check_construction,
    check_published,
    effective_length,
    gaussian_texture,
    published_texture,
    standardised,
)
from backdrop.streams import generator

__all__ = [
    "TextureCross",
    "autocovariance",
    "effective_length",
    "gaussian_texture",
    "published_texture",
    "standardised",
]


@dataclass(frozen=True)
class TextureCross:
    """Images whose class is a combination of one correlation length per scale.

    An image is Σ_s weights[s] · T_s, T_s a texture of one of ``lengths[s]``, of its own and
    standardised to mean 0 and deviation 1 over the image; the sum is not standardised again. The
    published set is ``TextureCross(1024, ((9.5, 10), (80, 140)), (0.75, 1.25), "published")``.

    Args:
        size: pixels a side.
        lengths: per scale, the lengths that tell classes apart; any number of scales and lengths.
        weights: one per scale.
        construction: ``"gaussian"``, where lengths are ℓ in pixels, or ``"published"``, where they
            are the authors' correlation lengths (``effective_length`` converts).

    Raises:
        ValueError: an argument is not as above, or a ``published`` texture of one of the lengths
            does not exist at this size (``check_published``).
    """

    size: int
    lengths: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    construction: str = "gaussian"

    def __post_init__(self) -> None:
        # Equal crosses must name equal streams, whether 80 or 80.0 was given, in a list or a tuple.
        lengths = tuple(tuple(float(length) for length in scale) for scale in self.lengths)
        object.__setattr__(self, "lengths", lengths)
        object.__setattr__(self, "weights", tuple(float(weight) for weight in self.weights))
        check_construction(self.construction)
        if self.size < 2:
            raise ValueError(f"size must be at least 2 pixels; got {self.size}")
        check_scales(self.lengths, self.weights)
        if self.construction == "published":
            for scale in self.lengths:
                for length in scale:
                    check_published(self.size, length)

    @property
    def classes(self) -> list[tuple[float, ...]]:
        """One length per scale for each class; the first scale varies fastest.

        >>> TextureCross(64, ((2, 3), (20, 35)), (0.75, 1.25)).classes
        [(2.0, 20.0), (3.0, 20.0), (2.0, 35.0), (3.0, 35.0)]
        """
        return texture_classes(self.lengths)

    def images(self, seed: int, split: str, indices: range) -> Image:
        """Draw the images called ``indices`` of a split, float32 (len(indices), 1, size, size).

        Image k depends on ``seed``, ``split`` and k only. Every texture has a random stream of its
        own, so no two images and no two splits share one.
        """
        images = np.zeros((len(indices), 1, self.size, self.size), dtype=np.float32)
        for image, index, label in zip(images, indices, self.labels(indices), strict=True):
            for scale, length in enumerate(self.classes[label]):
                noise = generator(seed, "textures", split, scale, index, str(length))
                texture = SAMPLERS[self.construction](self.size, length, noise)
                image[0] += np.float32(self.weights[scale]) * standardised(texture)
        return images

    def labels(self, indices: range) -> NDArray[np.int64]:
        """Give the classes of the images called ``indices``: image k has class k mod classes."""
        return cyclic_labels(indices, len(self.classes))


def texture_classes(lengths: tuple[tuple[float, ...], ...]) -> list[tuple[float, ...]]:
    """Combine one length of every scale, the first scale varying fastest, as the authors do."""
    return [combination[::-1] for combination in product(*lengths[::-1])]


def cyclic_labels(indices: range, classes: int) -> NDArray[np.int64]:
    """Give k mod ``classes`` for every index k; ValueError if one is negative."""
    if len(indices) and min(indices) < 0:
        raise ValueError(f"indices must not be negative; got {indices}")
    return np.asarray(indices, dtype=np.int64) % classes


def check_scales(lengths: tuple[tuple[float, ...], ...], weights: tuple[float, ...]) -> None:
    """Raise ValueError unless the lengths of every scale and the weights make a cross."""
    if not lengths or not all(lengths):
        raise ValueError(f"lengths must hold at least one scale of at least one; got {lengths}")
    if any(len(set(scale)) < len(scale) for scale in lengths):
        raise ValueError(f"the lengths of a scale must differ from each other; got {lengths}")
    if not all(isfinite(length) and length > 0 for scale in lengths for length in scale):
        raise ValueError(f"lengths must be positive and finite; got {lengths}")
    if len(weights) != len(lengths):
        raise ValueError(f"weights must be {len(lengths)}, one per scale; got {weights}")
    if not all(isfinite(weight) and weight > 0 for weight in weights):
        raise ValueError(f"weights must be positive and finite; got {weights}")
