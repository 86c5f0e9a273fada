"""Training, validation and test sets of two-scale textures, drawn once and cached."""

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from backdrop.datasets.cache import cached
from backdrop.datasets.texture_files import TextureFiles
from backdrop.datasets.textures import TextureCross


class TextureDataset:
    """Split a cross of textures into sets that never share a texture.

    Args:
        size: pixels a side.
        lengths: correlation lengths, one list for each scale; a class is a choice of one from each.
        weights: weight of each scale.
        construction: ``gaussian`` (lengths in pixels) or ``published`` (see TextureCross).
        train_per_class: training images of each class.
        validation, test: images in these sets, all classes together.
        seed: of the training set.
        evaluation_seed: of the validation and test sets; the same for all training sets, so that
            runs are compared on the same images.
        files: the authors' textures (see TextureFiles), a folder or zip under the data folder, from
            which to make the training images; ``seed`` decides which textures meet in an image.
            The other sets are drawn: all published textures are needed for training.

    Raises:
        ValueError: a count that is not positive, or an argument that TextureCross refuses.
    """

    def __init__(
        self,
        size: int,
        lengths: list[list[float]],
        weights: list[float],
        construction: str = "gaussian",
        train_per_class: int = 25,
        validation: int = 200,
        test: int = 1000,
        seed: int = 0,
        evaluation_seed: int = 0,
        files: str | None = None,
    ) -> None:
        self.cross = TextureCross(
            size=size,
            lengths=tuple(tuple(values) for values in lengths),
            weights=tuple(weights),
            construction=construction,
        )
        classes = len(self.cross.classes)
        self.counts = {"train": classes * train_per_class, "validation": validation, "test": test}
        for split, count in self.counts.items():
            if count < 1:
                raise ValueError(f"the {split} set needs at least one image; got {count}")
        self.files = files
        self.seeds = {"train": seed, "validation": evaluation_seed, "test": evaluation_seed}

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape (C, H, W) of one image."""
        return (1, self.cross.size, self.cross.size)

    def load(self, split: str, folder: Path) -> tuple[Tensor, Tensor]:
        """Give images (N, 1, size, size) in float32 and labels (N,), drawn ones cached in a folder.

        Raises:
            FileNotFoundError: the authors' textures are wanted and not there.
            ValueError: unknown split.
        """
        if split not in self.counts:
            raise ValueError(f"split must be one of {', '.join(self.counts)}; got {split!r}")
        seed, indices = self.seeds[split], range(self.counts[split])
        if self.files is not None and split == "train":
            images = self._from_files(folder / self.files).images(seed, split, indices)
        else:
            spec = {"name": "textures", **asdict(self.cross), "seed": seed, "split": split}
            images = cached(
                folder / "textures",
                {**spec, "count": len(indices)},
                lambda: self.cross.images(seed, split, indices),
            )
        return torch.from_numpy(images), torch.from_numpy(self.cross.labels(indices))

    def _from_files(self, path: Path) -> TextureFiles:
        splits = {"train": self.counts["train"]}
        return TextureFiles(path, self.cross.lengths, self.cross.weights, splits, self.cross.size)
