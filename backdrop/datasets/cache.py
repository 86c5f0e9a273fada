"""Arrays that take long to make are kept in files, each checked against its SHA-256 when read."""

import hashlib
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray


def cached(folder: Path, spec: dict[str, Any], make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """Give the array that ``spec`` describes: from its file, or else made and written there.

    The file is ``folder/<name>-<hash>.npy``, name = ``spec["name"]`` and the hash that of the spec;
    a .json file of the same stem holds spec and SHA-256 of the array file. The array comes first,
    the .json file last, both atomically, so that an interrupted run leaves nothing that passes for
    finished. A file that is damaged, incomplete, or holds pickled objects is never used: it is made
    anew, with a warning. Processes that ask at the same time wait for the first one's array. A
    folder that can only be read serves what it holds.

    Args:
        folder: made if it does not exist.
        spec: what the array depends on, all of it, as plain JSON values.
        make: computes the array; called at most once.

    Raises:
        ValueError: no usable name in the spec, a number in it that is not finite, or an array of
            Python objects.
        TypeError: a value in the spec that JSON does not have.
        OSError: the folder cannot be written.
    """
    entry = _Entry.of(Path(folder), spec)
    try:
        return entry.read()
    except _Unusable:
        pass  # not yet worth a warning: another process may be writing it
    with _writing(entry.folder):
        entry.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(entry.path(".lock"))
        lock.acquire()
    try:
        if entry.path(".npy").exists() or entry.path(".json").exists():
            try:
                return entry.read()
            except _Unusable as reason:
                warnings.warn(f"{entry.path('.npy')} is made anew: {reason}", stacklevel=2)
        array = np.asarray(make())
        if array.dtype.hasobject:
            raise ValueError(f"an array of Python objects is not cached; got dtype {array.dtype}")
        with _writing(entry.folder):
            entry.write(array)
        return array
    finally:
        lock.release()


class _Unusable(Exception):
    """A cached file is missing or cannot be trusted; says why."""


@dataclass(frozen=True)
class _Entry:
    """One cached array: where it is and the spec that it must belong to, as JSON text."""

    folder: Path
    stem: str
    spec: str

    @classmethod
    def of(cls, folder: Path, spec: dict[str, Any]) -> "_Entry":
        name = spec.get("name")
        if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
            raise ValueError(
                f"spec['name'] must be letters, digits, '_', '-' or '.', to begin a file's name;"
                f" got {name!r}"
            )
        text = json.dumps(spec, sort_keys=True, allow_nan=False)
        return cls(folder, f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}", text)

    def path(self, suffix: str) -> Path:
        return self.folder / (self.stem + suffix)

    def read(self) -> NDArray[Any]:
        """Load the array, or raise _Unusable unless file, checksum and spec all agree."""
        try:
            note = json.loads(self.path(".json").read_text())
            if note["spec"] != json.loads(self.spec):
                raise _Unusable("its .json file holds another spec")
            with self.path(".npy").open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != note["sha256"]:
                    raise _Unusable("its SHA-256 is not the one in its .json file")
                file.seek(0)
                array: NDArray[Any] = np.load(file, allow_pickle=False)
                return array
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise _Unusable(f"it cannot be read ({type(error).__name__}: {error})") from error

    def write(self, array: NDArray[Any]) -> None:
        """Write the array, then the note that vouches for it. Call under the lock."""
        with self._replacing(".npy") as temporary:
            with temporary.open("wb") as file:
                np.save(file, array, allow_pickle=False)
            with temporary.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        with self._replacing(".json") as temporary:
            note = {"spec": json.loads(self.spec), "sha256": digest}
            temporary.write_text(json.dumps(note, indent=1) + "\n")

    @contextmanager
    def _replacing(self, suffix: str) -> Iterator[Path]:
        """Lend a temporary file that takes its final name once it is complete and on the disk."""
        temporary = self.path(suffix + ".tmp")
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, self.path(suffix))
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Name the folder in any error of writing into it."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"the cache folder {folder} cannot be written ({error}); choose another one"
        ) from error
