"""The authors' own textures: one .npy file each, in a folder or a zip archive, crossed like ours.

The files are samples.zip of https://zenodo.org/record/1252464 (Golkar & Cranmer 2018,
arXiv:1806.01337): 50 textures of 1024 × 1024 pixels of each correlation length, named
``final_size-1024_corr-9.5_v1.npy`` and so on. All 50 make the published 100 training images, so
images for validation and test come either from a part of the same files, with fewer for training,
or from ``TextureCross(1024, …, construction="published")``, which draws from the same law.
"""

import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backdrop.datasets.texture_samplers import Image, standardised
from backdrop.datasets.textures import check_scales, cyclic_labels, texture_classes
from backdrop.streams import generator

FILE_NAME = re.compile(r"final_size-(\d+)(?:\.0)?_corr-(\d+(?:\.\d+)?)_v(\d+)\.npy")


@dataclass(frozen=True)
class TextureFiles:
    """Images whose class is a combination of one correlation length per scale, made from files.

    Each file is used in one image only. The files of a length are shared out to the splits in the
    order of their versions: the first split has the first ones, and so on. Splits are disjoint
    therefore, whatever the seeds; a seed permutes the files of a length within a split, and thereby
    decides which textures meet in an image. With ``{"train": 100}`` and no seed the images are the
    published ones.

    Nothing in the files is executed. Textures are standardised again when read.

    Args:
        path: folder or .zip archive that holds the .npy files, at any depth; others are ignored.
        lengths: per scale, the correlation lengths that tell classes apart.
        weights: one per scale.
        splits: number of images of each split, a multiple of the number of classes.
        size: pixels a side; files of other sizes are ignored.

    Raises:
        FileNotFoundError: there is nothing at ``path``, or no texture of some length.
        ValueError: any other argument is not as above; ``path`` is neither folder nor archive; two
            files have one version; or there are fewer textures than the splits need.
    """

    path: Path
    lengths: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    splits: Mapping[str, int] = field(default_factory=lambda: {"train": 100})
    size: int = 1024

    def __post_init__(self) -> None:
        lengths = tuple(tuple(float(length) for length in scale) for scale in self.lengths)
        object.__setattr__(self, "path", Path(self.path))
        object.__setattr__(self, "lengths", lengths)
        object.__setattr__(self, "weights", tuple(float(weight) for weight in self.weights))
        object.__setattr__(self, "splits", dict(self.splits))
        check_scales(self.lengths, self.weights)
        flat = [length for scale in self.lengths for length in scale]
        if len(set(flat)) < len(flat):
            raise ValueError(f"scales must not share a length, or files; got lengths {lengths}")
        for split, count in self.splits.items():
            if count < 1 or count % len(self.classes):
                raise ValueError(
                    f"splits must hold a positive multiple of {len(self.classes)} images, the"
                    f" number of classes; got {count} for {split!r}"
                )
        for scale, choices in enumerate(self.lengths):
            for length in choices:
                self._check_enough(scale, length)

    @property
    def classes(self) -> list[tuple[float, ...]]:
        """One length per scale for each class; the first scale varies fastest."""
        return texture_classes(self.lengths)

    def images(self, seed: int | None, split: str, indices: range) -> Image:
        """Make the images called ``indices`` of a split, float32 (len(indices), 1, size, size).

        Image k depends on ``seed``, ``split``, k and the files only; without a seed the files meet
        as in the authors' set. ValueError for an unknown split, an index out of range, or a file
        that is not a finite floating-point array of (size, size) that varies.
        """
        if split not in self.splits:
            raise ValueError(f"split must be one of {sorted(self.splits)}; got {split!r}")
        if len(indices) and not 0 <= min(indices) <= max(indices) < self.splits[split]:
            raise ValueError(f"indices must be in range({self.splits[split]}); got {indices}")
        images = np.zeros((len(indices), 1, self.size, self.size), dtype=np.float32)
        for image, index in zip(images, indices, strict=True):
            for scale, weight in enumerate(self.weights):
                texture = self._read(self._file(seed, split, index, scale))
                image[0] += np.float32(weight) * standardised(texture)
        return images

    def labels(self, indices: range) -> NDArray[np.int64]:
        """Give the classes of the images called ``indices``: image k has class k mod classes."""
        return cyclic_labels(indices, len(self.classes))

    @cached_property
    def _files(self) -> dict[float, list[str]]:
        """Names of the files of each correlation length, in the order of their versions."""
        versions: dict[float, dict[int, str]] = {}
        for name in sorted(self._names()):
            match = FILE_NAME.fullmatch(name.rpartition("/")[2])
            if match is None or int(match[1]) != self.size:
                continue
            kind = versions.setdefault(float(match[2]), {})
            if (other := kind.setdefault(int(match[3]), name)) != name:
                raise ValueError(f"{self.path} holds one texture twice: {other} and {name}")
        return {kind: [found[v] for v in sorted(found)] for kind, found in versions.items()}

    def _names(self) -> Iterable[str]:
        if not self.path.exists():
            raise FileNotFoundError(f"there is no folder or archive of textures at {self.path}")
        if self.path.is_dir():
            return [found.relative_to(self.path).as_posix() for found in self.path.rglob("*.npy")]
        if not zipfile.is_zipfile(self.path):
            raise ValueError(f"{self.path} is neither a folder nor a readable .zip archive")
        with zipfile.ZipFile(self.path) as archive:
            return archive.namelist()

    def _check_enough(self, scale: int, length: float) -> None:
        choices = len(self.lengths[scale])
        needed = {split: count // choices for split, count in self.splits.items()}
        if length not in self._files:
            raise FileNotFoundError(
                f"{self.path} holds no texture of size {self.size} and correlation length {length};"
                f" it holds the lengths {sorted(self._files)}"
            )
        if (there := len(self._files[length])) < sum(needed.values()):
            raise ValueError(
                f"{self.path} holds {there} textures of correlation length {length};"
                f" {sum(needed.values())} are needed: {needed}"
            )

    def _file(self, seed: int | None, split: str, index: int, scale: int) -> str:
        """Name the file of one scale of one image."""
        shares = {name: count // len(self.lengths[scale]) for name, count in self.splits.items()}
        names = list(shares)
        first = sum(shares[name] for name in names[: names.index(split)])
        rank, length = self._rank(index, self.splits[split], scale)
        if seed is not None:
            order = generator(seed, "texture files", split, str(length)).permutation(shares[split])
            rank = int(order[rank])
        return self._files[length][first + rank]

    def _rank(self, index: int, count: int, scale: int) -> tuple[int, float]:
        """Give the place of an image among those of its length at a scale, and that length.

        The authors give each combination of the other scales' lengths a block of files, and the
        images of a class the files of its block one after the other.
        """
        repeat, rest = divmod(index, len(self.classes))
        length, block, stride = 0.0, 0, 1
        for other, choices in enumerate(self.lengths):
            rest, choice = divmod(rest, len(choices))
            if other == scale:
                length = choices[choice]
            else:
                block, stride = block + choice * stride, stride * len(choices)
        return block * (count // len(self.classes)) + repeat, length

    def _read(self, name: str) -> NDArray[np.floating]:
        where = f"{name} of {self.path}"
        try:
            if self.path.is_dir():
                content = (self.path / name).read_bytes()
            else:
                with zipfile.ZipFile(self.path) as archive:
                    content = archive.read(name)  # the whole member, which checks its CRC
            texture = np.load(BytesIO(content), allow_pickle=False)
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"{where} is not a readable .npy array: {error}") from error
        if not isinstance(texture, np.ndarray) or not np.issubdtype(texture.dtype, np.floating):
            kind = getattr(texture, "dtype", type(texture))
            raise ValueError(f"{where} must be a floating-point array; got {kind}")
        if texture.shape != (self.size, self.size):
            raise ValueError(f"{where} must be {self.size} × {self.size}; got {texture.shape}")
        if not np.isfinite(texture).all():
            raise ValueError(f"{where} holds values that are not finite")
        if np.ptp(texture) == 0:
            raise ValueError(f"{where} is constant")
        return texture
