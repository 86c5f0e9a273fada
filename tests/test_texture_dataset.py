import numpy as np
import pytest
import torch

from backdrop.datasets.texture_dataset import TextureDataset
from backdrop.datasets.texture_files import TextureFiles

SMALL = {"size": 32, "lengths": [[2.0, 3.0], [8.0, 12.0]], "weights": [0.75, 1.25]}
COUNTS = {"train_per_class": 2, "validation": 5, "test": 6}


def test_sets_have_the_counts_asked_for_and_cyclic_labels(tmp_path):
    dataset = TextureDataset(**SMALL, **COUNTS)
    shapes = {split: dataset.load(split, tmp_path)[0].shape for split in dataset.counts}
    assert shapes == {"train": (8, 1, 32, 32), "validation": (5, 1, 32, 32), "test": (6, 1, 32, 32)}
    assert dataset.load("train", tmp_path)[1].tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert dataset.input_shape == (1, 32, 32)


def test_no_two_sets_share_an_image(tmp_path):
    dataset = TextureDataset(**SMALL, **COUNTS)
    images = torch.cat([dataset.load(split, tmp_path)[0] for split in dataset.counts]).flatten(1)
    nearest = torch.corrcoef(images).fill_diagonal_(0).abs().max()
    assert len(images.unique(dim=0)) == len(images)
    assert nearest < 0.9


def test_seeds_change_the_training_set_only(tmp_path):
    first, second = (TextureDataset(**SMALL, **COUNTS, seed=seed) for seed in (0, 1))
    assert not torch.equal(first.load("train", tmp_path)[0], second.load("train", tmp_path)[0])
    assert torch.equal(first.load("test", tmp_path)[0], second.load("test", tmp_path)[0])


@pytest.mark.parametrize("split", ["train_per_class", "validation", "test"])
def test_an_empty_set_is_refused(split):
    with pytest.raises(ValueError, match="at least one image; got 0"):
        TextureDataset(**SMALL, **{**COUNTS, split: 0})


def test_an_unknown_split_is_refused(tmp_path):
    with pytest.raises(ValueError, match="train, validation, test; got 'valid'"):
        TextureDataset(**SMALL, **COUNTS).load("valid", tmp_path)


def test_training_images_come_from_the_authors_files(tmp_path):
    folder = tmp_path / "samples"
    folder.mkdir()
    noise = np.random.default_rng(0)
    for length in (2.0, 3.0, 8.0, 12.0):
        for version in range(4):
            texture = noise.standard_normal((32, 32)).astype(np.float32)
            np.save(folder / f"final_size-32_corr-{length}_v{version}.npy", texture)
    dataset = TextureDataset(**SMALL, **COUNTS, files="samples", seed=3)
    files = TextureFiles(folder, ((2.0, 3.0), (8.0, 12.0)), (0.75, 1.25), {"train": 8}, 32)
    expected = files.images(3, "train", range(8))
    assert torch.equal(dataset.load("train", tmp_path)[0], torch.from_numpy(expected))
    assert len(dataset.load("test", tmp_path)[0]) == 6


def test_missing_files_of_the_authors_are_named(tmp_path):
    dataset = TextureDataset(**SMALL, **COUNTS, files="samples.zip")
    with pytest.raises(FileNotFoundError, match=r"samples\.zip"):
        dataset.load("train", tmp_path)
