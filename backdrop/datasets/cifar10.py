"""CIFAR-10 in subsets of chosen size, as ten classes or as one class against the rest."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from backdrop.datasets.cache import cached
from backdrop.datasets.cifar10_files import (
    CLASSES,
    MEANS,
    PER_CLASS,
    SHAPE,
    SOURCES,
    STDS,
    Images,
    read_images,
)
from backdrop.datasets.subsets import (
    Rows,
    check_fraction,
    check_room,
    draw,
    one_against_rest,
    without,
)


class _Cifar10:
    """What both tasks share: the images, and subsets of them with given counts of each target.

    The order of the images, and so every subset, is the same whatever files they come from. The
    first use decodes them into ``cifar10`` under the data folder.
    """

    counts: dict[str, dict[int, int]]
    _target_of_class: Rows

    def __init__(self, seed: int, evaluation_seed: int, source: str) -> None:
        if source not in SOURCES:
            raise ValueError(f"source must be one of {', '.join(SOURCES)}; got {source!r}")
        self.source = source
        self.seeds = {"train": seed, "validation": evaluation_seed, "test": evaluation_seed}

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape (C, H, W) of one image."""
        return SHAPE

    def load(self, split: str, folder: Path) -> tuple[Tensor, Tensor]:
        """Give normalised images (N, 3, 32, 32) in float32 and targets (N,) in int64.

        Args:
            split: ``train``, ``validation`` or ``test``.
            folder: the data folder; see cifar10_files.PLACES for what it may hold.

        Raises:
            FileNotFoundError: the data is not there and cannot be fetched; lists the ways to
                supply it.
            ValueError: unknown split, or files that are damaged or not those of CIFAR-10.
        """
        if split not in self.counts:
            raise ValueError(f"split must be one of {', '.join(self.counts)}; got {split!r}")
        part = "test" if split == "test" else "train"
        targets = np.repeat(self._target_of_class, PER_CLASS[part])
        rows = self._rows(split, targets)
        return _normalised(self._images(part, folder)[rows]), torch.from_numpy(targets[rows])

    def prepare(self, folder: Path) -> None:
        """Have the data on the disk, decoded: fetch and decode what is not there yet.

        Raises:
            FileNotFoundError, ValueError: as ``load``.
        """
        for part in PER_CLASS:
            self._images(part, folder)

    def _images(self, part: str, folder: Path) -> Images:
        return cached(
            folder / "cifar10", _spec(part), lambda: read_images(folder, part, self.source)
        )

    def _rows(self, split: str, targets: Rows) -> Rows:
        """Choose images: training images among those that are not for validation."""

        def drawn(name: str, among: np.ndarray | None = None) -> Rows:
            return draw(targets, self.counts[name], self.seeds[name], "cifar10", name, among=among)

        if split != "train":
            return drawn(split)
        return drawn("train", without(drawn("validation"), np.ones(len(targets), bool)))


class Cifar10Dataset(_Cifar10):
    """Classify CIFAR-10 from a class-balanced part of its training images.

    Targets 0 to 9 are the classes in alphabetical order, the official one. Training sets of one
    seed and different sizes contain each other.

    Args:
        train, validation: images for training and validation, multiples of 10; the two are disjoint
            parts of the 50,000 training images.
        test: how many of the 10,000 test images, a multiple of 10.
        seed: of the training set.
        evaluation_seed: of the validation and test sets; the same for all training sets.
        source: ``auto``, ``batches``, ``png`` or ``download`` (see read_images); all give the same.

    Raises:
        ValueError: an argument that is not as above.
    """

    def __init__(
        self,
        train: int = 2500,
        validation: int = 5000,
        test: int = 10_000,
        seed: int = 0,
        evaluation_seed: int = 0,
        source: str = "auto",
    ) -> None:
        super().__init__(seed, evaluation_seed, source)
        classes, sizes = len(CLASSES), {"train": train, "validation": validation, "test": test}
        for split, size in sizes.items():
            if size < classes or size % classes:
                raise ValueError(f"{split} must be a positive multiple of {classes}; got {size}")
        _check_room(sizes)
        self._target_of_class = np.arange(classes)
        self.counts = {
            split: dict.fromkeys(range(classes), size // classes) for split, size in sizes.items()
        }


class Cifar10Binary(_Cifar10):
    """Tell one class of CIFAR-10 (target 1) from the other nine (target 0), with few positives.

    The negatives are drawn from the other classes together. The fraction of positives holds for all
    three sets, but validation and test sets have at least ``evaluation_positives``: ROC AUC does
    not depend on the fraction, and would be noise with a handful of positives. The F-measure does
    depend on it; ``counts`` holds the numbers of each set.

    Args:
        positive: a class of cifar10_files.CLASSES.
        positive_fraction: positives among the training images, above 0 and below 1; a training set
            holds at least one.
        train, validation, test: images, positives and negatives together.
        evaluation_positives: at least 100.
        seed, evaluation_seed, source: see Cifar10Dataset.

    Raises:
        ValueError: an argument that is not as above, or more images than there are.
    """

    def __init__(
        self,
        positive: str = "cat",
        positive_fraction: float = 0.1,
        train: int = 2000,
        validation: int = 5000,
        test: int = 9000,
        evaluation_positives: int = 100,
        seed: int = 0,
        evaluation_seed: int = 0,
        source: str = "auto",
    ) -> None:
        super().__init__(seed, evaluation_seed, source)
        if positive not in CLASSES:
            raise ValueError(f"positive must be one of {', '.join(CLASSES)}; got {positive!r}")
        check_fraction("positive_fraction", positive_fraction)
        if evaluation_positives < 100:
            raise ValueError(
                f"evaluation_positives must be at least 100; got {evaluation_positives}"
            )
        sizes = {"train": train, "validation": validation, "test": test}
        _check_room(sizes)
        self._target_of_class = np.array([int(name == positive) for name in CLASSES])
        self.counts = one_against_rest(sizes, positive_fraction, evaluation_positives)
        _check_targets(self.counts)


def _check_room(sizes: dict[str, int]) -> None:
    """Raise ValueError unless training, validation and test sets fit into the data set."""
    rooms = {part: number * len(CLASSES) for part, number in PER_CLASS.items()}
    check_room(sizes, {("train", "validation"): rooms["train"], ("test",): rooms["test"]})


def _check_targets(counts: dict[str, dict[int, int]]) -> None:
    """Raise ValueError unless there are as many positives and negatives as wanted."""
    for part, splits in (("train", ("train", "validation")), ("test", ("test",))):
        for target, classes in ((1, 1), (0, len(CLASSES) - 1)):
            wanted = [counts[split][target] for split in splits]
            if sum(wanted) > classes * PER_CLASS[part]:
                kind = "positives" if target else "negatives"
                raise ValueError(
                    f"{' and '.join(splits)} want {' + '.join(map(str, wanted))} {kind}; there are"
                    f" {classes * PER_CLASS[part]}"
                )


def _spec(part: str) -> dict[str, str | int]:
    """Describe the decoded images of one part, for the cache."""
    return {"name": f"cifar10-{part}", "order": "class, name", "per_class": PER_CLASS[part]}


def _normalised(images: Images) -> Tensor:
    """Map uint8 (N, 3, H, W) to float32 of mean 0 and standard deviation 1 over the whole set."""
    means, stds = (torch.tensor(values).reshape(3, 1, 1) for values in (MEANS, STDS))
    return torch.from_numpy(images).float().div_(255).sub_(means).div_(stds)
