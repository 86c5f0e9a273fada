import os
import pickle
import struct
import tarfile
from io import BytesIO
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

from backdrop.datasets import cifar10_files
from backdrop.datasets.cifar10 import Cifar10Binary, Cifar10Dataset
from backdrop.datasets.cifar10_files import CLASSES, PER_CLASS, PLACES, SHAPE, read_images

SIZES = {"train": 20, "validation": 10, "test": 20}


@pytest.fixture(autouse=True)
def _small(monkeypatch):
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


@pytest.mark.parametrize("place", [*PLACES["batches"], *PLACES["png"]])
@pytest.mark.parametrize("part", ["train", "test"])
def test_every_kind_of_files_gives_the_images_in_the_order_of_class_and_name(
    images, doors, place, part
):
    expected = np.stack([images[part][key] for key in sorted(images[part])])
    assert np.array_equal(read_images(doors[place], part), expected)


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


@pytest.fixture
def no_network(monkeypatch):
    def unreachable(*_):
        raise URLError("no network")

    monkeypatch.setattr(cifar10_files, "download_url", unreachable)


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


@pytest.fixture
def numbered(monkeypatch):
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
