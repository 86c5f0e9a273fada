"""Tables in LIBSVM format, and scikit-learn's digits, as many classes or one against the rest."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits, load_svmlight_file
from torch import Tensor

from backdrop.datasets.subsets import (
    Rows,
    check_fraction,
    check_room,
    draw,
    one_against_rest,
    proportional,
    without,
)

URL = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets"


SHA256 = {
    "a9a": "f5d5ffd8d865ff41328e7ee043e4b020816914ff6843ff15b98905ddbedce906",
    "a9a.t": "1f448a153f0320399a7e40836eb207655b0bde0f21fc941cc472193daa9f5de9",
    "letter.scale": "ce2c7df15cc5742dc4382d59079181c97c21e0beaa0af53c84cc5745c69f1020",
    "letter.scale.t": "07522ccbf54187fae6d560d1712b88c41ea1f7e8d19491c5adcc22ee37a075da",
    "pendigits": "6e8a2f318a24d97d26a9c381642621dc955fed73ec44c4d417bd7afbb47ed67c",
    "pendigits.t": "5ddb2f034e1c5ca8a47b8a7e78510f8a9d68015cf40a5031534c693fba9773d3",
}


@dataclass(frozen=True)
class _Table:
    """A data set: its features, the labels of its classes, its files and their rows.

    ``path`` is that of the training file under URL; the test file has ``.t`` after it. Without a
    path the table comes with scikit-learn, and its rows are one pool for all sets.
    """

    features: int
    labels: range | tuple[int, ...]
    rows: tuple[int, ...]
    path: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.path, f"{self.path}.t") if self.path else ()


TABLES = {
    "digits": _Table(64, range(10), (1797,)),
    "a9a": _Table(123, (-1, 1), (32561, 16281), "binary/a9a"),
    "letter": _Table(16, range(1, 27), (15000, 5000), "multiclass/letter.scale"),
    "pendigits": _Table(16, range(10), (7494, 3498), "multiclass/pendigits"),
}


class _Tabular:
    """What both tasks share: the rows of a table, and disjoint subsets of them."""

    def __init__(self, name: str, sizes: dict[str, int], seed: int, evaluation_seed: int) -> None:
        if name not in TABLES:
            raise ValueError(f"name must be one of {', '.join(TABLES)}; got {name!r}")
        _check_room(name, sizes)
        self.name, self.table, self.sizes = name, TABLES[name], sizes
        self.seeds = {"train": seed, "validation": evaluation_seed, "test": evaluation_seed}

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape (features,) of one row."""
        return (self.table.features,)

    def load(self, split: str, folder: Path) -> tuple[Tensor, Tensor]:
        """Give features (N, features) in float32 and targets (N,) in int64.

        Features have mean 0 and standard deviation 1 over the training set; one that is constant
        there is only shifted.

        Args:
            split: ``train``, ``validation`` or ``test``.
            folder: the data folder, which holds the files under ``libsvm``; missing ones are
                fetched from the LIBSVM site.

        Raises:
            FileNotFoundError: a file is not there and cannot be fetched.
            ValueError: unknown split, a damaged file, or more rows wanted than there are.
        """
        if split not in self.sizes:
            raise ValueError(f"split must be one of {', '.join(self.sizes)}; got {split!r}")
        features, labels, pools = _read(self.table, folder)
        targets = self._targets(labels)
        rows = self._rows(targets, pools)
        inputs = _standardised(features[rows[split]], features[rows["train"]])
        return torch.from_numpy(inputs).float(), torch.from_numpy(targets[rows[split]])

    def prepare(self, folder: Path) -> None:
        """Have the files on the disk: fetch those that are not there yet.

        Raises:
            FileNotFoundError, ValueError: as ``load``.
        """
        for path in self.table.paths:
            _fetched(path, folder / "libsvm")

    def _rows(self, targets: Rows, pools: dict[str, NDArray[np.bool_]]) -> dict[str, Rows]:
        """Draw the test rows first, validation rows from the rest, training rows from that rest."""
        rows: dict[str, Rows] = {}
        for split in ("test", "validation", "train"):
            among = pools[split]
            for taken in rows.values():
                among = without(taken, among)
            counts = self._counts(split, targets[among])
            names = (self.name, split)
            rows[split] = draw(targets, counts, self.seeds[split], *names, among=among)
        return rows

    def _targets(self, labels: Rows) -> Rows:
        """Turn the labels of the files into targets."""
        raise NotImplementedError

    def _counts(self, split: str, targets: Rows) -> dict[int, int]:
        """Give the rows of each target in a split that is drawn from rows with these targets."""
        raise NotImplementedError


class TabularDataset(_Tabular):
    """Classify the rows of a table.

    Target k is the class with the k-th smallest label; classes keep their proportions. Training and
    validation sets are parts of the training file, the test set of the test file (for digits, of
    the one file). No two sets share a row.

    Args:
        name: ``digits`` (64 features, 10 classes; offline), ``a9a`` (123; 2), ``letter`` (16; 26)
            or ``pendigits`` (16; 10).
        train, validation, test: rows in the sets.
        seed: of the training set.
        evaluation_seed: of the validation and test sets; the same for all training sets.

    Raises:
        ValueError: an unknown name, a size below 1, or more rows than there are.
    """

    def __init__(
        self,
        name: str,
        train: int = 500,
        validation: int = 500,
        test: int = 500,
        seed: int = 0,
        evaluation_seed: int = 0,
    ) -> None:
        sizes = {"train": train, "validation": validation, "test": test}
        super().__init__(name, sizes, seed, evaluation_seed)

    def _targets(self, labels: Rows) -> Rows:
        return np.searchsorted(np.array(self.table.labels), labels)

    def _counts(self, split: str, targets: Rows) -> dict[int, int]:
        return proportional(targets, self.sizes[split])


class TabularBinary(_Tabular):
    """Tell one class of a table (target 1) from the rest (target 0), with few positives.

    The fraction of positives holds for all three sets, but validation and test sets have at least
    ``evaluation_positives``: ROC AUC does not depend on the fraction, and would be noise with a
    handful of positives. The F-measure does depend on it.

    Args:
        name: see TabularDataset.
        positive: the label of a class as the files have it: 0 to 9 in digits and pendigits, 1 to 26
            in letter, 1 or -1 in a9a.
        positive_fraction: positives among the training rows, above 0 and below 1; a training set
            holds at least one.
        train, validation, test: rows, positives and negatives together.
        evaluation_positives: state fewer where the table has not got 100 to spare, such as 50 for
            digits.
        seed, evaluation_seed: see TabularDataset.

    Raises:
        ValueError: an argument that is not as above, or more rows than there are. Whether there are
            enough of each class is known, and said, when the data is loaded.
    """

    def __init__(
        self,
        name: str,
        positive: int = 1,
        positive_fraction: float = 0.1,
        train: int = 500,
        validation: int = 500,
        test: int = 500,
        evaluation_positives: int = 100,
        seed: int = 0,
        evaluation_seed: int = 0,
    ) -> None:
        sizes = {"train": train, "validation": validation, "test": test}
        super().__init__(name, sizes, seed, evaluation_seed)
        if positive not in self.table.labels:
            allowed = ", ".join(map(str, self.table.labels))
            raise ValueError(f"positive must be one of {allowed}; got {positive}")
        check_fraction("positive_fraction", positive_fraction)
        if evaluation_positives < 1:
            raise ValueError(f"evaluation_positives must be at least 1; got {evaluation_positives}")
        self.positive = positive
        self.counts = one_against_rest(sizes, positive_fraction, evaluation_positives)

    def _targets(self, labels: Rows) -> Rows:
        return np.where(labels == self.positive, 1, 0)

    def _counts(self, split: str, targets: Rows) -> dict[int, int]:
        return self.counts[split]


def _check_room(name: str, sizes: dict[str, int]) -> None:
    """Raise ValueError unless training, validation and test sets fit into the table."""
    rows = TABLES[name].rows
    shared = [("train", "validation"), ("test",)] if len(rows) == 2 else [tuple(sizes)]
    check_room(sizes, dict(zip(shared, rows, strict=True)))


def _read(
    table: _Table, folder: Path
) -> tuple[NDArray[np.float64], Rows, dict[str, NDArray[np.bool_]]]:
    """Give features, labels and, for each split, the rows (N,) that it may be drawn from."""
    if not table.paths:
        digits = load_digits()
        everything = np.ones(len(digits.target), bool)
        pools = dict.fromkeys(("train", "validation", "test"), everything)
        return digits.data, digits.target.astype(np.int64), pools
    parts = [
        load_svmlight_file(str(_fetched(path, folder / "libsvm")), n_features=table.features)
        for path in table.paths
    ]
    features = np.concatenate([values.toarray() for values, _ in parts])
    labels = np.concatenate([values for _, values in parts]).astype(np.int64)
    for_test = np.arange(len(labels)) >= len(parts[0][1])
    return features, labels, {"train": ~for_test, "validation": ~for_test, "test": for_test}


def _fetched(path: str, folder: Path) -> Path:
    """Give a file of the LIBSVM site, downloaded into the folder if it is not there.

    Raises:
        FileNotFoundError: the download failed.
        ValueError: the SHA-256 of the file is not the known one.
    """
    file = folder / Path(path).name
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(
                f"{URL}/{path}", str(file), SHA256[file.name], progress=False
            )
        except (OSError, RuntimeError) as error:
            message = f"the download failed ({error}). {_how_to_supply(path, file)}"
            raise FileNotFoundError(message) from error
    if (found := hashlib.sha256(file.read_bytes()).hexdigest()) != SHA256[file.name]:
        raise ValueError(
            f"{file} is damaged or not the file of the LIBSVM site: its SHA-256 is {found}, not"
            f" {SHA256[file.name]}; remove it to fetch it anew"
        )
    return file


def _how_to_supply(path: str, file: Path) -> str:
    return f"There is no {file}: with a network, load it once, or put there {URL}/{path}"


def _standardised(values: NDArray[np.float64], train: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shift and scale features (N, features) to mean 0 and standard deviation 1 in training."""
    varies = train.max(0) > train.min(0)  # by rounding, the std of equal decimals is 2e-16
    std: NDArray[np.float64] = train.std(0) * varies
    result: NDArray[np.float64] = (values - train.mean(0)) / np.where(std > 0, std, 1)
    return result
