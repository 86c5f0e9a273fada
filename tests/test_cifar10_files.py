"""Reading the images: all kinds of files alike, and nothing damaged or not to be trusted."""

import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from backdrop.datasets import cifar10_files
from backdrop.datasets.cifar10 import Cifar10Dataset
from backdrop.datasets.cifar10_files import PER_CLASS, PLACES, SHAPE, read_images
from tests.cifar10_images import archive, png, write_png

pytestmark = pytest.mark.usefixtures("few_images")


@pytest.mark.parametrize("place", [*PLACES["batches"], *PLACES["png"]])
@pytest.mark.parametrize("part", ["train", "test"])
def test_every_kind_of_files_gives_the_images_in_the_order_of_class_and_name(
    images, doors, place, part
):
    expected = np.stack([images[part][key] for key in sorted(images[part])])
    assert np.array_equal(read_images(doors[place], part), expected)


def test_the_download_is_read_like_the_official_archive(doors, tmp_path, monkeypatch):
    name = cifar10_files.ARCHIVE

    def fetch(url, folder, filename, md5):
        assert (filename, md5) == (name, "c58f30108f718f92721af3b95e74349a")
        (Path(folder) / filename).write_bytes((doors[name] / name).read_bytes())

    monkeypatch.setattr(cifar10_files, "download_url", fetch)
    assert np.array_equal(read_images(tmp_path, "test"), read_images(doors[name], "test"))
    assert [path.name for path in tmp_path.iterdir()] == [name]


class Evil:
    def __reduce__(self):
        return os.mkdir, ("owned",)


@pytest.mark.parametrize("content", [Evil(), {b"data": np.array([Evil()])}])
def test_a_pickle_that_calls_anything_is_refused(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "test_batch").write_bytes(pickle.dumps(content, 4))
    with pytest.raises(ValueError, match=r"test_batch of .*asks for posix\.mkdir"):
        read_images(tmp_path, "test")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "batch", [b"", b"rubbish", pickle.dumps({b"data": [1]}, 2), pickle.dumps([1], 2)]
)
def test_a_malformed_batch_is_named(tmp_path, batch):
    archive(tmp_path, cifar10_files.ARCHIVE, {"cifar-10-batches-py/test_batch": batch})
    with pytest.raises(
        ValueError, match=r"cifar-10-batches-py/test_batch of .* not a readable batch"
    ):
        read_images(tmp_path, "test")


@pytest.mark.parametrize("name", ["../out.png", "/tmp/out.png", "test/cat/../../../out.png"])
def test_a_path_that_leads_out_of_the_archive_is_refused(tmp_path, name):
    archive(tmp_path, "cifar10-png.tar.gz", {name: b"x"})
    with pytest.raises(ValueError, match=f"not to be trusted: it holds '{name}'"):
        read_images(tmp_path, "test")


def test_a_link_in_an_archive_is_refused(tmp_path):
    link = tarfile.TarInfo("test/cat/tabby_s_000001.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    archive(tmp_path, "cifar10-png.tar.gz", {link.name: link})
    with pytest.raises(ValueError, match="not to be trusted"):
        read_images(tmp_path, "test")


@pytest.mark.parametrize("place", [PLACES["batches"][1], PLACES["png"][1]])
@pytest.mark.parametrize("share", [0.0005, 0.5, 0.99])
def test_a_truncated_archive_is_named(doors, tmp_path, place, share):
    whole = (doors[place] / place).read_bytes()
    (tmp_path / place).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=rf"{place}.* truncated or damaged"):
        read_images(tmp_path, "test")


def test_a_missing_image_is_reported(images, tmp_path):
    short = {**images, "test": dict(list(images["test"].items())[1:])}
    write_png(short, tmp_path / "cifar10-png")
    with pytest.raises(ValueError, match=r"2 images of different names.*airplane 1, automobile 2"):
        read_images(tmp_path, "test")


@pytest.mark.parametrize("name", ["cat/0001.png", "pony/pony_s_000001.png"])
def test_names_other_than_the_official_ones_are_refused(tmp_path, name):
    archive(tmp_path, "cifar10-png.tar.gz", {f"test/{name}": b"x"})
    with pytest.raises(ValueError, match=rf"{name}.* official name"):
        read_images(tmp_path, "test")


def test_a_file_that_is_no_image_or_of_another_size_is_named(tmp_path):
    small = png(np.zeros((3, 8, 8), np.uint8))
    for content, message in (
        (b"x", "cannot identify"),
        (png(np.zeros(SHAPE, np.uint8))[:60], "truncated"),
        (small, "8 × 8, not"),
    ):
        archive(tmp_path, "cifar10-png.tar.gz", {"test/cat/tabby_s_000001.png": content})
        with pytest.raises(ValueError, match=rf"tabby_s_000001.png of .*{message}"):
            read_images(tmp_path, "test")


def test_images_with_other_statistics_are_refused(images):
    some = np.stack(list(images["train"].values()))
    with pytest.raises(ValueError, match=r"not hold the images of CIFAR-10: mean .* channel 0"):
        cifar10_files.check_statistics(some, Path("here"))


@pytest.mark.slow
def test_the_real_images_have_the_known_statistics(tmp_path, monkeypatch):
    monkeypatch.setitem(PER_CLASS, "train", 5000)
    monkeypatch.setitem(PER_CLASS, "test", 1000)
    if (path := cifar10_files.find(Path(os.environ.get("DATA", "data")), "auto")) is None:
        pytest.skip("CIFAR-10 is not in the data folder")
    (tmp_path / path.name).symlink_to(path.absolute())
    train, test = (read_images(tmp_path, part) for part in ("train", "test"))
    assert (train.shape, test.shape) == ((50_000, *SHAPE), (10_000, *SHAPE))
    cifar10_files.check_statistics(train, path)  # to 1e-6
    inputs, targets = Cifar10Dataset(train=1000).load("train", tmp_path)
    assert targets.bincount().tolist() == [100] * 10
    assert inputs.mean().abs() < 0.05
