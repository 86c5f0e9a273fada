"""Tiny sets of images in all the files in which CIFAR-10 comes, as fixtures."""

import pickle
import struct
import tarfile
from io import BytesIO
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image

from backdrop.datasets import cifar10_files
from backdrop.datasets.cifar10_files import CLASSES, PER_CLASS, PLACES, SHAPE


@pytest.fixture
def few_images(monkeypatch):
    """Let the data set have 6 training and 2 test images of each class."""
    monkeypatch.setitem(PER_CLASS, "train", 6)
    monkeypatch.setitem(PER_CLASS, "test", 2)


@pytest.fixture(scope="module")
def images():
    """Images by part and (class, name)."""
    noise, names = np.random.default_rng(0), np.random.default_rng(1).permutation(100_000)
    return {
        part: {
            (label, f"{'ab'[k % 2]}_thing_s_{names[100 * label + k]:06}.png"): noise.integers(
                0, 256, SHAPE, np.uint8
            )
            for label in range(10)
            for k in range(number)
        }
        for part, number in (("train", 6), ("test", 2))
    }


@pytest.fixture(scope="module")
def doors(images, tmp_path_factory):
    """A data folder for each place that the images may be in."""
    folders = {place: tmp_path_factory.mktemp("data") for place in PLACES["batches"]}
    folders |= {place: tmp_path_factory.mktemp("data") for place in PLACES["png"]}
    for (folder, archive), write in (
        (PLACES["batches"], write_batches),
        (PLACES["png"], write_png),
    ):
        write(images, folders[folder] / folder)
        with tarfile.open(folders[archive] / archive, "w:gz") as file:
            file.add(folders[folder] / folder, folder)
    return folders


class OldPickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings, as in the official files."""

    def save_string(self, value):
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)

    dispatch = pickle._Pickler.dispatch | {bytes: save_string}


def write_batches(images, folder):
    folder.mkdir()
    (folder / "batches.meta").write_bytes(b"not read")
    for part, names in (
        ("train", [f"data_batch_{k}" for k in range(1, 6)]),
        ("test", ["test_batch"]),
    ):
        keys = np.random.default_rng(2).permutation(list(images[part]), axis=0)
        for name, chosen in zip(names, np.array_split(keys, len(names)), strict=True):
            keys = [(int(label), str(file)) for label, file in chosen]
            batch = {
                b"batch_label": name.encode(),
                b"labels": [label for label, _ in keys],
                b"data": np.stack([images[part][key].ravel() for key in keys]),
                b"filenames": [file.encode() for _, file in keys],
            }
            OldPickler(out := BytesIO(), 2).dump(batch)
            written = out.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
            (folder / name).write_bytes(written)


def write_png(images, folder):
    for part in images:
        for (label, name), image in images[part].items():
            file = folder / part / CLASSES[label] / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(png(image))


def png(image):
    Image.fromarray(image.transpose(1, 2, 0)).save(out := BytesIO(), "PNG")
    return out.getvalue()


def archive(folder, name, members):
    with tarfile.open(folder / name, "w:gz") as file:
        for member, content in members.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(member)
            content = b"" if isinstance(content, tarfile.TarInfo) else content
            info.size = len(content)
            file.addfile(info, BytesIO(content))


@pytest.fixture
def no_network(monkeypatch):
    def unreachable(*_):
        raise URLError("no network")

    monkeypatch.setattr(cifar10_files, "download_url", unreachable)
