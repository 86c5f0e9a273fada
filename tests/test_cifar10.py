"""Sets drawn from CIFAR-10: balanced, disjoint, the same whatever files they come from."""

from pathlib import Path

import numpy as np
import pytest
import torch

from backdrop.datasets import cifar10_files
from backdrop.datasets.cifar10 import Cifar10Binary, Cifar10Dataset
from backdrop.datasets.cifar10_files import CLASSES, PER_CLASS, SHAPE

SIZES = {"train": 20, "validation": 10, "test": 20}
pytestmark = pytest.mark.usefixtures("few_images")


def test_the_sets_are_the_same_whatever_files_they_come_from(doors, tmp_path):
    dataset = Cifar10Dataset(**SIZES)
    for split in SIZES:
        loads = [dataset.load(split, folder) for folder in doors.values()]
        for inputs, targets in loads[1:]:
            assert torch.equal(inputs, loads[0][0])
            assert torch.equal(targets, loads[0][1])


def test_sets_are_balanced_disjoint_and_normalised(images, doors):
    dataset, folder = Cifar10Dataset(**SIZES), doors["cifar10-png"]
    loads = {split: dataset.load(split, folder) for split in SIZES}
    for split, (inputs, targets) in loads.items():
        assert inputs.shape == (SIZES[split], *dataset.input_shape)
        assert inputs.dtype == torch.float32
        assert targets.bincount().tolist() == [SIZES[split] // 10] * 10
    both = torch.cat([loads["train"][0], loads["validation"][0]])
    assert len(both.flatten(1).unique(dim=0)) == 30
    first = min(images["test"])
    means, stds = (
        torch.tensor(v)[:, None, None] for v in (cifar10_files.MEANS, cifar10_files.STDS)
    )
    expected = (torch.from_numpy(images["test"][first]) / 255 - means) / stds
    assert torch.allclose(loads["test"][0][0], expected, atol=1e-6)


def test_the_seed_changes_the_training_set_only(doors):
    folder = doors["cifar10-png"]
    first, second = (Cifar10Dataset(**SIZES, seed=seed) for seed in (0, 1))
    assert not torch.equal(first.load("train", folder)[0], second.load("train", folder)[0])
    for split in ("validation", "test"):
        assert torch.equal(first.load(split, folder)[0], second.load(split, folder)[0])
    other = Cifar10Dataset(**SIZES, evaluation_seed=1)
    assert not torch.equal(first.load("validation", folder)[0], other.load("validation", folder)[0])


def test_a_smaller_training_set_of_the_same_seed_is_a_part_of_a_larger_one(doors):
    small, large = (
        Cifar10Dataset(**SIZES | {"train": n}).load("train", doors["cifar10-png"])[0].flatten(1)
        for n in (20, 40)
    )
    assert (small[:, None] == large).all(2).any(1).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": 25}, "train must be a positive multiple of 10; got 25"),
        ({"test": 0}, "test must be a positive multiple of 10; got 0"),
        ({"train": 50, "validation": 20}, r"train \+ validation must be at most 60; got 50 \+ 20"),
        ({"test": 30}, "test must be at most 20; got 30"),
        ({"source": "zip"}, "source must be one of auto, batches, png, download; got 'zip'"),
    ],
)
def test_an_argument_that_cannot_be_met_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Cifar10Dataset(**SIZES | arguments)


def test_an_unknown_split_is_refused(tmp_path):
    with pytest.raises(ValueError, match="train, validation, test; got 'valid'"):
        Cifar10Dataset(**SIZES).load("valid", tmp_path)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("source", cifar10_files.SOURCES)
def test_missing_data_is_reported_with_the_ways_to_supply_it(tmp_path, source):
    ways = r"cifar-10-batches-py.*cifar10-png\.tar\.gz.*https://"
    dataset = Cifar10Dataset(**SIZES, source=source)
    with pytest.raises(FileNotFoundError, match=ways):
        dataset.prepare(tmp_path)
    with pytest.raises(FileNotFoundError, match=ways):
        dataset.load("train", tmp_path)


@pytest.mark.usefixtures("no_network")
def test_after_preparation_the_files_may_be_gone(doors, tmp_path):
    name = "cifar10-png.tar.gz"
    (tmp_path / name).symlink_to(doors[name] / name)
    dataset = Cifar10Dataset(**SIZES)
    dataset.prepare(tmp_path)
    (tmp_path / name).unlink()
    dataset.prepare(tmp_path)
    for split in SIZES:
        inputs, targets = dataset.load(split, tmp_path)
        expected = dataset.load(split, doors[name])
        assert torch.equal(inputs, expected[0])
        assert torch.equal(targets, expected[1])


@pytest.mark.usefixtures("no_network")
def test_preparation_wants_the_test_images_too(doors, tmp_path):
    name = "cifar10-png.tar.gz"
    (tmp_path / name).symlink_to(doors[name] / name)
    dataset = Cifar10Dataset(**SIZES)
    dataset.load("train", tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError):
        dataset.prepare(tmp_path)


def test_preparation_fetches_what_is_not_there_once(doors, tmp_path, monkeypatch):
    name, fetched = cifar10_files.ARCHIVE, []

    def fetch(url, folder, filename, md5):
        fetched.append(url)
        (Path(folder) / filename).write_bytes((doors[name] / name).read_bytes())

    monkeypatch.setattr(cifar10_files, "download_url", fetch)
    for _ in range(2):
        Cifar10Dataset(**SIZES).prepare(tmp_path)
    assert len(fetched) == 1
    assert fetched[0].startswith("https://")


def test_preparation_names_a_damaged_file(tmp_path):
    (tmp_path / "cifar10-png.tar.gz").write_bytes(b"rubbish")
    with pytest.raises(ValueError, match=r"cifar10-png\.tar\.gz is truncated or damaged"):
        Cifar10Dataset(**SIZES).prepare(tmp_path)


@pytest.fixture
def numbered(few_images, monkeypatch):
    """Let every image of a larger set show its class in red and its number in blue and green."""

    def numbered_images(folder, part, source):
        number = np.arange(10 * PER_CLASS[part])
        colours = np.stack([number // PER_CLASS[part], number // 256, number % 256], 1)
        return np.broadcast_to(colours.astype(np.uint8)[:, :, None, None], (len(number), *SHAPE))

    monkeypatch.setattr("backdrop.datasets.cifar10.read_images", numbered_images)
    monkeypatch.setitem(PER_CLASS, "train", 400)
    monkeypatch.setitem(PER_CLASS, "test", 150)


BINARY = {"train": 1000, "validation": 2000, "test": 1200}


@pytest.mark.usefixtures("numbered")
@pytest.mark.parametrize(
    ("fraction", "positives"),
    [(0.1, (100, 200, 120)), (0.01, (10, 100, 100)), (0.0001, (1, 100, 100))],
)
def test_one_class_against_the_rest_has_the_positives_asked_for(tmp_path, fraction, positives):
    dataset = Cifar10Binary("dog", fraction, **BINARY)
    seen = []
    for (split, size), expected in zip(BINARY.items(), positives, strict=True):
        inputs, targets = dataset.load(split, tmp_path)
        pixels = (inputs[:, :, 0, 0] * torch.tensor(cifar10_files.STDS)).add(
            torch.tensor(cifar10_files.MEANS)
        )
        classes = pixels.mul(255).round()[:, 0]
        assert torch.equal(targets, (classes == CLASSES.index("dog")).long())
        assert (len(targets), targets.sum()) == (size, expected)
        assert len(classes.unique()) == 10
        seen.append(pixels)
    assert len(torch.cat(seen[:2]).unique(dim=0)) == BINARY["train"] + BINARY["validation"]


@pytest.mark.usefixtures("numbered")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"positive": "pony"}, "positive must be one of airplane, .*; got 'pony'"),
        ({"positive_fraction": 0.0}, "positive_fraction must be above 0 and below 1; got 0.0"),
        ({"evaluation_positives": 99}, "evaluation_positives must be at least 100; got 99"),
        ({"validation": 100}, "validation must be larger than its 100 positives; got 100"),
        ({"evaluation_positives": 151}, r"test want 151 positives; there are 150"),
        (
            {"positive_fraction": 0.2},
            r"train and validation want 200 \+ 400 positives; there are 400",
        ),
        ({"test": 1480}, "test want 1380 negatives; there are 1350"),
        ({"train": 0}, "train must be at least 1; got 0"),
    ],
)
def test_a_binary_task_that_cannot_be_had_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Cifar10Binary(**{"positive_fraction": 0.01, **BINARY, **arguments})
