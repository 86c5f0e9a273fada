"""The files that CIFAR-10 comes in, read without executing or unpacking anything in them.

CIFAR-10 (Krizhevsky 2009, "Learning multiple layers of features from tiny images") has 50,000
training and 10,000 test images of 32 × 32 pixels in ten classes. Its authors' files carry the name
of every image, such as ``tabby_cat_s_000074.png``. Images are sorted by class and name here, so
that all kinds of files give the same arrays.
"""

import gzip
import pickle
import re
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import check_integrity, download_url

Images = NDArray[np.uint8]
Entry = tuple[int, str, Images]

ARCHIVE: str = CIFAR10.filename
CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
PER_CLASS = {"train": 5000, "test": 1000}
"""Images of each class in the two parts of the data set."""
SHAPE = (3, 32, 32)
MEANS = (0.49139968, 0.48215841, 0.44653091)
STDS = (0.24703223, 0.24348513, 0.26158784)
"""Red, green and blue of all training images, in units of 255."""

PLACES = {
    "batches": ("cifar-10-batches-py", ARCHIVE),
    "png": ("cifar10-png", "cifar10-png.tar.gz"),
    "download": (ARCHIVE,),
}
"""Names under the data folder, by source."""
SOURCES = ("auto", *PLACES)

BATCHES = {"train": {f"data_batch_{k}" for k in range(1, 6)}, "test": {"test_batch"}}
IMAGE_NAME = re.compile(r"\w+_s_\d{6}\.png")
DAMAGED = (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error)


def read_images(folder: Path, part: str, source: str = "auto") -> Images:
    """Give all images of ``train`` or ``test``, uint8 (N, 3, 32, 32), sorted by class and name.

    Args:
        folder: the data folder, with one of the entries in PLACES.
        part: ``train`` or ``test``.
        source: ``batches``, ``png``, ``download``, or ``auto`` for the first of these that is there
            and the download otherwise.

    Raises:
        FileNotFoundError: the files are not there, or the download failed.
        ValueError: the files are damaged or not those of CIFAR-10; names the file.
    """
    path = find(folder, source)
    if source == "download" or (source == "auto" and path is None):
        path = download(folder)
    if path is None:
        raise not_found(folder)
    try:
        entries = _from_png(path, part) if "png" in path.name else _from_batches(path, part)
        images = _in_order(entries, path, PER_CLASS[part])
    except DAMAGED as error:
        raise ValueError(f"{path} is truncated or damaged: {error}; supply it anew") from error
    if len(images) == 50_000:
        check_statistics(images, path)
    return images


def find(folder: Path, source: str) -> Path | None:
    """Give the file or folder that a source reads, None if it is not there."""
    places = PLACES[source] if source != "auto" else (*PLACES["batches"], *PLACES["png"])
    return next((folder / name for name in places if (folder / name).exists()), None)


def not_found(folder: Path) -> FileNotFoundError:
    """Give the error that lists the ways to supply the data."""
    return FileNotFoundError(
        f"CIFAR-10 is not in {folder}. Supply it in one of these ways: put there the official"
        f" folder {PLACES['batches'][0]} or its archive {ARCHIVE} (source 'batches'); or"
        f" put there {PLACES['png'][1]} or a folder {PLACES['png'][0]} with"
        " {train,test}/<class>/<official name>.png (source 'png'); or, with a network, load it with"
        f" source 'auto' or 'download', which fetches {CIFAR10.url} (170 MB)"
    )


def download(folder: Path) -> Path:
    """Fetch the official archive into a folder, unless it is there, and give its path.

    The MD5 sum is torchvision's; a file that fails it never gets the archive's name.

    Raises:
        FileNotFoundError: the download failed; says why, and what else can be done.
    """
    path = folder / ARCHIVE
    if check_integrity(path, CIFAR10.tgz_md5):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(dir=folder) as temporary:
            download_url(CIFAR10.url, temporary, path.name, CIFAR10.tgz_md5)
            (Path(temporary) / path.name).replace(path)
    except (OSError, RuntimeError) as error:
        message = f"the download failed ({error}). {not_found(folder)}"
        raise FileNotFoundError(message) from error
    return path


def check_statistics(images: Images, path: Path) -> None:
    """Raise ValueError unless channel means and standard deviations are those of CIFAR-10."""
    values = np.arange(256) / 255
    for channel, (mean, std) in enumerate(zip(MEANS, STDS, strict=True)):
        chunks = np.array_split(images[:, channel], 50)  # bincount copies into 64-bit integers
        counts = sum(np.bincount(chunk.ravel(), minlength=256) for chunk in chunks)
        shares = counts / images[:, channel].size
        found = shares @ values, np.sqrt(shares @ values**2 - (shares @ values) ** 2)
        if not np.allclose(found, (mean, std), rtol=0, atol=1e-6):
            raise ValueError(
                f"{path} does not hold the images of CIFAR-10: mean and standard deviation of"
                f" channel {channel} are {found[0]:.6f}, {found[1]:.6f}, not {mean:.6f}, {std:.6f}"
            )


class _ArrayUnpickler(pickle.Unpickler):
    """Reads dicts, lists, bytes, numbers and NumPy arrays; refuses every other class."""

    _rebuild = np.empty(0).__reduce__()[0]
    _allowed = {  # noqa: RUF012
        ("numpy.core.multiarray", "_reconstruct"): _rebuild,
        ("numpy._core.multiarray", "_reconstruct"): _rebuild,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not allowed")
        return self._allowed[module, name]


def _from_batches(path: Path, part: str) -> Iterator[Entry]:
    """Read the official pickled batches, from their folder or archive."""
    for name, content in _members(path, lambda name: name.name in BATCHES[part]):
        where = f"{name} of {path}"
        try:
            batch = _ArrayUnpickler(BytesIO(content), encoding="bytes").load()
            data, labels, names = (batch[key] for key in (b"data", b"labels", b"filenames"))
            images = data.reshape(len(data), *SHAPE)
            entries = [
                (int(label), str(name, "ascii"), image)
                for label, name, image in zip(labels, names, images, strict=True)
            ]
        except Exception as error:  # a malformed pickle can raise any
            raise ValueError(f"{where} is not a readable batch of CIFAR-10: {error}") from error
        if images.dtype != np.uint8 or not all(0 <= entry[0] < len(CLASSES) for entry in entries):
            raise ValueError(f"{where} must hold uint8 images with labels from 0 to 9")
        yield from entries


def _from_png(path: Path, part: str) -> Iterator[Entry]:
    """Read {train,test}/<class>/<name>.png, from a folder or a .tar.gz archive."""

    def wanted(name: PurePosixPath) -> bool:
        return name.suffix == ".png" and name.parts[-3:-2] == (part,)

    for name, content in _members(path, wanted):
        where, kind = f"{name} of {path}", name.parts[-2]
        if kind not in CLASSES or not IMAGE_NAME.fullmatch(name.name):
            raise ValueError(
                f"{where} must have a class of CIFAR-10 for its folder and an official name such as"
                " tabby_cat_s_000074.png: the names decide the order of the images"
            )
        yield CLASSES.index(kind), name.name, _decoded(content, where)


def _decoded(content: bytes, where: str) -> Images:
    """Decode a PNG file into uint8 (3, 32, 32)."""
    try:
        with Image.open(BytesIO(content), formats=["PNG"]) as image:
            if image.size != SHAPE[1:]:
                raise ValueError(f"it is {image.size[0]} × {image.size[1]}, not 32 × 32")
            return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{where} is not an image of CIFAR-10: {error}") from error


def _members(
    path: Path, wanted: Callable[[PurePosixPath], bool]
) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Give names and contents of the wanted files of a folder or .tar.gz archive.

    Nothing is unpacked. ValueError for an archive that holds a link, a device, or a path that leads
    out of it: such an archive is not to be trusted.
    """
    if path.is_dir():
        for file in path.rglob("*"):
            name = PurePosixPath(file.relative_to(path).as_posix())
            if wanted(name):
                yield name, file.read_bytes()
        return
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            name = PurePosixPath(member.name)
            if name.is_absolute() or ".." in name.parts or not (member.isfile() or member.isdir()):
                raise ValueError(f"{path} is not to be trusted: it holds {member.name!r}")
            if member.isfile() and wanted(name) and (content := archive.extractfile(member)):
                yield name, content.read()


def _in_order(entries: Iterable[Entry], path: Path, per_class: int) -> Images:
    """Stack images by class and name; ValueError unless each class has its number of images."""
    by_name = {(label, name): image for label, name, image in entries}
    counts = [sum(label == k for label, _ in by_name) for k in range(len(CLASSES))]
    if set(counts) != {per_class}:
        found = ", ".join(f"{k} {count}" for k, count in zip(CLASSES, counts, strict=True))
        raise ValueError(
            f"{path} must hold {per_class} images of different names in each class; found {found}"
        )
    return np.stack([by_name[key] for key in sorted(by_name)])
